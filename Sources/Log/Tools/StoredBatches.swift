import Events

/// A batch and its position in the log's files.
public struct StoredBatch: Sendable {
  public let batch: ColumnBatch
  /// The base offset of its segment.
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
    while true {
      let position = cursor?.position ?? 0
      let header: SegmentCursor.Header?
      do throws(IOFailure) { header = try cursor?.header() } catch { throw failed(error) }
      switch header {
      case nil, .end: return nil
      case .damaged(let damage): throw corrupt(position, damage)
      case .batch(let header):
        guard header.partition == partition.partition, header.baseOffset == expected else {
          throw corrupt(position, BatchError(.bounds, at: 6))
        }
        expected = header.endOffset
        if header.endOffset <= start || !isWanted(header) {
          cursor?.skip(header)
          continue
        }
        do throws(ReadFailure) {
          guard let batch = try cursor?.batch(header) else { return nil }
          return StoredBatch(batch: batch, segment: segment, position: position)
        } catch {
          switch error {
          case .io(let failure): throw failed(failure)
          case .damaged(let damage): throw corrupt(position, damage)
          }
        }
      }
    }
  }

  private func isWanted(_ header: BatchHeader) -> Bool {
    guard let times else { return true }
    return header.lastEventTime.nanoseconds >= times.lowerBound && header.firstEventTime.nanoseconds < times.upperBound
  }

  private func failed(_ failure: IOFailure) -> LogError {
    LogError(failure, partition: partition.partition, segment: segment)
  }

  private func corrupt(_ position: Int, _ damage: BatchError) -> LogError {
    .corrupt(partition.partition, segment: segment, position: position, "\(damage)")
  }
}
