import Events
import Logging
import Synchronization
import Testing

@testable import Log

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A clock that tests move.
final class TestClock: Sendable {
  private let value: Atomic<Int64>
  init(_ seconds: Int64 = 1_000_000) { value = Atomic(seconds * 1_000_000_000) }
  var now: Timestamp { Timestamp(nanoseconds: value.load(ordering: .relaxed)) }
  func advance(_ duration: Duration) { value.add(duration.nanosecondsHeld, ordering: .relaxed) }
}

let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }

func testConfiguration(partitions: Int = 1, segmentBytesMax: Int = 64 << 20) -> LogConfiguration {
  var configuration = LogConfiguration(directory: "/data")
  configuration.partitions = partitions
  configuration.segmentBytesMax = segmentBytesMax
  return configuration
}

func openLog(
  _ fileSystem: any FileSystem, _ configuration: LogConfiguration = testConfiguration(), clock: TestClock = TestClock()
) async throws(LogError) -> SegmentedLog {
  try await SegmentedLog.open(configuration, fileSystem: fileSystem, logger: quiet, now: { clock.now })
}

func event(
  _ source: String = "s", sequence: UInt64? = nil, epoch: UInt64? = nil, id: String? = nil, seconds: Int64 = 0, value: Int64 = 0,
  text: String? = nil
) -> Event {
  Event(
    source: source, type: "t", id: id, time: Timestamp(nanoseconds: seconds * 1_000_000_000), sequence: sequence, epoch: epoch,
    attributes: text.map { ["text": .string($0)] } ?? [:], data: .int(value))
}

func batch(_ events: [Event], partition: Int = 0) -> ColumnBatch {
  ColumnBatch(events: events, partition: PartitionID(partition))
}

/// Sequences `range` of one source, as one batch.
func batch(_ range: ClosedRange<UInt64>, of source: String = "s", partition: Int = 0) -> ColumnBatch {
  batch(range.map { event(source, sequence: $0, value: Int64($0)) }, partition: partition)
}

/// Everything a partition holds, with the density of its offsets checked.
func readAll(_ log: any EventLog, _ partition: Int = 0, bytesMax: Int = 1 << 20) async throws -> [Event] {
  let partition = PartitionID(partition)
  var next = try await log.bounds(of: partition).startOffset
  var events: [Event] = []
  while true {
    let batches = try await log.read(partition, from: next, bytesMax: bytesMax)
    if batches.isEmpty { return events }
    for batch in batches {
      try #require(batch.baseOffset == next && batch.partition == partition)
      events += batch.events()
      next = batch.endOffset
    }
  }
}

/// Appends in order without waiting in between, and waits for all.
func appendAll(_ log: any EventLog, _ batches: [ColumnBatch]) async -> [Result<AppendReceipt, LogError>] {
  let results = Mutex<(values: [Result<AppendReceipt, LogError>?], missing: Int)>(
    (Array(repeating: nil, count: batches.count), batches.count))
  if batches.isEmpty { return [] }
  await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
    for (index, batch) in batches.enumerated() {
      log.append(batch) { result in
        let isLast = results.withLock { results in
          precondition(results.values[index] == nil, "completed twice")
          results.values[index] = result
          results.missing -= 1
          return results.missing == 0
        }
        if isLast { continuation.resume() }
      }
    }
  }
  return results.withLock { $0.values.compactMap { $0 } }
}

/// Waits for a condition, a few seconds at most.
func eventually(_ condition: () async throws -> Bool) async rethrows -> Bool {
  let deadline = ContinuousClock.now + .seconds(60)
  while ContinuousClock.now < deadline {
    if try await condition() { return true }
    await Task.yield()
  }
  return try await condition()
}

func temporaryDirectory() throws -> String {
  let parent = getenv("TMPDIR").map { String(cString: $0) } ?? P_tmpdir
  var template = Array("\(parent)/penstock-log-XXXXXX".utf8CString)
  let made = template.withUnsafeMutableBufferPointer { buffer in
    buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
  }
  return try #require(made)
}

func removeRecursively(_ path: String) {
  let files = PosixFileSystem()
  for name in (try? files.list(path)) ?? [] { removeRecursively("\(path)/\(name)") }
  if unlink(path) != 0 { rmdir(path) }
}

extension AppendReceipt {
  /// Without what is told of suspect duplicates, which `SuspectTests` hold to a model of their own.
  var unjudged: AppendReceipt {
    AppendReceipt(
      baseOffset: baseOffset, endOffset: endOffset, exceptions: exceptions.map { Exception(row: $0.row, reason: $0.reason) })
  }
}
