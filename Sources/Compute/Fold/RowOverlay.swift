import Aggregates
import Events
import Views

/// The rows of one fold that are in memory while the file has rows of the same slots: a read takes each row once, with all its events.
///
/// Invariant for `@unchecked`: made by a worker, then handed to one read, which uses it on one thread at a time.
final class RowOverlay: @unchecked Sendable {
  private var table: WindowTable
  private var state: [UInt64] = []

  init(layout: StateLayout) { table = WindowTable(layout: layout) }

  func add(_ row: Int, of other: borrowing WindowTable) {
    state.removeAll(keepingCapacity: true)
    other.states.appendCanonical(row, to: &state)
    other.keys.withKey(Int(other.keyNumbers[row])) { key in
      state.withUnsafeBufferPointer { table.restore(window: other.slotStarts[row], key: key, $0, events: 0) }
    }
    if other.isPartial(row) { table.notePartial(table.count - 1) }
  }

  /// Takes a stored row in, if memory has one of its slot and key.
  /// - Returns: Whether it has; nil when the stored bytes are no state of the layout.
  func absorb(slot: Int64, key: UnsafeRawBufferPointer, stored: UnsafeRawBufferPointer) -> Bool? {
    guard let row = table.lookUp(window: slot, key: key) else { return false }
    guard table.isPartial(row) else { return true }
    state.removeAll(keepingCapacity: true)
    guard StateCodec.decode(stored, table.states.layout, appendingTo: &state) else { return nil }
    state.withUnsafeBufferPointer { table.complete(Int32(truncatingIfNeeded: row), $0, events: 0) }
    return true
  }

  /// Adds all rows to a result's.
  func append(to rows: inout PartialRows, _ partition: PartitionID, _ window: WindowDefinition) {
    for row in 0..<table.count {
      let slot = table.slotStarts[row]
      table.keys.withKey(Int(table.keyNumbers[row])) { key in
        rows.append(partition: partition, windowStart: slot, windowEnd: window.end(ofSlot: slot), key: key) {
          table.states.appendCanonical(row, to: &$0)
        }
      }
    }
  }
}
