import Aggregates
import Events
import Views

/// The rows of one generation's folds at one moment: a copy of those in memory, and which rows of the file belong to them.
///
/// The copy is made and the file is pinned in the same turn of the worker, so the two together are the rows at `asOf`, whatever
/// is folded, stored or dropped later.
struct ReadSnapshot: Sendable {
  /// The facts about all rows, without rows.
  private(set) var head: PartialResult
  private(set) var folds: [FoldSnapshot] = []

  init(_ record: GenerationRecord) { head = PartialResult(record) }

  /// Generations are taken together: of the same worker's partitions, as of the same offsets where they count along with each
  /// other.
  /// - Returns: One for each; nil when a pin is needed and none is given.
  static func take(
    _ generations: [(record: GenerationRecord, folds: [GenerationFold])], _ range: RowRange, pin: StatePin?,
    _ store: CheckpointStore
  ) throws(ComputeError) -> [ReadSnapshot]? {
    if generations.contains(where: { $0.folds.contains { $0.stored(range) != nil } }) {
      guard let pin else { return nil }
      try store.file.typed { try pin.begin() }
    }
    let file = pin.map { (pin: $0, store: store) }
    return generations.map { record, folds in
      var snapshot = ReadSnapshot(record)
      for fold in folds { snapshot.add(fold, range, file) }
      return snapshot
    }
  }

  /// - Parameter file: As of now; nil where the fold has no rows of the range in it.
  mutating func add(_ fold: GenerationFold, _ range: RowRange, _ file: (pin: StatePin, store: CheckpointStore)?) {
    head.note(fold)
    guard let kept = fold.kept(range) else { return }
    let stored = fold.stored(range)
    precondition(stored == nil || file != nil, "rows that lie in the file are read with it")
    let slots = head.definition.window.slots(from: kept.lowerBound, through: kept.upperBound)
    var one = FoldSnapshot(partition: fold.partition, from: kept.lowerBound, rows: PartialRows(stride: head.rows.stride))
    if fold.isCold(range) {
      fold.box.fold.copyRows(slots, key: range.key, into: &one.rows, isPartial: &one.isPartial)
    } else {
      fold.box.fold.copyRows(slots, key: range.key, into: &one.rows)
    }
    if let stored, let file { one.stored = PinnedRange(range: stored, pin: file.pin, store: file.store) }
    folds.append(one)
  }

  /// - Parameter other: A snapshot of the same generation and other partitions.
  mutating func append(_ other: ReadSnapshot) {
    precondition(other.head.asOf.offsets.keys.allSatisfy { head.asOf[$0] == nil }, "a partition's rows are of one moment")
    head.append(other.head)
    folds += other.folds
  }

  /// A page: all rows, as a stream would give them.
  /// - Parameter through: The last window start that is wanted.
  func result(through: Int64) async throws(ViewStoreError) -> PartialResult {
    var reader = SnapshotReader(self, through: through)
    var result = head
    result.rows = try await reader.drain()
    return result
  }
}

extension PartialResult {
  /// A result of no partition yet.
  init(_ record: GenerationRecord) {
    self.init(
      definition: record.definition, generation: record.number, asOf: OffsetVector(), eventTimeWatermarks: [:],
      rows: PartialRows(stride: record.definition.layout.stride))
  }

  /// A fold's rows are among these, as it is now.
  mutating func note(_ fold: GenerationFold) {
    precondition(asOf[fold.partition] == nil, "a partition's rows are of one fold")
    asOf[fold.partition] = fold.next
    if let time = fold.box.fold.eventTimeWatermark { eventTimeWatermarks[fold.partition] = time }
    // Where a row has other parts, which may be gone.
    guard !definition.hasSourceKey, let end = fold.box.fold.dropped.end else { return }
    droppedEnd = max(end, droppedEnd ?? end)
  }
}

/// One partition's rows at a moment.
struct FoldSnapshot: Sendable {
  let partition: PartitionID
  /// The first window start that is wanted.
  let from: Int64
  /// The rows in memory, in no order.
  var rows: PartialRows
  /// One flag a row in memory: whether the file may have more of it. Empty when it has more of none.
  var isPartial: [Bool] = []
  /// Nil when nothing is in the file.
  var stored: PinnedRange?
}
