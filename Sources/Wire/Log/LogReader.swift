import Dispatch
import Events

/// Reads from a log that may block its thread: on its own serial queue, never on an event loop or one of Swift's few threads.
actor LogReader {
  private final class Executor: SerialExecutor {
    private let queue: DispatchQueue

    init(label: String) { queue = DispatchQueue(label: label) }

    func enqueue(_ job: consuming ExecutorJob) {
      let job = UnownedJob(job)
      queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
  }

  nonisolated private let executor: Executor
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
  private let log: any EventLog

  init(_ log: any EventLog, number: Int) {
    self.log = log
    executor = Executor(label: "penstock.wire.read.\(number)")
  }

  func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError) -> [ColumnBatch] {
    try await log.read(partition, from: start, bytesMax: bytesMax)
  }

  /// Reads several partitions in the order of their numbers, until there are `bytesMax` bytes.
  func readSome(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead] {
    var reads: [PartitionRead] = []
    var room = bytesMax
    for (partition, start) in positions.sorted where reads.isEmpty || room > 0 {
      do throws(LogError) {
        let batches = try await log.read(partition, from: start, bytesMax: room)
        room -= batches.reduce(0) { $0 + $1.encoded.count }
        reads.append(PartitionRead(partition, .success(batches)))
      } catch {
        reads.append(PartitionRead(partition, .failure(error)))
      }
    }
    return reads
  }

  func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError) -> Offset? {
    try await log.firstOffset(of: partition, atOrAfter: time)
  }
}
