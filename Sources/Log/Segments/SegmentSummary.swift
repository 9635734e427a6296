import Events

/// The facts of a sealed segment that are known without opening it.
public struct SegmentSummary: Sendable, Hashable {
  public let base: Offset
  /// The next segment's base offset.
  public let end: Offset
  public let bytes: Int
  public let lastEventTime: Timestamp
  public let lastAppendTime: Timestamp

  init(_ index: SparseIndex) {
    base = index.base
    end = index.end
    bytes = index.segmentBytes
    lastEventTime = index.lastEventTime
    lastAppendTime = index.lastAppendTime
  }

  init(_ summary: SparseIndex.Summary) {
    base = summary.base
    end = summary.end
    bytes = summary.segmentBytes
    lastEventTime = summary.lastEventTime
    lastAppendTime = summary.lastAppendTime
  }
}
