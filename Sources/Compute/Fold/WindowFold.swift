import Aggregates
import Events
import Views

/// The rows of a view whose windows do not depend on its events: one for each slot and key.
///
/// An event for a row that was let go of begins the row anew; the next checkpoint stores that part, which adds to what the file
/// has. So any row may be let go of, closed or not, and none is read to be written.
final class WindowFold: FoldRows {
  private let window: WindowDefinition
  private let slots: WindowSlots
  private var table: WindowTable
  /// Rows whose slot is at or before this have been let go of once.
  private var leftThrough = Int64.min

  init(_ window: WindowDefinition, layout: StateLayout) {
    self.window = window
    slots = WindowSlots(window)
    table = WindowTable(layout: layout)
  }

  var count: Int { table.count }
  var unsavedCount: Int { table.changed.count }
  var byteCount: Int { table.byteCount }

  // MARK: folding

  var mayMissRows: Bool { false }
  func missingRows(ofKey key: UnsafeRawBufferPointer, endingAfter end: Int64) -> Int64? { nil }
  func noteRestored(key: UnsafeRawBufferPointer, endingAfter end: Int64) {}

  func place(
    _ batch: ColumnBatch, _ times: BatchTimes, _ events: inout EventIntake, _ keys: inout BatchKeys
  ) -> EventIntake.Counts {
    WindowFold.place(batch, times, &events, &keys, slots, in: &table)
  }

  var eventCount: Int64 { table.eventCount }
  var fault: String? { table.fault }

  private static func place(
    _ batch: ColumnBatch, _ times: BatchTimes, _ events: inout EventIntake, _ keys: inout BatchKeys, _ slots: WindowSlots,
    in table: inout WindowTable
  ) -> EventIntake.Counts {
    keys.predict(batch) { table.nextKey(ifString: $0) }
    var slot = slots.slot(of: times.events[0])
    let firstEnd = slots.slot(of: batch.header.firstEventTime.nanoseconds).firstEnd
    return events.place(batch, times, firstEnd: firstEnd) { event, time, bound in
      if !slot.contains(time) { slot = slots.slot(of: time) }
      guard let start = slot.row(closedEnd: bound) else { return EventIntake.Placement(row: -1, end: slot.lastEnd) }
      let key = keys.number(of: event, in: batch) { table.keyNumber($0) }
      return EventIntake.Placement(row: table.row(window: start, key: key), end: slot.lastEnd)
    }
  }

  func withStates(_ body: (inout StateRows) -> Void) { body(&table.states) }

  // MARK: checkpoints

  func forEachOutdated(_ body: (RowAddress, UnsafeRawBufferPointer) throws -> Void) throws {}

  func forEachChanged(_ body: (borrowing ChangedRow) throws -> Void) throws {
    try table.forEachChanged { slot, key, state, events, isWhole in
      let address = RowAddress(slot: slot, end: window.end(ofSlot: slot))
      try body(ChangedRow(address: address, key: key, state: state, events: events, isWhole: isWhole))
    }
  }

  func checkpointed(closedEnd: Int64) {
    table.clearChanged()
    let bound = window.lastSlot(endingBy: closedEnd)
    // A scan costs as much as there are rows, so it runs only when another window has closed.
    guard bound > leftThrough else { return table.removeEmpty() }
    leftThrough = bound
    if let first = table.firstSlot, first <= bound { table.compact(removingThrough: bound) } else { table.removeEmpty() }
  }

  // MARK: rows that were stored

  func leaveClosed(_ closedEnd: Int64) {
    leftThrough = window.lastSlot(endingBy: closedEnd)
    if leftThrough > .min { table.noteCold(through: leftThrough) }
  }

  /// The first of times is a slot, too: of windows that are cut there.
  var open: OpenRows { .slots(from: leftThrough == .min ? .min : leftThrough + 1) }

  func restore(_ row: RowAddress, key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>, events: Int64) {
    table.restore(window: row.slot, key: key, state)
  }

  func leaveRest(through slot: Int64) { table.noteCold(through: slot) }
  func shrink(toBytes bytes: Int) { table.shrink(toBytes: bytes) }

  // MARK: reads

  private func isCold(_ slot: Int64) -> Bool { table.hasCold && slot <= table.coldThrough }

  var amendsStored: Bool { table.hasCold && table.changed.contains { isCold(table.slotStarts[Int($0)]) } }

  func sharesRows(from slot: Int64, key: [UInt8]?) -> Bool {
    guard let key else { return isCold(slot) }
    guard isCold(slot), let number = key.withUnsafeBytes({ table.keys.find($0) }) else { return false }
    return table.rows(ofKey: number).contains { row in
      table.slotStarts[row] >= slot && isCold(table.slotStarts[row]) && !table.isEmpty(row)
    }
  }

  func stored(_ slots: ClosedRange<Int64>, key: [UInt8]?, keptAfter: Int64) -> StoredRows? {
    guard isCold(slots.lowerBound) else { return nil }
    return StoredRows(slots: slots.lowerBound...min(slots.upperBound, table.coldThrough))
  }

  func copy(
    _ slots: ClosedRange<Int64>, key: [UInt8]?, keptAfter: Int64, partition: PartitionID, into rows: inout PartialRows
  ) {
    guard let key else {
      for row in 0..<table.count { copy(row, slots, partition, into: &rows) }
      return
    }
    guard let number = key.withUnsafeBytes({ table.keys.find($0) }) else { return }
    for row in table.rows(ofKey: number) { copy(row, slots, partition, into: &rows) }
  }

  @inline(__always) private func copy(
    _ row: Int, _ slots: ClosedRange<Int64>, _ partition: PartitionID, into rows: inout PartialRows
  ) {
    let slot = table.slotStarts[row]
    guard slots.contains(slot), !table.isEmpty(row) else { return }
    table.keys.withKey(Int(table.keyNumbers[row])) { key in
      rows.append(partition: partition, windowStart: slot, windowEnd: window.end(ofSlot: slot), key: key) {
        table.states.appendCanonical(row, to: &$0)
      }
    }
  }

  func isPartial(slot: Int64, key: UnsafeRawBufferPointer) -> Bool {
    table.hasCold && (table.lookUp(window: slot, key: key).map { table.isPartial($0) } ?? false)
  }
}
