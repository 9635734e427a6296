import Aggregates
import Events
import Foundation
import Log
import Synchronization
import TestSupport
import Testing
import Views

@testable import Compute

/// Reads at a past point from kept copies of the workers' files.
@Suite("Kept checkpoints")
struct KeptCheckpointTests {
  private static func copies(_ fixture: ComputeFixture, worker: Int) -> [String] {
    let folder = "\(fixture.directory)/compute/\(worker)/kept"
    return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { Int64($0) != nil }.sorted()
  }

  private static func start(_ fixture: ComputeFixture, log: any EventLog, kept: Int, _ yaml: String) async throws
    -> ComputeService
  {
    let service = try await ComputeService(
      configuration: ComputeConfiguration(
        directory: fixture.directory + "/compute", workers: 1, checkpointInterval: .milliseconds(5), changedRowsMax: 1000,
        readBytesMax: 4096, keptCheckpointsMax: kept, keptCheckpointInterval: .milliseconds(1)),
      catalog: try ViewCatalog(yaml: yaml, file: "test.yaml"), log: log, logger: ComputeFixture.logger)
    service.start()
    return service
  }

  private static func wait(_ what: Comment, until isSo: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while try await !isSo() {
      try #require(ContinuousClock.now < deadline, what)
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  @Test(
    "a past state is what folding from the start gives, also where the log has lost its start; without a copy that is said",
    arguments: WindowTests.Kind.allCases)
  func past(kind: WindowTests.Kind) async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let log = ShortenedLog(fixture.log)
    let partition = PartitionID(0)
    let yaml = WindowTests.views(kind)
    let events = WindowTests.events(seed: 21, count: 900)
    var service = try await Self.start(fixture, log: log, kept: 3, yaml)
    let first = try await fixture.append(Array(events[..<400])) { 30 }
    _ = try await service.read(ViewReadRequest(view: "v", after: first, timeout: .seconds(60)))
    try await Self.wait("saved") { await service.neededOffsets()[partition] == first[partition] }
    // The next may have been begun before that; the three after it were not, and leave no older one.
    let before = Self.copies(fixture, worker: 0).last ?? "0"
    try await Self.wait("a copy") { (Self.copies(fixture, worker: 0).last ?? "0") > before }
    let next = Self.copies(fixture, worker: 0).last ?? "0"
    try await Self.wait("three more copies, and no others") {
      let copies = Self.copies(fixture, worker: 0)
      return copies.count == 3 && copies.allSatisfy { $0 > next }
    }
    // No more copies: those there are of the first part.
    await service.shutDown()
    service = try await Self.start(fixture, log: log, kept: 0, yaml)
    let end = try await fixture.append(Array(events[400...])) { 30 }
    let middle = OffsetVector([partition: Offset(600)])
    _ = try await service.read(ViewReadRequest(view: "v", after: end, timeout: .seconds(60)))
    let early = OffsetVector([partition: Offset(300)])
    // One without copies, and with the whole log.
    let other = try await fixture.start(yaml, workers: 1, folder: "other")
    let expected = try await other.read(ViewReadRequest(view: "v", timeout: .seconds(60), asOf: middle))
    await other.shutDown()
    log.start.withLock { $0 = Offset(350) }
    let result = try await service.read(ViewReadRequest(view: "v", timeout: .seconds(60), asOf: middle))
    #expect(result.asOf == middle)
    #expect(StateHash(result.rows) == StateHash(expected.rows) && result.rows.count > 0)
    #expect(result.eventTimeWatermarks == expected.eventTimeWatermarks)
    // No copy is that old.
    let error = await #expect(throws: ViewStoreError.self) {
      try await service.read(ViewReadRequest(view: "v", timeout: .seconds(60), asOf: early))
    }
    guard case .asOfUnreachable(let logStarts, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(logStarts == OffsetVector([partition: Offset(350)]))
    await service.shutDown()
    try await fixture.remove()
  }
}

/// A log that has lost its events before `start`.
private final class ShortenedLog: EventLog {
  private let log: SegmentedLog
  let start = Mutex(Offset.zero)

  init(_ log: SegmentedLog) { self.log = log }

  var partitionCount: Int { log.partitionCount }
  var identity: LogIdentity { log.identity }

  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    log.append(batch, completion: completion)
  }

  nonisolated(nonsending) func read(
    _ partition: PartitionID, from start: Offset, bytesMax: Int
  ) async throws(LogError) -> [ColumnBatch] {
    guard start >= self.start.withLock({ $0 }) else { throw LogError(.outOfRange, "the log starts later") }
    return try await log.read(partition, from: start, bytesMax: bytesMax)
  }

  nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    let bounds = try await log.bounds(of: partition)
    return PartitionBounds(startOffset: start.withLock { $0 }, highWatermark: bounds.highWatermark)
  }

  nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    try await log.waitForAppend(past: positions)
  }

  nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError) -> [UTF8Text: ProducerPosition] {
    try await log.producerPositions(of: sources)
  }

  nonisolated(nonsending) func firstOffset(
    of partition: PartitionID, atOrAfter time: Timestamp
  ) async throws(LogError) -> Offset? {
    try await log.firstOffset(of: partition, atOrAfter: time)
  }
}
