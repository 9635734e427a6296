import Aggregates
import Events
import Views

/// The rows of a view of sessions. A key's rows that can still change are all in memory or all in the file.
final class SessionFold: FoldRows {
  /// Nanoseconds.
  private let gap: Int64
  private var table: SessionTable
  /// Sessions that end at or before this are in the file only.
  private var evictedEnd = Int64.min

  init(gap: Int64, layout: StateLayout) {
    self.gap = gap
    table = SessionTable(layout: layout)
  }

  var count: Int { table.count }
  var unsavedCount: Int { table.changed.count }
  var byteCount: Int { table.byteCount }

  // MARK: folding

  var isMissingKeys: Bool { table.coldEnd > evictedEnd }
  func hasRows(ofKey key: UnsafeRawBufferPointer) -> Bool { table.keys.find(key) != nil }

  func place(
    _ batch: ColumnBatch, times: [Int64], _ events: inout EventIntake, _ keys: inout BatchKeys
  ) -> EventIntake.Counts {
    SessionFold.place(batch, times: times, &events, &keys, gap: gap, in: &table)
  }

  var eventCount: Int64 { table.eventCount }
  var fault: String? { table.fault }

  private static func place(
    _ batch: ColumnBatch, times: [Int64], _ events: inout EventIntake, _ keys: inout BatchKeys, gap: Int64,
    in table: inout SessionTable
  ) -> EventIntake.Counts {
    let counts = events.place(batch, times: times) { event, time, closedEnd in
      let key = keys.number(of: event, in: batch) { table.keyNumber($0) }
      return table.row(time: time, end: WindowDefinition.end(of: time, size: gap), key: key, closedEnd: closedEnd)
    }
    table.settle(&events.rowOfEvent)
    return counts
  }

  func withStates(_ body: (inout StateRows) -> Void) { body(&table.states) }

  // MARK: checkpoints

  func completeChanged(_ read: (RowAddress, UnsafeRawBufferPointer, inout [UInt64]) throws -> Int64?) throws {}

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
          try body(ChangedRow(address: table.address(row), key: key, state: state, events: table.events[row]))
        }
      }
    }
  }

  func checkpointed(closedEnd: Int64) {
    table.clearChanged()
    if closedEnd > evictedEnd, table.compact(removingThrough: closedEnd) { evictedEnd = closedEnd }
  }

  // MARK: rows that were stored

  func leaveClosed(_ closedEnd: Int64) { evictedEnd = closedEnd }

  var open: OpenRows { .ends(after: evictedEnd) }

  func restore(_ row: RowAddress, key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>, events: Int64) {
    table.restore(start: row.slot, end: row.end, key: key, state, events: events)
  }

  func leaveRest(from slot: Int64) { table.removeAll() }
  func shrink(toBytes bytes: Int) { table.shrink(toBytes: bytes) }

  // MARK: reads

  func isCold(from slot: Int64) -> Bool { isMissingKeys }

  func stored(_ slots: ClosedRange<Int64>, keptAfter: Int64, isCold: Bool) -> StoredRows? {
    guard evictedEnd != .min || isMissingKeys else { return nil }
    var stored = StoredRows(slots: slots, endAfter: keptAfter, endThrough: evictedEnd)
    if isMissingKeys {
      stored.endThrough = .max
      stored.inMemory = KeysInMemory(keys: table.keys, endAfter: evictedEnd)
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
