import Events
import LogTestSupport
import Testing
import Wire

@testable import Log

/// Makes logs of one engine. The suites of this folder are the contract of `EventLog`: they run for each engine, and know
/// nothing of its files or servers.
struct Engine: Sendable, CustomTestStringConvertible {
  /// A new engine adds one entry.
  static let all = [
    Engine("memory") { MemoryPlace($0, $1) },
    Engine("segmented files") { SegmentedPlace(configuration: $0, clock: $1) },
    Engine("segmented files, over the wire", isRemote: true) {
      ServedPlace(served: SegmentedPlace(configuration: $0, clock: $1))
    },
  ]

  let testDescription: String
  /// Whether each call is a journey: then a test makes fewer.
  let isRemote: Bool
  private let makePlace: @Sendable (LogConfiguration, TestClock) -> any LogPlace

  private init(
    _ name: String, isRemote: Bool = false, _ makePlace: @escaping @Sendable (LogConfiguration, TestClock) -> any LogPlace
  ) {
    testDescription = name
    self.isRemote = isRemote
    self.makePlace = makePlace
  }

  /// A place of its own for a new log. An engine passes over settings that it does not have.
  func place(_ configuration: LogConfiguration = testConfiguration(), clock: TestClock = TestClock()) -> any LogPlace {
    makePlace(configuration, clock)
  }
}

/// Where one log lies, which is opened, closed, and opened again.
protocol LogPlace: Sendable {
  func open() async throws -> any TestedLog
}

protocol TestedLog: EventLog {
  func status() -> [PartitionStatus]
  func close() async
}

extension SegmentedLog: TestedLog {}

private struct SegmentedPlace: LogPlace {
  let files = FaultyFileSystem()
  let configuration: LogConfiguration
  let clock: TestClock

  func open() async throws -> any TestedLog { try await openSegmented() }

  func openSegmented() async throws(LogError) -> SegmentedLog { try await openLog(files, configuration, clock: clock) }
}

private struct ServedPlace: LogPlace {
  let served: SegmentedPlace

  func open() async throws -> any TestedLog {
    let log = try await ServedLog { () async throws(LogError) in try await served.openSegmented() }
    return RemotelyReached(
      served: log, storage: await log.storage, remote: try await RemoteLog.connect(log.client, logger: quiet))
  }
}

private struct RemotelyReached: TestedLog, ForwardingLog {
  let served: ServedLog
  let storage: SegmentedLog
  let remote: RemoteLog

  var log: any EventLog { remote }
  func status() -> [PartitionStatus] { storage.status() }

  func close() async {
    await remote.close()
    await served.stop()
  }
}
