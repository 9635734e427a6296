import ArgumentParser
import Compute
import Events
import Expressions
import Foundation
import Logging
import Views

struct VolumeBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "volume",
    abstract: "A view with more keys than fit its memory: what folding, checkpoints and reads cost, and what is resident.")

  @Option(help: "Keys, each with a row: in 8 partitions.")
  var keys = [100_000, 1_000_000, 10_000_000]

  @Option(help: "Memory for the view's rows, MiB.")
  var memory = 256

  @Option(help: "Workers, each on one core.")
  var workers = 1

  @Option(help: "Times that every key has an event: from the second on, rows are met again.")
  var passes = 2

  @Option(help: "Reads of one key.")
  var reads = 1000

  private static let views = """
    views:
      by_device:
        key: { device: data.device }
        window: { tumble: 1d }
        watermark_delay: 1h
        allowed_lateness: 1d
        aggregates: { number: count(), total: sum(data.value), least: min(data.value), most: max(data.value) }
    """

  func run() async throws {
    for keys in keys { try await run(keys: keys) }
  }

  private func run(keys: Int) async throws {
    let log = ManyKeysLog(keysPerPartition: max(1, keys / 8), passes: passes)
    var logger = Logger(label: "bench")
    logger.logLevel = .warning
    let folder = NSTemporaryDirectory() + "/penstock-bench-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let compute = try await ComputeService(
      configuration: ComputeConfiguration(
        directory: folder, workers: workers, memoryBytesMax: memory << 20, keptCheckpointsMax: 0),
      catalog: try ViewCatalog(yaml: VolumeBench.views, file: "bench"), log: log, logger: logger)
    compute.start()
    print("volume  \(keys) keys, \(memory) MiB, \(workers) workers")
    for pass in 1...passes {
      let started = monotonicNow()
      let filter = try Expression(parsing: #"device == "none""#)
      _ = try await compute.reads.read(
        ViewReadRequest(view: "by_device", after: log.end(ofPass: pass), timeout: .seconds(3600), keyFilter: filter))
      let seconds = Double(monotonicNow() - started) / 1e9
      let resident = ProcessUsage.read(nil)?.residentMiB ?? .nan
      print(
        "  pass \(pass)  \(fixed(Double(log.keysPerPartition * 8) / seconds / 1e6, 3)) M events/s with checkpoints  "
          + "\(fixed(resident, 0)) MiB resident")
    }
    var random = SystemRandomNumberGenerator()
    var times: [Double] = []
    for _ in 0..<reads {
      let key = Int.random(in: 0..<log.keysPerPartition, using: &random)
      let filter = try Expression(parsing: #"device == "\#(Int.random(in: 0..<8))-\#(key)""#)
      let started = monotonicNow()
      let result = try await compute.reads.read(ViewReadRequest(view: "by_device", timeout: .seconds(60), keyFilter: filter))
      times.append(Double(monotonicNow() - started) / 1e6)
      guard result.rows.count == 1 else { throw BenchError("a key has \(result.rows.count) rows") }
    }
    times.sort()
    print("  one key  \(fixed(times[times.count / 2], 3)) ms, p99 \(fixed(times[times.count * 99 / 100], 3)) ms")
    let started = monotonicNow()
    await compute.shutDown()
    print("  stop, with a last checkpoint  \(fixed(Double(monotonicNow() - started) / 1e9, 2)) s")
  }
}

/// A log in which every key of a partition has one event in each pass, in batches that are made when they are read.
private final class ManyKeysLog: GeneratedLog {
  private static let eventsMax = 5000

  let keysPerPartition: Int
  private let passes: Int
  private let events: Int
  let partitionCount = 8

  init(keysPerPartition: Int, passes: Int) {
    let batches = (keysPerPartition + ManyKeysLog.eventsMax - 1) / ManyKeysLog.eventsMax
    events = max(1, keysPerPartition / batches)
    self.keysPerPartition = events * batches
    self.passes = passes
  }

  func end(ofPass pass: Int) -> OffsetVector {
    OffsetVector(
      Dictionary(uniqueKeysWithValues: (0..<partitionCount).map { (PartitionID($0), Offset(Int64(keysPerPartition * pass))) }))
  }

  func end(of partition: PartitionID) -> Offset { Offset(Int64(keysPerPartition * passes)) }

  nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  {
    guard start.rawValue < Int64(keysPerPartition * passes) else { return [] }
    let number = Int(start.rawValue) / events
    let first = number * events % keysPerPartition
    do {
      var batch = try BatchMaker.batch(partition, events: events) { index, text in
        let time = EventTemplate.timeText(milliseconds: 1_700_000_000_000 + Int64(index) * 600_000 / Int64(self.events))
        text =
          Array(
            (#"{"source":"gateway","type":"reading","time":"\#(String(decoding: time, as: UTF8.self))","sequence":\#(1 + index),"#
              + #""data":{"value":\#(Double(index % 4000) / 100),"device":"\#(partition.index)-\#(first + index)"}}"#).utf8)
          + Array(repeating: 0, count: EventReader.padding)
      }
      batch.place(
        partition: partition, baseOffset: Offset(Int64(number * events)), appendTime: Timestamp(nanoseconds: 0))
      return [batch]
    } catch {
      throw LogError(.unavailable, "\(error)")
    }
  }
}
