import Aggregates
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
    var logger = Logger(label: "bench")
    logger.logLevel = .warning
    let folder = NSTemporaryDirectory() + "/penstock-bench-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let log = try ManyKeysLog(keysPerPartition: max(1, keys / 8), passes: passes, file: folder + "/batches")
    let compute = try await ComputeService(
      configuration: ComputeConfiguration(
        directory: folder, workers: workers, memoryBytesMax: memory << 20, keptCheckpointsMax: 0),
      catalog: try ViewCatalog(yaml: VolumeBench.views, file: "bench"), log: log, logger: logger)
    let before = ProcessUsage.read(nil)
    let writtenBefore = ProcessUsage.writtenBytes
    compute.start()
    print("volume  \(log.keysPerPartition * 8) keys, \(memory) MiB, \(workers) workers")
    for pass in 1...passes {
      let cpu = ProcessUsage.read(nil)?.cpuSeconds ?? .nan
      let started = monotonicNow()
      // Reads beside the folding: their longest times are those of its pauses.
      let reader = Task { try await VolumeBench.readUntilCancelled(compute, log) }
      let filter = try Expression(parsing: #"device == "none""#)
      _ = try await compute.reads.read(
        ViewReadRequest(view: "by_device", after: log.end(ofPass: pass), timeout: .seconds(3600), keyFilter: filter))
      let seconds = Double(monotonicNow() - started) / 1e9
      reader.cancel()
      let times = try await reader.value
      let usage = ProcessUsage.read(nil)
      let events = Double(log.keysPerPartition * 8)
      print(
        "  pass \(pass)  \(fixed(events / seconds / 1e6, 3)) M events/s with checkpoints, "
          + "\(fixed(((usage?.cpuSeconds ?? .nan) - cpu) / events * 1e9, 0)) ns of CPU an event  "
          + "\(fixed((usage?.residentMiB ?? .nan) - (before?.residentMiB ?? 0), 0)) MiB resident  "
          + "one key meanwhile \(fixed(times.quantile(0.5), 2)) ms, p99 \(fixed(times.quantile(0.99), 2)) ms")
    }
    var random = SystemRandomNumberGenerator()
    var times: [Double] = []
    for _ in 0..<reads { times.append(try await VolumeBench.readOne(compute, log, &random, isThere: true)) }
    print("  one key  \(fixed(times.quantile(0.5), 3)) ms, p99 \(fixed(times.quantile(0.99), 3)) ms")
    let hash = keys <= 100_000 ? try await VolumeBench.hash(compute, log) : "-"
    let started = monotonicNow()
    await compute.shutDown()
    let stop = Double(monotonicNow() - started) / 1e9
    let states = Double(log.keysPerPartition * 8 * VolumeBench.stateBytes)
    let file = (0..<workers).reduce(0) { $0 + VolumeBench.fileBytes("\(folder)/\($1)/state.sqlite") }
    print(
      "  stop, with a last checkpoint  \(fixed(stop, 2)) s  file \(fixed(Double(file) / 1e6, 1)) MB, "
        + "\(fixed(Double(file) / states, 2)) x the states; written "
        + "\(fixed(Double(ProcessUsage.writtenBytes - writtenBefore) / states / Double(passes), 2)) x the states of a pass; "
        + "state hash \(hash)")
  }

  /// The bytes of a row's state: count, sum, least and greatest; and of its key, about.
  private static let stateBytes = 8 * 8 + 14

  private static func fileBytes(_ path: String) -> Int {
    ["", "-wal"].reduce(0) { $0 + (((try? FileManager.default.attributesOfItem(atPath: path + $1))?[.size] as? Int) ?? 0) }
  }

  private static func hash(_ compute: ComputeService, _ log: ManyKeysLog) async throws -> String {
    StateHash(try await compute.reads.read(ViewReadRequest(view: "by_device", timeout: .seconds(600))).rows).description
  }

  /// - Returns: Milliseconds.
  private static func readOne(
    _ compute: ComputeService, _ log: ManyKeysLog, _ random: inout SystemRandomNumberGenerator, isThere: Bool
  ) async throws -> Double {
    let key = Int.random(in: 0..<log.keysPerPartition, using: &random)
    let filter = try Expression(parsing: #"device == "\#(Int.random(in: 0..<8, using: &random))-\#(key)""#)
    let request = ViewReadRequest(
      view: "by_device", timeout: .seconds(60), keyFilter: filter, key: filter.pointKey(["device"])?.key)
    let started = monotonicNow()
    let result = try await compute.reads.read(request)
    guard !isThere || result.rows.count == 1 else { throw BenchError("a key has \(result.rows.count) rows") }
    return Double(monotonicNow() - started) / 1e6
  }

  private static func readUntilCancelled(_ compute: ComputeService, _ log: ManyKeysLog) async throws -> [Double] {
    var random = SystemRandomNumberGenerator()
    var times: [Double] = []
    while !Task.isCancelled {
      do { times.append(try await readOne(compute, log, &random, isThere: false)) } catch {
        guard Task.isCancelled else { throw error }
      }
      try? await Task.sleep(for: .milliseconds(10))
    }
    return times
  }
}

extension [Double] {
  fileprivate func quantile(_ part: Double) -> Double { isEmpty ? .nan : sorted()[Int(Double(count - 1) * part)] }
}

/// A log in which every key of a partition has one event in each pass, in batches that were made beforehand and lie in a file.
private final class ManyKeysLog: GeneratedLog {
  private static let eventsMax = 5000

  let keysPerPartition: Int
  private let passes: Int
  private let events: Int
  private let batches: BatchFile
  let partitionCount = 8

  init(keysPerPartition: Int, passes: Int, file: String) throws {
    let count = (keysPerPartition + ManyKeysLog.eventsMax - 1) / ManyKeysLog.eventsMax
    let events = max(1, keysPerPartition / count)
    self.events = events
    self.keysPerPartition = events * count
    self.passes = passes
    batches = try BatchFile(file, partitions: partitionCount, batches: count) { partition, number in
      try ManyKeysLog.batch(partition, first: number * events, events: events)
    }
  }

  private static func batch(_ partition: PartitionID, first: Int, events: Int) throws -> ColumnBatch {
    try BatchMaker.batch(partition, events: events) { index, text in
      let time = EventTemplate.timeText(milliseconds: 1_700_000_000_000 + Int64(index) * 600_000 / Int64(events))
      text =
        Array(
          (#"{"source":"gateway","type":"reading","time":"\#(String(decoding: time, as: UTF8.self))","sequence":\#(1 + index),"#
            + #""data":{"value":\#(Double(index % 4000) / 100),"device":"\#(partition.index)-\#(first + index)"}}"#).utf8)
        + Array(repeating: 0, count: EventReader.padding)
    }
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
    do {
      var batch = try batches.read(partition, number % (keysPerPartition / events))
      batch.place(
        partition: partition, baseOffset: Offset(Int64(number * events)), appendTime: Timestamp(nanoseconds: 1_800_000_000_000_000_000))
      return [batch]
    } catch {
      throw LogError(.unavailable, "\(error)")
    }
  }
}
