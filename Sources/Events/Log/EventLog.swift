/// The seam between writers or readers of events and the log that keeps them: the segmented log on disk, or a log over the wire.
///
/// Nothing above this protocol knows about files.
public protocol EventLog: Sendable {
  /// Fixed when the log is made, 1 ... `PartitionID.countMax`.
  var partitionCount: Int { get }

  /// The log's identity when it was opened: offsets and counts of this log mean nothing in any other.
  var identity: LogIdentity { get }

  /// The reason why nothing of it may be used any more: another log answers now in its place, and perhaps it comes back. Nil as a
  /// rule.
  var replacement: LogError? { get }

  /// Appends one batch to the partition its header names, and completes once it is synced (as far as the sync policy promises).
  ///
  /// Returns at once; never blocks, so an event loop may call it. Batches given by one caller for one partition are taken in
  /// order.
  /// - Parameters:
  ///   - batch: 1...65,536 events. Partition is read from its header; base offset and append time are given by the log.
  ///   - completion: Called exactly once, on a thread of the log; must not block.
  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void)

  /// The whole batches that hold events from `start` up to the high watermark, in order, as far as `bytesMax` allows (one at
  /// least). The first batch may begin before `start`: the caller skips those rows. Empty at the high watermark.
  /// - Throws: `LogError` with `.outOfRange` when `start` is below the first kept offset or above the high watermark.
  nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]

  /// Reads several partitions, each as `read` does: the first by number, and as many more as come in the same request
  /// and within `bytesMax` bytes, except for the last one's first batch.
  /// - Parameters:
  ///   - positions: The offset to begin with in each partition.
  ///   - bytesMax: The bound of all that is read.
  /// - Returns: Reads of at least one partition, in the order of their numbers, each with its batches or its own failure; empty
  ///   if none is asked for.
  nonisolated(nonsending) func readSome(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead]

  /// The first kept offset and the high watermark: `startOffset <= highWatermark`.
  nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds

  /// The result of `bounds`, if that takes no long wait; while a log in another process does not answer, its last known bounds.
  /// - Returns: Nil where none are known yet.
  nonisolated(nonsending) func lastBounds(of partition: PartitionID) async -> KnownBounds?

  /// Returns when some partition in `positions` has a high watermark above the offset given, or the task is cancelled.
  nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError)

  /// The last durable sequence of each source that has one.
  nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError) -> [UTF8Text: ProducerPosition]

  /// The offset to start at so as to see every event of `partition` whose event time is `time` or later. It comes from
  /// the sparse index, so earlier events may follow. Nil when the partition holds none that late.
  nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
}

extension EventLog {
  /// Nil for a log that nothing can replace.
  public var replacement: LogError? { nil }

  /// A log in this process always answers.
  public nonisolated(nonsending) func lastBounds(of partition: PartitionID) async -> KnownBounds? {
    do throws(LogError) { return KnownBounds(try await bounds(of: partition)) } catch { return nil }
  }

  /// Where reading several at once saves nothing: the first.
  public nonisolated(nonsending) func readSome(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead] {
    guard let (partition, start) = positions.sorted.first else { return [] }
    do throws(LogError) {
      return [PartitionRead(partition, .success(try await read(partition, from: start, bytesMax: bytesMax)))]
    } catch {
      return [PartitionRead(partition, .failure(error))]
    }
  }

  /// The partition of a source: FNV-1a over its UTF-8, mixed, modulo the partition count.
  public func partition(of source: String) -> PartitionID {
    var copy = source
    return copy.withUTF8 { PartitionID(Int(stableHash(UnsafeRawBufferPointer($0)) % UInt64(partitionCount))) }
  }

  /// `append(_:completion:)` for callers that can wait.
  public func append(_ batch: ColumnBatch) async throws(LogError) -> AppendReceipt {
    let result = await withCheckedContinuation { continuation in
      append(batch) { continuation.resume(returning: $0) }
    }
    return try result.get()
  }
}
