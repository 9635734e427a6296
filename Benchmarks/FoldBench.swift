import ArgumentParser
import Compute
import Events
import Foundation
import Logging
import Views

struct FoldBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fold",
    abstract: "Batches from memory into a view by source and minute: count, sum, min, max, or others; checkpoints included.")

  @Option(help: "Workers, each on one core.")
  var workers = 1

  @Option(help: "Sources in each of 8 partitions.")
  var keys = 125

  @Option(help: "Events in a batch.")
  var events = 6000

  @Option(help: "Times that each partition's batch is read.")
  var repeats = 400

  @Option(help: "The view's aggregates, as in a view file.")
  var aggregates = "{ number: count(), total: sum(data.value), least: min(data.value), most: max(data.value) }"

  @Option(help: "The view's window, as in a view file.")
  var window = "{ tumble: 1m }"

  @Option(help: "Runs, of which the median is given.")
  var runs = 3

  private var views: String {
    """
    views:
      per_minute:
        key: [source]
        window: \(window)
        watermark_delay: 1h
        allowed_lateness: 1d
        retention: 3650d
        aggregates: \(aggregates)
    """
  }

  func run() async throws {
    let log = RepeatingLog(
      try BatchMaker.batches(partitions: 8, events: events, keys: keys), repeats: repeats)
    let catalog = try ViewCatalog(yaml: views, file: "bench")
    var logger = Logger(label: "bench")
    logger.logLevel = .warning
    var seconds: [Double] = []
    for _ in 0..<runs {
      let folder = NSTemporaryDirectory() + "/penstock-bench-\(UUID().uuidString)"
      let compute = try await ComputeService(
        configuration: ComputeConfiguration(directory: folder, workers: workers, keptCheckpointsMax: 0), catalog: catalog,
        log: log, logger: logger)
      let started = monotonicNow()
      compute.start()
      _ = try await compute.reads.read(ViewReadRequest(view: "per_minute", after: log.end, timeout: .seconds(600)))
      seconds.append(Double(monotonicNow() - started) / 1e9)
      await compute.shutDown()
      try FileManager.default.removeItem(atPath: folder)
    }
    let total = Double(8 * events * repeats)
    print(
      "fold  \(8 * keys) sources, batches of \(events), \(workers) workers  "
        + "\(fixed(total / median(seconds) / 1e6, 2)) M events/s  "
        + "(\(fixed(total / 1e6, 1)) M events in \(fixed(median(seconds), 2)) s)")
  }
}

/// A log that is full from the beginning: one batch a partition, again and again.
private final class RepeatingLog: GeneratedLog {
  /// After the events' times: no clock is ahead.
  private static let appendTime = Timestamp(nanoseconds: 1_800_000_000_000_000_000)

  private let batches: [ColumnBatch]
  private let repeats: Int
  let partitionCount: Int
  let end: OffsetVector

  init(_ batches: [ColumnBatch], repeats: Int) {
    self.batches = batches
    self.repeats = repeats
    partitionCount = batches.count
    end = OffsetVector(
      Dictionary(uniqueKeysWithValues: batches.map { ($0.partition, Offset(Int64($0.count * repeats))) }))
  }

  func end(of partition: PartitionID) -> Offset { Offset(Int64(batches[partition.index].count * repeats)) }

  nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  {
    var batch = batches[partition.index]
    let number = Int(start.rawValue) / batch.count
    var read: [ColumnBatch] = []
    var bytes = 0
    for index in number..<max(number, repeats) where bytes == 0 || bytes + batch.encoded.count <= bytesMax {
      batch.place(
        partition: partition, baseOffset: Offset(Int64(index * batch.count)), appendTime: RepeatingLog.appendTime)
      bytes += batch.encoded.count
      read.append(batch)
    }
    return read
  }
}
