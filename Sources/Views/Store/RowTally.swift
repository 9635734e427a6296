import Events

/// The events that the stored rows of one partition of a view count, beside the expected number: as on disk, at one moment.
///
/// Each applied event is in one stored row (for a hop, in its pane's), so applied = in rows + dropped. The number is
/// found by adding up the rows, not from counters that the same mistake could have moved.
package struct RowTally: Sendable, Hashable {
  package var partition: PartitionID
  /// The next offset of the last checkpoint.
  package var nextOffset: Offset
  /// Events in a window, as the checkpoint has counted them.
  package var applied: Int
  package var inRows: Int
  /// Events in rows that retention has deleted.
  package var dropped: Int

  package init(partition: PartitionID, nextOffset: Offset, applied: Int, inRows: Int, dropped: Int) {
    self.partition = partition
    self.nextOffset = nextOffset
    self.applied = applied
    self.inRows = inRows
    self.dropped = dropped
  }

  package var isBalanced: Bool { applied == inRows + dropped }
}

/// The tallies of one view's live generation.
package struct ViewTally: Sendable, Hashable {
  package var view: String
  package var generation: Int
  /// In the order of partitions; only those with a checkpoint.
  package var partitions: [RowTally]

  package init(view: String, generation: Int, partitions: [RowTally]) {
    self.view = view
    self.generation = generation
    self.partitions = partitions
  }
}
