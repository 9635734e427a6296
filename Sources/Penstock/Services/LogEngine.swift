import Events
import Ingest
import Log
import Logging

/// A log and the record of views that lies with it, opened by the engine of the settings: the one place that names engines.
struct LogEngine: Sendable {
  /// From one look at the log's files to the next.
  static let watchInterval = Duration.seconds(1)

  let log: any EventLog & LogAdministration
  let record: any ViewsRecord
  /// Wakes those who wait for the record.
  let endRecord: @Sendable () async -> Void

  /// - Parameters:
  ///   - settings: Where it lies, and how it is kept.
  ///   - ingestLoops: Each may have `IngestService.pendingBytesPerLoopMax` under way to one partition.
  ///   - logger: The log's logger.
  static func open(_ settings: Settings, ingestLoops: Int, logger: Logger) async throws -> LogEngine {
    let log = try await SegmentedLog.open(LogConfiguration(settings, ingestLoops: ingestLoops), logger: logger)
    do {
      let record = try ViewsRecordFile(directory: settings.data, logger: logger)
      return LogEngine(log: log, record: record) { await record.close() }
    } catch {
      await log.close()
      throw error
    }
  }
}

extension LogAdministration {
  /// The problem of the first partition that takes no appends; nil when all do.
  var problem: String? {
    status().compactMap { status -> String? in
      switch status.state {
      case .open: nil
      case .failed(let error), .refusing(let error): error.description
      }
    }.first
  }
}

extension LogConfiguration {
  init(_ settings: Settings, ingestLoops: Int) {
    self = settings.log.configuration
    directory = settings.data
    if case .interval = sync { sync = .interval(settings.log.syncInterval) }
    // Each loop may have this much under way to one partition before it stops reading.
    pendingBytesMax = max(pendingBytesMax, ingestLoops * IngestService.pendingBytesPerLoopMax)
  }
}
