import Events

/// What the stored rows of one partition of a view count, beside what they should: as it is on disk, at one moment.
///
/// Each event that is applied is in one row as it is kept (of a hop, that of its pane), so applied = in rows + dropped. It is found by adding up the rows
/// that there are, not from counters that the same mistake could have moved.
public struct RowTally: Sendable, Hashable {
  public var partition: PartitionID
  /// Of the last checkpoint.
  public var nextOffset: Offset
  /// Events in a window, as the checkpoint has counted them.
  public var applied: Int
  /// Events in the rows that there are.
  public var inRows: Int
  /// Events in rows that retention has taken.
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
