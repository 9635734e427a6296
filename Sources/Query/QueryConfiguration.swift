import Serving

/// The settings of the query service. Bounds are checked where the settings are read.
package struct QueryConfiguration: Sendable, Hashable {
  package var host: String
  /// 0 takes a free one.
  package var port: Int
  /// The host names it answers as, besides `host` and those of loopback.
  package var hosts: [String]
  /// The origins of pages that may ask, besides its own.
  package var origins: [String]
  /// The limits of its connections; each has one request at a time.
  package var serving: ServingLimits
  /// The largest `limit`; for raw events never above 10,000.
  package var rowsMax: Int
  /// A partition to which nothing was appended for this long holds back no result's `final`.
  package var partitionIdleAfter: Duration
  /// The bytes of the log that one request for raw events reads before it answers with a cursor.
  package var eventsScanBytesMax: Int
  /// Bytes of raw events in one answer, give or take one event.
  package var eventsAnswerBytesMax: Int

  /// The bytes of results kept so that their pages show one moment, and how long they are kept after their last use.
  package var pinnedBytesMax: Int
  package var pinnedLifetime: Duration
  /// The answers of all rows that are read at a time, each of a moment that is kept meanwhile, and how long each may take.
  package var exportsMax: Int
  package var exportTimeMax: Duration
  /// Live streams at a time, and the rows of each.
  package var streamsMax: Int
  package var streamRowsMax: Int
  /// The bytes that one stream holds, and all of them together.
  package var streamBytesMax: Int
  package var streamsBytesMax: Int
  /// The most rows of a one-off aggregation.
  package var aggregateRowsMax: Int
  /// Statements of SQL that run at a time, each on its own thread.
  package var sqlThreads: Int
  /// A statement that runs longer is ended; `timeout` in a request overrides it.
  package var sqlTimeout: Duration
  /// The bytes SQLite may take while a statement runs, beyond those it had before.
  package var sqlMemoryBytesMax: Int
  /// The rows of views that a statement reads, over all views that it names.
  package var sqlViewRowsMax: Int
  /// The bytes of a statement's rows in the answer.
  package var sqlAnswerBytesMax: Int
  /// The bytes of one value of a statement, and of one row as it is sorted or kept: they bound the time of a single function
  /// call.
  package var sqlValueBytesMax: Int

  package init(
    host: String = "127.0.0.1", port: Int = 8080, hosts: [String] = [], origins: [String] = [],
    serving: ServingLimits = ServingLimits(stallTimeout: .seconds(20)), rowsMax: Int = 100_000,
    partitionIdleAfter: Duration = .seconds(60), eventsScanBytesMax: Int = 64 << 20,
    eventsAnswerBytesMax: Int = 8 << 20, pinnedBytesMax: Int = 256 << 20, pinnedLifetime: Duration = .seconds(300),
    exportsMax: Int = 8, exportTimeMax: Duration = .seconds(600), streamsMax: Int = 256, streamRowsMax: Int = 10_000,
    streamBytesMax: Int = 32 << 20, streamsBytesMax: Int = 128 << 20,
    aggregateRowsMax: Int = 1_000_000, sqlThreads: Int = 2, sqlTimeout: Duration = .seconds(10),
    sqlMemoryBytesMax: Int = 256 << 20, sqlViewRowsMax: Int = 2_000_000, sqlAnswerBytesMax: Int = 64 << 20,
    sqlValueBytesMax: Int = 128 << 10
  ) {
    self.host = host
    self.port = port
    self.rowsMax = rowsMax
    self.hosts = hosts
    self.origins = origins
    self.serving = serving
    self.partitionIdleAfter = partitionIdleAfter
    self.eventsScanBytesMax = eventsScanBytesMax
    self.eventsAnswerBytesMax = eventsAnswerBytesMax
    self.pinnedBytesMax = pinnedBytesMax
    self.pinnedLifetime = pinnedLifetime
    self.exportsMax = exportsMax
    self.exportTimeMax = exportTimeMax
    self.streamsMax = streamsMax
    self.streamRowsMax = streamRowsMax
    self.streamBytesMax = streamBytesMax
    self.streamsBytesMax = streamsBytesMax
    self.aggregateRowsMax = aggregateRowsMax
    self.sqlThreads = sqlThreads
    self.sqlTimeout = sqlTimeout
    self.sqlMemoryBytesMax = sqlMemoryBytesMax
    self.sqlViewRowsMax = sqlViewRowsMax
    self.sqlAnswerBytesMax = sqlAnswerBytesMax
    self.sqlValueBytesMax = sqlValueBytesMax
  }
}

extension QueryConfiguration {
  var sql: SQLLimits {
    SQLLimits(
      timeout: sqlTimeout, viewRowsMax: sqlViewRowsMax, answerBytesMax: sqlAnswerBytesMax, memoryBytesMax: sqlMemoryBytesMax,
      valueBytesMax: sqlValueBytesMax)
  }
}
