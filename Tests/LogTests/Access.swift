import Events
import NIOPosix
import Serving
import Testing
import Wire

@testable import Log

/// How a test reaches the log: the promises are the same.
enum Access: Sendable, CaseIterable {
  case inProcess
  case wire

  func openLog(
    _ fileSystem: any FileSystem, _ configuration: LogConfiguration = testConfiguration(), clock: TestClock = TestClock()
  ) async throws -> AccessedLog {
    let storage = try await openStorage(fileSystem, configuration, clock)
    guard self == .wire else { return AccessedLog(storage: storage, log: storage, wire: nil) }
    let group = MultiThreadedEventLoopGroup.singleton
    let server = WireServer(
      name: "log", host: "127.0.0.1", port: 0, group: group, routes: LogRoutes(log: storage),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), logger: quiet)
    let port = try #require(try await server.start()?.port)
    let client = WireClient(dialler: LoopbackDialler(service: "log", [.init(id: "log-1", port: port)]), group: group)
    let remote = try await RemoteLog.connect(client, logger: quiet)
    return AccessedLog(storage: storage, log: remote, wire: (server, client, remote))
  }
}

private func openStorage(
  _ fileSystem: any FileSystem, _ configuration: LogConfiguration, _ clock: TestClock
) async throws(LogError) -> SegmentedLog {
  try await openLog(fileSystem, configuration, clock: clock)
}

/// A log, and what it is reached by.
struct AccessedLog: EventLog {
  let storage: SegmentedLog
  let log: any EventLog
  let wire: (server: WireServer, client: WireClient, log: RemoteLog)?

  func close() async {
    if let wire {
      await wire.log.close()
      await wire.client.close()
      await wire.server.shutDown()
    }
    await storage.close()
  }

  var partitionCount: Int { log.partitionCount }
  var identity: LogIdentity { log.identity }

  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    log.append(batch, completion: completion)
  }

  nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  { try await log.read(partition, from: start, bytesMax: bytesMax) }

  nonisolated(nonsending) func readSome(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead] {
    await log.readSome(from: positions, bytesMax: bytesMax)
  }

  nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    try await log.bounds(of: partition)
  }

  nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    try await log.waitForAppend(past: positions)
  }

  nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError) -> [UTF8Text: ProducerPosition] {
    try await log.producerPositions(of: sources)
  }

  nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
  { try await log.firstOffset(of: partition, atOrAfter: time) }
}
