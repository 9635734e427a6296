import Events

/// A batch and its position in the log's files.
public struct StoredBatch: Sendable {
  public let batch: ColumnBatch
  public let segment: Offset
  /// The position of its first byte in the segment.
  public let position: Int
}

/// Reads a stored partition's batches in order, one at a time.
public struct StoredBatches: ~Copyable {
  private let partition: StoredPartition
  private let start: Offset
  private let times: Range<Int64>?
  /// An index into `partition.segments`.
  private var nextSegment: Int
  private var segment: Offset = .zero
  private var expected: Offset
  private var cursor: SegmentCursor?

  /// - Parameters:
  ///   - partition: The result of `StoredLog.partition`.
  ///   - start: The first batch may begin before it.
  ///   - times: Batches without an event of these times are skipped; nil skips none.
  /// - Throws: `.outOfRange` when `start` is below the first kept offset; the detail says where the log now starts.
  public init(_ partition: StoredPartition, from start: Offset? = nil, times: Range<Int64>? = nil) throws(LogError) {
    let start = start ?? partition.startOffset
    guard start >= partition.startOffset else {
      throw LogError(
        .outOfRange, partition: partition.partition,
        "offset \(start) is not kept: the partition holds \(partition.startOffset) up to \(partition.highWatermark)")
    }
    self.partition = partition
    self.start = start
    self.times = times
    expected = start
    nextSegment = partition.segments.firstIndex { $0.end > start } ?? partition.segments.count
  }

  /// The next batch; nil at the high watermark.
  /// - Throws: `.corrupt` where a batch does not check, `.io`.
  public mutating func next() throws(LogError) -> StoredBatch? {
    while true {
      if cursor == nil {
        guard try openNext() else { return nil }
      }
      guard let found = try nextInSegment() else {
        cursor = nil
        continue
      }
      return found
    }
  }

  private mutating func openNext() throws(LogError) -> Bool {
    while nextSegment < partition.segments.count {
      let summary = partition.segments[nextSegment]
      nextSegment += 1
      if summary.bytes == 0 { continue }
      if let times, summary.lastEventTime.nanoseconds < times.lowerBound { continue }
      let open = try partition.open(summary)
      let entry = open.index.entry(atOrBefore: max(start, summary.base))
      segment = summary.base
      expected = entry?.offset ?? summary.base
      cursor = SegmentCursor(open.file, from: entry?.position ?? 0, to: summary.bytes)
      return true
    }
    return false
  }

  private mutating func nextInSegment() throws(LogError) -> StoredBatch? {
    do throws(ReadFailure) {
      while let header = try cursor?.header(of: partition.partition, at: expected), let position = cursor?.position {
        expected = header.endOffset
        guard header.endOffset > start, isWanted(header) else {
          cursor?.skip(header)
          continue
        }
        guard let batch = try cursor?.batch(header) else { return nil }
        return StoredBatch(batch: batch, segment: segment, position: position)
      }
      return nil
    } catch {
      throw LogError(error, partition: partition.partition, segment: segment, position: cursor?.position ?? 0)
    }
  }

  private func isWanted(_ header: BatchHeader) -> Bool {
    guard let times else { return true }
    return header.lastEventTime.nanoseconds >= times.lowerBound && header.firstEventTime.nanoseconds < times.upperBound
  }
}
