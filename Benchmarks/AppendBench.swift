import ArgumentParser
import Events
import Foundation
import Log
import Logging
import PenstockClient
import Synchronization

struct AppendBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "append", abstract: "Batches to the log, synced, all partitions at once, with a few on their way.")

  @Option(help: "Where to put the log; a new folder of it is used, and removed.")
  var directory = NSTemporaryDirectory()

  @Option(help: "Partitions.")
  var partitions = 8

  @Option(help: "Events in a batch.")
  var events = 1000

  @Option(help: "Batches of a partition on their way.")
  var inFlight = 2

  @Option(help: "Seconds.")
  var seconds = 5.0

  func run() async throws {
    let folder = directory + "/penstock-bench-\(UUID().uuidString)"
    defer {
      do { try FileManager.default.removeItem(atPath: folder) } catch { print("left behind: \(folder): \(error)") }
    }
    var configuration = LogConfiguration(directory: folder)
    configuration.partitions = partitions
    var logger = Logger(label: "bench")
    logger.logLevel = .warning
    let log = try await SegmentedLog.open(configuration, logger: logger)
    // Without sequences each append would do less than in use; with the same ones all would be duplicates. So each batch is new.
    let started = monotonicNow(), end = started + UInt64(seconds * 1e9)
    let results = AppendResults()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for partition in 0..<partitions {
        for lane in 0..<inFlight {
          let batchEvents = self.events
          group.addTask {
            var number = 0
            while monotonicNow() < end {
              // Making it is not measured, but takes its share of the machine.
              number += 1
              let made = try BatchMaker.one(partition: partition, events: batchEvents, lane: lane, number: number)
              let before = monotonicNow()
              let receipt = try await log.append(made)
              let took = monotonicNow() - before
              guard receipt.exceptions.isEmpty else { throw BenchError("events were taken for duplicates") }
              results.sums.withLock {
                $0.latency.record(nanoseconds: took)
                $0.events += made.count
                $0.bytes += made.encoded.count
              }
            }
          }
        }
      }
      try await group.waitForAll()
    }
    let elapsed = Double(monotonicNow() - started) / 1e9
    await log.close()
    let (latency, appended, bytes) = results.sums.withLock { $0 }
    print(
      "append  \(partitions) partitions, batches of \(self.events), \(inFlight) on their way  "
        + "\(fixed(Double(appended) / elapsed, 0)) events/s  "
        + "\(fixed(Double(bytes) / elapsed / 1e6, 1)) MB/s  append p50 \(milliseconds(latency.quantile(0.5))) "
        + "p99 \(milliseconds(latency.quantile(0.99))) max \(milliseconds(latency.max)) ms  (batches are made meanwhile)")
  }
}

/// The sums over all tasks.
private final class AppendResults: Sendable {
  let sums = Mutex((latency: LatencyHistogram(), events: 0, bytes: 0))
}

extension BatchMaker {
  /// A batch that no other is like: its source is the lane's, its sequences rise with the number.
  static func one(partition: Int, events: Int, lane: Int, number: Int) throws -> ColumnBatch {
    let time = EventTemplate.timeText(milliseconds: wallMilliseconds())
    var template = Array(#"{"source":"device/\#(partition)-\#(lane)","type":"reading","time":""#.utf8) + time
    template += Array(#"","data":{"value":21.53,"site":"ams-1"},"sequence":"#.utf8)
    let digits = template.count
    template += Array("0000000000}".utf8) + Array(repeating: 0, count: EventReader.padding)
    return try batch(PartitionID(partition), events: events, text: template) { index, text in
      // In ten digits, the first not 0.
      text.replaceSubrange(
        digits..<digits + 10, with: EventTemplate.digits(UInt64(1_000_000_000 + number * events + index), 10))
    }
  }
}
