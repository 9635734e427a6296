import Events
import Expressions
import Foundation
import Log
import Logging
import Views

@testable import Compute

/// A folder with a log, and compute over it as often as a test starts it.
struct ComputeFixture {
  let directory: String
  let log: SegmentedLog
  /// With the log, as in a server.
  let record: ViewsRecordFile

  init(partitions: Int = 3) async throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-compute-\(UUID())").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    var configuration = LogConfiguration(directory: directory)
    configuration.partitions = partitions
    configuration.sync = .never
    log = try await SegmentedLog.open(configuration, logger: ComputeFixture.logger)
    record = try ViewsRecordFile(directory: directory, logger: ComputeFixture.logger)
  }

  static let logger: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
  }()

  func start(
    _ yaml: String, workers: Int = 2, changedRowsMax: Int = 1000, memoryBytesMax: Int = 1 << 30,
    lateEventsMax: Int = 100_000, clockAheadMax: Duration = .seconds(60), folder: String = "compute", record: (any ViewsRecord)? = nil
  ) async throws -> ComputeService {
    let service = try await ComputeService(
      configuration: ComputeConfiguration(
        directory: "\(directory)/\(folder)", workers: workers, checkpointInterval: .milliseconds(5),
        changedRowsMax: changedRowsMax, readBytesMax: 4096, memoryBytesMax: memoryBytesMax,
        lateEventsMax: lateEventsMax, keptCheckpointsMax: 0, clockAheadMax: clockAheadMax),
      catalog: try ViewCatalog(yaml: yaml, file: "test.yaml"), log: log, record: record ?? self.record,
      logger: ComputeFixture.logger)
    service.start()
    return service
  }

  /// Appends events to their partitions, in batches of these sizes, and gives the offsets after them.
  func append(_ events: [Event], batch: () -> Int) async throws -> OffsetVector {
    var end = OffsetVector()
    var byPartition: [PartitionID: [Event]] = [:]
    for event in events { byPartition[log.partition(of: event.source), default: []].append(event) }
    for (partition, events) in byPartition.sorted(by: { $0.key < $1.key }) {
      var rest = events[...]
      while !rest.isEmpty {
        let part = rest.prefix(batch())
        rest = rest.dropFirst(part.count)
        end[partition] = try await log.append(ColumnBatch(events: Array(part), partition: partition)).endOffset
      }
    }
    return end
  }

  /// All rows of a view once it has counted up to `offsets`: window start, keys, results; sorted.
  func rows(
    _ service: ComputeService, _ view: String, after offsets: OffsetVector, from: Timestamp? = nil, to: Timestamp? = nil
  ) async throws -> [Row] {
    let result = try await service.read(
      ViewReadRequest(view: view, from: from, to: to, after: offsets, timeout: .seconds(120)))
    let merged = result.rows.merged(layout: result.definition.layout)
    return (0..<merged.count).map { row in
      Row(
        windowStart: merged.windowStarts[row], keys: merged.keys(row),
        values: merged.withState(row) { result.definition.layout.values(of: $0) })
    }
  }

  func remove() async throws {
    await log.close()
    try FileManager.default.removeItem(atPath: directory)
  }
}

typealias ViewRow = Row

struct Row: Hashable, CustomStringConvertible {
  var windowStart: Int64
  var keys: [ResultValue]
  var values: [ResultValue]
  var description: String { "\(Timestamp(nanoseconds: windowStart)) \(keys.map(\.json)) \(values.map(\.json))" }
}

/// The service as one, for tests that ask it this and that.
extension ComputeService {
  var workers: [ComputeWorker] { partitions.workers }
  var ownedPartitions: Set<PartitionID> { partitions.owned }
  func neededOffsets() async -> OffsetVector { await partitions.neededOffsets() }
  func handOver(_ given: Set<PartitionID>) async { await partitions.handOver(given) }
  func release(_ given: Set<PartitionID>) async { await partitions.release(given) }

  func views() async throws(ViewStoreError) -> [ViewStatus] { try await reads.views() }
  func tallies() async throws(ViewStoreError) -> [ViewTally] { try await reads.tallies() }
  func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult { try await reads.read(request) }
  func readAtOnce(_ request: ViewReadRequest) -> PartialResult? { reads.readAtOnce(request) }
  func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? { try await reads.stream(request) }
  func late(_ request: LateReadRequest) async throws(ViewStoreError) -> LateReadResult { try await reads.late(request) }

  func generations(of view: String) async throws(ViewStoreError) -> [GenerationStatus] {
    try await generations.generations(of: view)
  }
  func apply(_ catalog: ViewCatalog, hold: Bool) async throws(ViewStoreError) -> [AppliedView] {
    try await generations.apply(catalog, hold: hold)
  }
  func reload(_ catalog: ViewCatalog) async throws(ViewStoreError) -> [AppliedView] { try await generations.reload(catalog) }
  func replay(_ request: ReplayRequest) async throws(ViewStoreError) -> GenerationStatus {
    try await generations.replay(request)
  }
  func estimate(_ request: ReplayRequest) async throws(ViewStoreError) -> ReplayEstimate {
    try await generations.estimate(request)
  }
  func promote(_ request: PromoteRequest) async throws(ViewStoreError) -> GenerationStatus {
    try await generations.promote(request)
  }
  func rollback(_ view: String) async throws(ViewStoreError) -> GenerationStatus { try await generations.rollback(view) }
  func drop(_ view: String, generation: Int) async throws(ViewStoreError) -> GenerationStatus {
    try await generations.drop(view, generation: generation)
  }
  func remove(_ view: String, purgeAfter: Int64) async throws(ViewStoreError) -> ViewRemoval {
    try await generations.remove(view, purgeAfter: purgeAfter)
  }
  func pinned(_ request: PinnedRequest) async throws(ViewStoreError) -> PinnedResults { try await generations.pinned(request) }
  func verify(_ view: String, generation: Int?, timeout: Duration) async throws(ViewStoreError) -> VerifyReport {
    try await generations.verify(view, generation: generation, timeout: timeout)
  }

  /// A stream of a moment, with so many rows of the files held at a time.
  func snapshotReader(
    _ request: ViewReadRequest, rowsMax: Int = SnapshotReader.rowsMax
  ) async throws(ViewStoreError) -> (snapshot: ReadSnapshot, rows: SnapshotReader)? {
    guard let (snapshot, wanted) = try await reads.snapshot(request) else { return nil }
    return (snapshot, SnapshotReader(snapshot, through: wanted.range.through, rowsMax: rowsMax))
  }
}
