public struct PartitionRead: Sendable {
  public var partition: PartitionID
  public var result: Result<[ColumnBatch], LogError>

  public init(_ partition: PartitionID, _ result: Result<[ColumnBatch], LogError>) {
    self.partition = partition
    self.result = result
  }
}

public struct PartitionBounds: Sendable, Hashable {
  public var startOffset: Offset
  public var highWatermark: Offset
  public init(startOffset: Offset, highWatermark: Offset) {
    self.startOffset = startOffset
    self.highWatermark = highWatermark
  }
}

public struct KnownBounds: Sendable, Hashable {
  public var bounds: PartitionBounds
  /// Whether the log has told them just now; if not, it may hold more by now, and nothing follows from a missing event.
  public var isCurrent: Bool
  public init(_ bounds: PartitionBounds, isCurrent: Bool = true) {
    self.bounds = bounds
    self.isCurrent = isCurrent
  }
}
