import Aggregates
import Events
import Views

/// Holds a fold where a collection of them is needed. Belongs to one worker, which is an actor.
///
/// Invariant for `@unchecked`: at any time one actor has it and touches it. Who hands it on lets go of it first: loading to a worker or a
/// replay, a replay to its worker when it has caught up.
final class FoldBox: @unchecked Sendable {
  var fold: ViewFold
  /// The next offset as it is on disk: the log must keep the events from here on.
  private(set) var savedOffset: Offset

  init(_ fold: consuming ViewFold) {
    savedOffset = fold.progress.nextOffset
    self.fold = fold
  }

  /// What it holds is on disk.
  func checkpointed() {
    fold.checkpointed()
    savedOffset = fold.progress.nextOffset
  }
}

extension ViewFold {
  /// The fold as it was when `progress` was stored, without its rows: those after `evictedThrough` are to be restored.
  init(
    restoring definition: ViewDefinition, progress: PartitionProgress, eventTimeMax: Int64?, lateMax: Int, dropped: DroppedRows
  ) {
    self.init(definition: definition, progress: progress, eventTimeMax: eventTimeMax, lateMax: lateMax, dropped: dropped)
    noteStoredRows()
  }

  /// Adds to changed rows what the file has of them and memory has let go of, all at once.
  mutating func completeChanged(view: Int64, from statements: StateStatements) throws {
    guard hasColdWindows else { return }
    sortChanged()
    var state: [UInt64] = []
    for row in table.changed where table.isPartial(Int(row)) {
      let slot = table.slotStarts[Int(row)]
      let place = StateRowKey(view: view, partition: progress.partition, slot: slot, end: definition.window.end(ofSlot: slot))
      state.removeAll(keepingCapacity: true)
      let events = try table.keys.withKey(Int(table.keyNumbers[Int(row)])) { key in
        try statements.read(place, key: key, definition.layout, appendingTo: &state)
      }
      state.withUnsafeBufferPointer { complete(row, events == nil ? nil : $0, events: events ?? 0) }
    }
  }

  /// Writes the rows changed since the last checkpoint.
  /// - Returns: How many.
  func writeChanged(view: Int64, to statements: StateStatements) throws -> Int {
    var words: [UInt64] = []
    let partition = progress.partition
    func write(
      _ states: borrowing StateRows, _ row: Int, slot: Int64, end: Int64, key: UnsafeRawBufferPointer, events: Int64
    ) throws {
      words.removeAll(keepingCapacity: true)
      states.appendCanonical(row, to: &words)
      for index in words.indices { words[index] = words[index].littleEndian }
      try words.withUnsafeBytes { state in
        try statements.upsert(
          StateRowKey(view: view, partition: partition, slot: slot, end: end), key: key, state: state, events: events)
      }
    }
    for row in table.changed {
      let row = Int(row)
      let slot = table.slotStarts[row]
      try table.keys.withKey(Int(table.keyNumbers[row])) { key in
        try write(
          table.states, row, slot: slot, end: definition.window.end(ofSlot: slot), key: key, events: table.events[row])
      }
    }
    try sessions.forEachOutdated { known in
      try sessions.keys.withKey(Int(known.key)) { key in
        try statements.delete(
          StateRowKey(view: view, partition: partition, slot: known.start, end: known.end), key: key)
      }
    }
    for row in sessions.changed {
      let row = Int(row)
      guard sessions.keyNumbers[row] >= 0 else { continue }
      try sessions.keys.withKey(Int(sessions.keyNumbers[row])) { key in
        try write(
          sessions.states, row, slot: sessions.starts[row], end: sessions.ends[row], key: key, events: sessions.events[row])
      }
    }
    return table.changed.count + sessions.changed.count
  }

  var isSession: Bool { definition.window.isSession }

  /// What of a read is in the file only; nil when nothing is.
  /// - Parameters:
  ///   - from: The first slot.
  ///   - last: The last.
  ///   - isCold: Whether the file may have rows of these slots that can still change.
  func storedRange(view: Int64, _ from: Int64, _ last: Int64, key: [UInt8]?, isCold: Bool) -> CheckpointStore.StoredRange? {
    var range = CheckpointStore.StoredRange(view: view, partition: progress.partition, from: from, through: last, key: key)
    if isSession {
      guard evictedEnd != .min || hasColdSessions else { return nil }
      range.endAfter = keptAfter ?? .min
      range.endThrough = evictedEnd
      if hasColdSessions {
        range.endThrough = .max
        range.inMemory = CheckpointStore.KeysInMemory(keys: sessions.keys, endAfter: evictedEnd)
      }
    } else {
      let through = isCold ? max(evictedThrough, table.coldThrough) : evictedThrough
      guard isCold || through != .min else { return nil }
      range.through = min(last, through)
    }
    return range.from <= range.through ? range : nil
  }
}
