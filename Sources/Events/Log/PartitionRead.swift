package struct PartitionRead: Sendable {
  package var partition: PartitionID
  package var result: Result<[ColumnBatch], LogError>

  package init(_ partition: PartitionID, _ result: Result<[ColumnBatch], LogError>) {
    self.partition = partition
    self.result = result
  }
}

package struct PartitionBounds: Sendable, Hashable {
  package var startOffset: Offset
  package var highWatermark: Offset
  package init(startOffset: Offset, highWatermark: Offset) {
    self.startOffset = startOffset
    self.highWatermark = highWatermark
  }
}

package struct KnownBounds: Sendable, Hashable {
  package var bounds: PartitionBounds
  /// Whether the log has told them just now; if not, it may hold more by now, and nothing follows from a missing event.
  package var isCurrent: Bool
  package init(_ bounds: PartitionBounds, isCurrent: Bool = true) {
    self.bounds = bounds
    self.isCurrent = isCurrent
  }
}
