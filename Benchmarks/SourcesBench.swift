import ArgumentParser
import Compute
import Events
import Glibc

struct SourcesBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sources", abstract: "The clocks of a partition's sources: counting batches, memory, and the slowest one.")

  @Option(help: "Numbers of sources, with commas between.")
  var sources = "1000,100000,1000000"

  @Option(help: "Events in a batch.")
  var events = 6000

  @Option(help: "Events to count in a run.")
  var total = 4_000_000

  @Option(help: "Runs, of which the median is given.")
  var runs = 5

  func run() async throws {
    for text in sources.split(separator: ",") {
      guard let count = Int(text), count > 0 else { throw ValidationError("\(text) is no number of sources") }
      try measure(count)
    }
  }

  /// Batches of a fleet whose sources send in an order that is not theirs, each as often as another.
  private func batches(_ count: Int) throws -> [ColumnBatch] {
    let number = max(1, min(total, max(count, 20 * events)) / events)
    return try (0..<number).map { number in
      try BatchMaker.batch(PartitionID(0), events: events, sequence: number * events) { (number * events + $0) &* 7919 % count }
    }
  }

  private func measure(_ count: Int) throws {
    let batches = try batches(count)
    let times = batches.map { $0.times() }
    let clocks = SourceClocks(partition: PartitionID(0), firstOffset: .zero, aheadMax: 60_000_000_000)
    var offset = Offset.zero
    /// - Returns: Nanoseconds an event.
    func pass(_ batchCount: Int) -> Double {
      let start = threadCPUNow()
      for number in 0..<batchCount {
        var batch = batches[number % batches.count]
        batch.place(
          partition: PartitionID(0), baseOffset: offset, appendTime: Timestamp(nanoseconds: 1_800_000_000_000_000_000 + offset.rawValue))
        clocks.advance(batch, times: times[number % batches.count])
        offset = batch.endOffset
      }
      return Double(threadCPUNow() - start) / Double(batchCount * events)
    }
    let first = pass(batches.count)
    let known = median((0..<runs).map { _ in pass(max(1, total / events)) })
    let start = threadCPUNow()
    let slowest = clocks.slowestActive(since: .min)
    let asked = Double(threadCPUNow() - start) / 1e3
    let again = threadCPUNow()
    guard clocks.slowestActive(since: .min) == slowest else { throw BenchError("the slowest source is another one") }
    print(
      "sources  \(clocks.count), batches of \(events)  \(fixed(known, 2)) ns/event, \(fixed(first, 2)) when they are new  "
        + "\(fixed(Double(clocks.byteCount) / Double(clocks.count), 1)) bytes each, with names  "
        + "slowest in \(fixed(asked, 1)) µs, then \(fixed(Double(threadCPUNow() - again) / 1e3, 1)) µs")
  }
}

/// Nanoseconds that this thread has used a core: other processes of the machine do not count.
private func threadCPUNow() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
