import Events
import Views

/// What some folds hold at one moment: the rows in memory, copied, and which of the file's go with them.
struct PinnedFolds: Sendable {
  var asOf = OffsetVector()
  var eventTimeWatermarks: [PartitionID: Timestamp] = [:]
  /// Rows that end at or before this may have been dropped from some; nil when none were.
  var droppedEnd: Int64?
  var folds: [PinnedFold] = []

  /// - Parameter pin: The file, to be seen as of now, where any of it is needed.
  /// - Returns: Nil when a pin is needed and none is given.
  static func take(
    _ folds: [GenerationFold], _ range: RowRange, pin: StatePin?, _ store: CheckpointStore
  ) throws(ComputeError) -> PinnedFolds? {
    if folds.contains(where: { $0.needsFile(range) }) {
      guard let pin else { return nil }
      try store.file.typed { try pin.begin() }
    }
    var taken = PinnedFolds()
    for fold in folds {
      taken.asOf[fold.partition] = fold.next
      taken.noteDropped(through: fold.partsDroppedEnd)
      if let time = fold.box.fold.eventTimeWatermark { taken.eventTimeWatermarks[fold.partition] = time }
      if let rows = fold.pinned(range, pin, store) { taken.folds.append(rows) }
    }
    return taken
  }

  mutating func append(_ other: PinnedFolds) {
    asOf.formMaximum(other.asOf)
    eventTimeWatermarks.merge(other.eventTimeWatermarks) { $1 }
    noteDropped(through: other.droppedEnd)
    folds += other.folds
  }

  private mutating func noteDropped(through end: Int64?) {
    if let end { droppedEnd = max(end, droppedEnd ?? end) }
  }
}

/// One partition's rows at a moment.
struct PinnedFold: Sendable {
  let partition: PartitionID
  let store: CheckpointStore
  /// The first window start that is wanted.
  var from: Int64
  /// In no order.
  var rows: PartialRows
  /// Of each row in memory, whether the file may have more of it.
  var isPartial: [Bool]
  /// With its pin; nil when nothing is in the file.
  var stored: CheckpointStore.StoredRange?
}

extension GenerationFold {
  /// The window starts that retention keeps of a range; nil when it keeps none.
  private func kept(_ range: RowRange) -> ClosedRange<Int64>? {
    let from = max(range.from, box.fold.firstKeptWindow)
    return from <= range.through && range.wants(partition) ? from...range.through : nil
  }

  private func storedRange(_ range: RowRange, _ kept: ClosedRange<Int64>) -> CheckpointStore.StoredRange? {
    let slots = box.fold.definition.window.slots(from: kept.lowerBound, through: kept.upperBound)
    return storedRange(slots, key: range.key, isCold: isCold(range))
  }

  func needsFile(_ range: RowRange) -> Bool { kept(range).flatMap { storedRange(range, $0) } != nil }

  /// - Parameter pin: The file at this moment; nil only where it is not needed.
  func pinned(_ range: RowRange, _ pin: StatePin?, _ store: CheckpointStore) -> PinnedFold? {
    guard let kept = kept(range) else { return nil }
    var fold = PinnedFold(
      partition: partition, store: store, from: kept.lowerBound, rows: PartialRows(stride: box.fold.definition.layout.stride),
      isPartial: [])
    let slots = box.fold.definition.window.slots(from: kept.lowerBound, through: kept.upperBound)
    box.fold.copyRows(slots, key: range.key, into: &fold.rows, isPartial: &fold.isPartial)
    fold.stored = storedRange(range, kept)
    fold.stored?.pin = pin
    return fold
  }
}
