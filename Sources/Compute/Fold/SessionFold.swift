import Aggregates
import Events
import Views

/// The rows of a view of sessions. Memory has all of a key's sessions that end after a time of that key's; before an event is
/// placed that may go to an earlier one, those back to there are put back.
final class SessionFold: FoldRows {
  /// Nanoseconds.
  private let gap: Int64
  private var table: SessionTable

  init(gap: Int64, layout: StateLayout) {
    self.gap = gap
    table = SessionTable(layout: layout)
  }

  var count: Int { table.count }
  var unsavedCount: Int { table.changed.count }
  var byteCount: Int { table.byteCount }

  // MARK: folding

  var mayMissRows: Bool { table.coldEnd > .min }

  func missingRows(ofKey key: UnsafeRawBufferPointer, endingAfter end: Int64) -> Int64? {
    let held = table.heldEnd(of: key)
    return held > end ? held : nil
  }

  func noteRestored(key: UnsafeRawBufferPointer, endingAfter end: Int64) { table.noteHeld(key, after: end) }

  func place(
    _ batch: ColumnBatch, _ times: BatchTimes, _ events: inout EventIntake, _ keys: inout BatchKeys
  ) -> EventIntake.Counts {
    SessionFold.place(batch, times, &events, &keys, gap: gap, in: &table)
  }

  var eventCount: Int64 { table.eventCount }
  var fault: String? { table.fault }

  private static func place(
    _ batch: ColumnBatch, _ times: BatchTimes, _ events: inout EventIntake, _ keys: inout BatchKeys, gap: Int64,
    in table: inout SessionTable
  ) -> EventIntake.Counts {
    keys.predict(batch) { table.nextKey(ifString: $0) }
    let counts = events.place(batch, times, firstEnd: nil) { event, time, bound in
      let key = keys.number(of: event, in: batch) { table.keyNumber($0) }
      let end = WindowDefinition.end(of: time, size: gap)
      let row = table.row(time: time, end: end, key: key, closedEnd: bound)
      return EventIntake.Placement(row: row, end: row < 0 ? end : table.ends[Int(row)])
    }
    table.settle(&events.rowOfEvent)
    return counts
  }

  func withStates(_ body: (inout StateRows) -> Void) { body(&table.states) }

  // MARK: checkpoints

  func forEachOutdated(_ body: (RowAddress, UnsafeRawBufferPointer) throws -> Void) throws {
    try table.forEachOutdated { stored in
      try table.keys.withKey(Int(stored.key)) { try body(stored.address, $0) }
    }
  }

  func forEachChanged(_ body: (borrowing ChangedRow) throws -> Void) throws {
    var state: [UInt64] = []
    for row in table.changed {
      let row = Int(row)
      guard table.keyNumbers[row] >= 0 else { continue }
      state.removeAll(keepingCapacity: true)
      table.states.appendCanonical(row, to: &state)
      try table.keys.withKey(Int(table.keyNumbers[row])) { key in
        try state.withUnsafeBufferPointer { state in
          try body(
            ChangedRow(address: table.address(row), key: key, state: state, events: table.events[row], isWhole: true))
        }
      }
    }
  }

  func checkpointed(closedEnd: Int64) {
    table.clearChanged()
    table.compact(removingThrough: closedEnd)
  }

  // MARK: rows that were stored

  func leaveClosed(_ closedEnd: Int64) { table.noteCold(through: closedEnd) }

  var open: OpenRows { .ends(after: table.coldEnd) }

  func restore(_ row: RowAddress, key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>, events: Int64) {
    table.restore(start: row.slot, end: row.end, key: key, state, events: events)
  }

  func leaveRest(through slot: Int64) { table.removeAll() }
  func shrink(toBytes bytes: Int) { table.shrink(toBytes: bytes) }

  // MARK: reads

  var amendsStored: Bool { table.amendsCold }

  func sharesRows(from slot: Int64, key: [UInt8]?) -> Bool { false }

  func stored(_ slots: ClosedRange<Int64>, key: [UInt8]?, keptAfter: Int64) -> StoredRows? {
    guard mayMissRows else { return nil }
    var stored = StoredRows(slots: slots, endAfter: keptAfter, endThrough: table.coldEnd)
    if let key {
      stored.endThrough = key.withUnsafeBytes { table.heldEnd(of: $0) }
    } else {
      stored.inMemory = KeysInMemory(keys: table.keys, heldAfter: table.heldAfter)
    }
    return stored
  }

  func copy(
    _ slots: ClosedRange<Int64>, key: [UInt8]?, keptAfter: Int64, partition: PartitionID, into rows: inout PartialRows
  ) {
    let wanted = key.map { key in key.withUnsafeBytes { table.keys.find($0) } ?? -1 }
    guard wanted != -1 else { return }
    for row in 0..<table.count {
      let key = Int(table.keyNumbers[row])
      let address = table.address(row)
      guard key >= 0, key == wanted ?? key, slots.contains(address.slot), address.end > keptAfter else { continue }
      table.keys.withKey(key) { key in
        rows.append(partition: partition, windowStart: address.slot, windowEnd: address.end, key: key) {
          table.states.appendCanonical(row, to: &$0)
        }
      }
    }
  }

  func isPartial(slot: Int64, key: UnsafeRawBufferPointer) -> Bool { false }
}
