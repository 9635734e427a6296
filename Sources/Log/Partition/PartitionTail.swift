import Events
import Synchronization

/// The part of a partition that readers see: all batches below the high watermark, the latest from memory. The writer
/// raises the high watermark; any thread reads.
final class PartitionTail: Sendable {
  private struct State {
    var highWatermark: Offset
    var recent: RecentBatches
  }

  let partition: PartitionID
  let reader: any PartitionReader
  private let state: Mutex<State>
  private let highWatermarkValue: Atomic<Int64>

  init(_ partition: PartitionID, reader: any PartitionReader, end: Offset, recentBytesMax: Int) {
    precondition(reader.startOffset <= end)
    self.partition = partition
    self.reader = reader
    state = Mutex(State(highWatermark: end, recent: RecentBatches(bytesMax: recentBytesMax)))
    highWatermarkValue = Atomic(end.rawValue)
  }

  var highWatermark: Offset { Offset(highWatermarkValue.load(ordering: .sequentiallyConsistent)) }

  var bounds: PartitionBounds {
    // In this order: the start is never above the high watermark, which only rises.
    let start = reader.startOffset
    return PartitionBounds(startOffset: start, highWatermark: state.withLock { $0.highWatermark })
  }

  /// Makes batches visible that the store has published: durable, as far as the sync policy promises.
  func publish(_ batches: [ColumnBatch]) {
    let end = state.withLock { state in
      for batch in batches {
        precondition(batch.baseOffset == state.highWatermark, "offsets are dense")
        state.highWatermark = batch.endOffset
        state.recent.append(batch)
      }
      return state.highWatermark
    }
    highWatermarkValue.store(end.rawValue, ordering: .sequentiallyConsistent)
  }

  /// As `EventLog.read`. May block the thread, unless the batches are still in memory.
  nonisolated(nonsending) func read(from start: Offset, bytesMax: Int) async throws(LogError) -> [ColumnBatch] {
    if start == highWatermark { return [] }
    let first = reader.startOffset
    let (end, recent) = state.withLock { state in
      (state.highWatermark, start < first ? nil : state.recent.batches(from: start, bytesMax: bytesMax))
    }
    guard first <= start, start <= end else { throw outOfRange(start, PartitionBounds(startOffset: first, highWatermark: end)) }
    if start == end { return [] }
    if let recent { return recent }
    do throws(LogError) {
      let batches = try await reader.read(from: start, below: end, bytesMax: bytesMax)
      assert(PartitionTail.isDense(batches, from: start, below: end), "a read is dense and ends at the high watermark")
      return batches
    } catch {
      // Retention may have removed it since it was looked up.
      let bounds = bounds
      throw start < bounds.startOffset ? outOfRange(start, bounds) : error
    }
  }

  /// As `EventLog.firstOffset`. The store may know of batches before readers do: never above the high watermark.
  nonisolated(nonsending) func firstOffset(atOrAfter time: Timestamp) async throws(LogError) -> Offset? {
    try await reader.firstOffset(atOrAfter: time).map { min($0, highWatermark) }
  }

  private func outOfRange(_ start: Offset, _ bounds: PartitionBounds) -> LogError {
    LogError(
      .outOfRange, partition: partition,
      "offset \(start) is not kept: the partition holds \(bounds.startOffset) up to \(bounds.highWatermark)")
  }

  private static func isDense(_ batches: [ColumnBatch], from start: Offset, below end: Offset) -> Bool {
    guard let first = batches.first, let last = batches.last else { return false }
    return first.baseOffset <= start && start < first.endOffset && last.endOffset <= end
      && zip(batches, batches.dropFirst()).allSatisfy { $0.endOffset == $1.baseOffset }
  }
}
