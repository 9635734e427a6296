import Events

/// The events that the stored rows of one partition of a view count, beside the expected number: as on disk, at one moment.
///
/// Each applied event is in one stored row (for a hop, in its pane's), so applied = in rows + dropped. The number is
/// found by adding up the rows, not from counters that the same mistake could have moved.
public struct RowTally: Sendable, Hashable {
  public var partition: PartitionID
  /// The next offset of the last checkpoint.
  public var nextOffset: Offset
  /// Events in a window, as the checkpoint has counted them.
  public var applied: Int
  public var inRows: Int
  /// Events in rows that retention has deleted.
  public var dropped: Int

  public init(partition: PartitionID, nextOffset: Offset, applied: Int, inRows: Int, dropped: Int) {
    self.partition = partition
    self.nextOffset = nextOffset
    self.applied = applied
    self.inRows = inRows
    self.dropped = dropped
  }

  public var isBalanced: Bool { applied == inRows + dropped }
}

/// The tallies of one view's live generation.
public struct ViewTally: Sendable, Hashable {
  public var view: String
  public var generation: Int
  /// In the order of partitions; only those with a checkpoint.
  public var partitions: [RowTally]

  public init(view: String, generation: Int, partitions: [RowTally]) {
    self.view = view
    self.generation = generation
    self.partitions = partitions
  }
}
