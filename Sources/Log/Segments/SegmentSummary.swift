import Events

/// The facts of a sealed segment that are known without opening it.
package struct SegmentSummary: Sendable, Hashable {
  package let base: Offset
  /// The next segment's base offset.
  package let end: Offset
  package let bytes: Int
  package let lastEventTime: Timestamp
  package let lastAppendTime: Timestamp

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
