import Serving

/// The settings of the query service. Bounds are checked where the settings are read.
public struct QueryConfiguration: Sendable, Hashable {
  public var host: String
  /// 0 takes a free one.
  public var port: Int
  /// The host names it answers as, besides `host` and those of loopback.
  public var hosts: [String]
  /// The origins of pages that may ask, besides its own.
  public var origins: [String]
  /// The limits of its connections; each has one request at a time.
  public var serving: ServingLimits
  /// The largest `limit`; for raw events never above 10,000.
  public var rowsMax: Int
  /// A partition to which nothing was appended for this long holds back no result's `final`.
  public var partitionIdleAfter: Duration
  /// The bytes of the log that one request for raw events reads before it answers with a cursor.
  public var eventsScanBytesMax: Int
  /// Bytes of raw events in one answer, give or take one event.
  public var eventsAnswerBytesMax: Int

  /// The bytes of results kept so that their pages show one moment, and how long they are kept after their last use.
  public var pinnedBytesMax: Int
  public var pinnedLifetime: Duration
  /// The answers of all rows that are read at a time, each of a moment that is kept meanwhile, and how long each may take.
  public var exportsMax: Int
  public var exportTimeMax: Duration
  /// Live streams at a time, and the rows of each.
  public var streamsMax: Int
  public var streamRowsMax: Int
  /// The bytes that one stream holds, and all of them together.
  public var streamBytesMax: Int
  public var streamsBytesMax: Int
  /// The most rows of a one-off aggregation.
  public var aggregateRowsMax: Int
  /// Statements of SQL that run at a time, each on its own thread.
  public var sqlThreads: Int
  /// A statement that runs longer is ended; `timeout` in a request overrides it.
  public var sqlTimeout: Duration
  /// The bytes SQLite may take while a statement runs, beyond those it had before.
  public var sqlMemoryBytesMax: Int
  /// The rows of views that a statement reads, over all views that it names.
  public var sqlViewRowsMax: Int
  /// The bytes of a statement's rows in the answer.
  public var sqlAnswerBytesMax: Int
  /// The bytes of one value of a statement, and of one row as it is sorted or kept: they bound the time of a single function
  /// call.
  public var sqlValueBytesMax: Int

  public init(
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
