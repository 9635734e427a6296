import Events
import Views

/// One generation's fold of one partition, and its place in the worker's file.
struct GenerationFold: Sendable {
  let id: GenerationID
  /// In the worker's file.
  let viewID: Int64
  let box: FoldBox
  /// Why it counts no further.
  var problem: String?

  var partition: PartitionID { box.fold.progress.partition }
  var next: Offset { box.fold.progress.nextOffset }

  /// Whether rows within the bounds that can still change may be in the file only.
  func isCold(_ range: RowRange) -> Bool {
    range.wants(partition) && box.fold.rows.isCold(from: range.from)
  }

  /// Parts of rows that end at or before this may be gone; nil when none are, and where a row has no other parts.
  var partsDroppedEnd: Int64? { box.fold.definition.hasSourceKey ? nil : box.fold.dropped.end }

  /// Where the file has rows of a range of slots that memory does not have, or not all of; nil when it has none.
  func storedRange(_ slots: ClosedRange<Int64>, key: [UInt8]?, isCold: Bool) -> CheckpointStore.StoredRange? {
    guard let stored = box.fold.rows.stored(slots, keptAfter: box.fold.keptAfter ?? .min, isCold: isCold) else { return nil }
    return CheckpointStore.StoredRange(
      view: viewID, partition: partition, from: stored.slots.lowerBound, through: stored.slots.upperBound,
      endAfter: stored.endAfter, endThrough: stored.endThrough, key: key, inMemory: stored.inMemory)
  }

  /// Adds what the fold holds within the bounds, and says what of it is in the file.
  /// - Parameter pin: The file at this moment; needed where the fold `isCold`.
  func copy(_ range: RowRange, pin: StatePin? = nil, into snapshot: inout FoldSnapshot) {
    snapshot.asOf[partition] = next
    if let time = box.fold.eventTimeWatermark { snapshot.eventTimeWatermarks[partition] = time }
    snapshot.droppedEnds[partition] = partsDroppedEnd
    // Rows past retention may not have been deleted yet; whether a read sees them must not depend on that.
    let kept = max(range.from, box.fold.firstKeptWindow)
    guard kept <= range.through, range.wants(partition) else { return }
    snapshot.from[partition] = kept
    snapshot.through = range.through
    let slots = box.fold.definition.window.slots(from: kept, through: range.through)
    let isCold = isCold(range)
    let overlay = isCold && box.fold.definition.window.keeping == .slots ? RowOverlay(layout: box.fold.definition.layout) : nil
    box.fold.copyRows(slots, key: range.key, overlay: overlay, into: &snapshot.rows)
    if var stored = storedRange(slots, key: range.key, isCold: isCold) {
      stored.overlay = overlay
      if isCold { stored.pin = pin }
      snapshot.stored.append(stored)
    }
  }
}

/// What rows a read wants, on the window's start: nanoseconds, both bounds inclusive. None where `from` is beyond `through`.
struct RowRange: Sendable {
  var from = Int64.min
  var through = Int64.max
  /// Of this key only.
  var key: [UInt8]?
  /// The only partition that has rows of the key; nil where any may.
  var home: PartitionID?

  func wants(_ partition: PartitionID) -> Bool { home.map { $0 == partition } ?? true }

  static let all = RowRange()
}

/// The part of a read that is in memory, and what of it is in the file.
struct FoldSnapshot: Sendable {
  var asOf = OffsetVector()
  var eventTimeWatermarks: [PartitionID: Timestamp] = [:]
  /// As they are kept: of a hop, a row for each pane.
  var rows: PartialRows
  var stored: [CheckpointStore.StoredRange] = []
  /// Of each fold of which retention has taken some, up to where.
  var droppedEnds: [PartitionID: Int64] = [:]
  /// Bounds of the windows' starts, inclusive; the first for each partition, since retention ends at another time in each.
  var from: [PartitionID: Int64] = [:]
  var through = Int64.max

  init(_ definition: ViewDefinition) { rows = PartialRows(stride: definition.layout.stride) }

  /// Of the same view and worker.
  mutating func append(_ other: FoldSnapshot) {
    asOf.formMaximum(other.asOf)
    eventTimeWatermarks.merge(other.eventTimeWatermarks) { $1 }
    rows.append(contentsOf: other.rows)
    stored += other.stored
    droppedEnds.merge(other.droppedEnds) { $1 }
    from.merge(other.from) { $1 }
    through = min(through, other.through)
  }

  /// The results' windows, once all rows that are in the file have been added.
  func windows(of definition: ViewDefinition) -> PartialRows {
    rows.windows(of: definition, from: { from[$0] ?? .max }, through: through)
  }
}
