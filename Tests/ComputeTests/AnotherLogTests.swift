import Compute
import Events
import Foundation
import Log
import Synchronization
import Testing
import Views

/// State that was computed from one log, beside another; and a log that has lost what was counted.
@Suite("State and log that do not belong together")
struct AnotherLogTests {
  private static let views = """
    views:
      readings:
        key: [source]
        window: { tumble: 1h }
        watermark_delay: 1h
        allowed_lateness: 1d
        retention: 3650d
        aggregates: { readings: count() }
    """

  private func events(_ count: Int, of source: String = "a") -> [Event] {
    (0..<count).map { Event(source: source, type: "t", time: Timestamp(nanoseconds: Int64($0) * 1_000_000_000)) }
  }

  private func start(
    _ fixture: ComputeFixture, _ log: any EventLog, accepted: LogIdentity? = nil
  ) async throws -> ComputeService {
    let service = try await ComputeService(
      configuration: ComputeConfiguration(
        directory: fixture.directory + "/compute", workers: 2, checkpointInterval: .milliseconds(5), acceptedLog: accepted),
      catalog: try ViewCatalog(yaml: Self.views, file: "test.yaml"), log: log, logger: ComputeFixture.logger)
    service.start()
    return service
  }

  private func count(_ service: ComputeService, after: OffsetVector? = nil) async throws -> Int {
    let result = try await service.read(ViewReadRequest(view: "readings", after: after, timeout: .seconds(60)))
    return result.rows.merged(layout: result.definition.layout).count
  }

  private func code(_ body: () async throws -> Void) async -> String? {
    do {
      try await body()
      return nil
    } catch {
      guard case .unusable(let code, _)? = error as? ViewStoreError else { return "\(error)" }
      return code
    }
  }

  @Test("are not mixed: not ready, no answers, nothing changed, until the new log is accepted by name; then all is computed anew")
  func replaced() async throws {
    let fixture = try await ComputeFixture()
    let before = try await fixture.append(events(5000)) { 500 }
    let counting = try await start(fixture, fixture.log)
    #expect(try await count(counting, after: before) == 2)
    await counting.shutDown()

    var configuration = LogConfiguration(directory: fixture.directory + "/second")
    configuration.partitions = 3
    let second = try await SegmentedLog.open(configuration, logger: ComputeFixture.logger)
    let partition = second.partition(of: "b")
    let end = try await second.append(ColumnBatch(events: events(4, of: "b"), partition: partition)).endOffset
    let after = OffsetVector([partition: end])

    for accepted in [nil, fixture.log.identity, second.identity.next] {
      let refused = try await start(fixture, second, accepted: accepted)
      let problem = try #require(await refused.problem())
      #expect(problem.contains("compute.accept_log to \(second.identity)"))
      #expect(await code { _ = try await count(refused, after: after) } == "another_log")
      #expect(await code { _ = try await count(refused) } == "another_log")
      #expect(await code { _ = try await refused.views() } == "another_log")
      #expect(await code { _ = try await refused.late(LateReadRequest(view: "readings", limit: 1)) } == "another_log")
      #expect(await code { _ = try await refused.rollback("readings") } == "another_log")
      await refused.shutDown()
    }
    // As it was, for its own log.
    let own = try await start(fixture, fixture.log)
    #expect(try await count(own, after: before) == 2)
    await own.shutDown()

    let accepting = try await start(fixture, second, accepted: second.identity)
    #expect(try await count(accepting, after: after) == 1)
    #expect(await accepting.problem() == nil)
    await accepting.shutDown()
    let aside = try FileManager.default.contentsOfDirectory(atPath: fixture.directory + "/compute/0")
    #expect(aside.contains("state.sqlite.of-\(fixture.log.identity)"), "\(aside)")
    // The setting may stay: it has had its effect.
    let again = try await start(fixture, second, accepted: second.identity)
    #expect(try await count(again, after: after) == 1)
    await again.shutDown()
    await second.close()
    try await fixture.remove()
  }

  @Test(
    "a log that ends before what was counted is an error in every answer, found at the start and while it runs",
    arguments: [true, false])
  func behind(isRestarted: Bool) async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let end = try await fixture.append(events(100)) { 10 }
    let log = CutLog(fixture.log)
    var service = try await start(fixture, log)
    #expect(try await count(service, after: end) == 1)
    if isRestarted { await service.shutDown() }
    log.end.withLock { $0 = Offset(60) }
    if isRestarted { service = try await start(fixture, log) }
    let deadline = ContinuousClock.now + .seconds(60)
    while await service.problem() == nil, ContinuousClock.now < deadline { await Task.yield() }
    #expect(await service.problem()?.contains("up to offset 100") == true)
    #expect(await code { _ = try await count(service) } == "log_behind")
    #expect(await code { _ = try await count(service, after: OffsetVector([PartitionID(0): Offset(4)])) } == "log_behind")
    // The ledger's tallies say how far each has come, and leave nothing out.
    let progress = try await service.views()[0].partitions[0]
    #expect(progress.nextOffset == Offset(100) && progress.highWatermark == Offset(60))
    await service.shutDown()
    // By the next start the log has as many again, and others: what was counted is none of them.
    log.end.withLock { $0 = nil }
    let later = try await start(fixture, log)
    #expect(await later.problem()?.contains("had lost") == true)
    #expect(await code { _ = try await count(later) } == "another_log")
    await later.shutDown()
    try await fixture.remove()
  }

  @Test("a state file removed under a running process is no place to checkpoint to: it says so, and the log must keep the events")
  func removedState() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let service = try await start(fixture, fixture.log)
    #expect(try await count(service, after: try await fixture.append(events(10)) { 10 }) == 1)
    let deadline = ContinuousClock.now + .seconds(60)
    while await service.neededOffsets()[PartitionID(0)] != Offset(10), ContinuousClock.now < deadline { await Task.yield() }
    try FileManager.default.removeItem(atPath: fixture.directory + "/compute")
    let end = try await fixture.append(events(10, of: "b")) { 10 }
    #expect(try await count(service, after: end) == 2)
    while await service.problem() == nil, ContinuousClock.now < deadline { await Task.yield() }
    #expect(await service.problem()?.contains("state.sqlite is gone") == true)
    #expect(await service.neededOffsets()[PartitionID(0)] == Offset(10))
    await service.shutDown()
    try await fixture.remove()
  }
}

/// A log that ends earlier than it did.
private final class CutLog: EventLog {
  private let log: SegmentedLog
  let end = Mutex<Offset?>(nil)

  init(_ log: SegmentedLog) { self.log = log }

  var partitionCount: Int { log.partitionCount }
  var identity: LogIdentity { log.identity }

  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    log.append(batch, completion: completion)
  }

  nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  { try await log.read(partition, from: start, bytesMax: bytesMax) }

  nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    let bounds = try await log.bounds(of: partition)
    return PartitionBounds(startOffset: bounds.startOffset, highWatermark: end.withLock { $0 } ?? bounds.highWatermark)
  }

  nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    try await log.waitForAppend(past: positions)
  }

  nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError) -> [UTF8Text: ProducerPosition] {
    try await log.producerPositions(of: sources)
  }

  nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError) -> Offset?
  { try await log.firstOffset(of: partition, atOrAfter: time) }
}
