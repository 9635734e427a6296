import Compute
import Events
import Expressions
import Foundation
import Log
import Logging
import Views

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
    lateEventsMax: Int = 100_000, folder: String = "compute", record: (any ViewsRecord)? = nil
  ) async throws -> ComputeService {
    let service = try await ComputeService(
      configuration: ComputeConfiguration(
        directory: "\(directory)/\(folder)", workers: workers, checkpointInterval: .milliseconds(5),
        changedRowsMax: changedRowsMax, readBytesMax: 4096, memoryBytesMax: memoryBytesMax,
        lateEventsMax: lateEventsMax, keptCheckpointsMax: 0),
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
