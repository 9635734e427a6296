import Events
import Views

/// The rows of one view and partition that are in memory: (slot, key) → state, by open addressing. A slot is a window's start, or a hop's pane: see
/// `WindowRows.swift`.
///
/// Belongs to one worker. Rows are numbered densely; only `compact` removes any, and renumbers the rest.
struct WindowTable: ~Copyable {
  private(set) var keys = KeyTable()
  var states: StateRows
  private(set) var slotStarts: [Int64] = []
  private(set) var keyNumbers: [Int32] = []
  private var isChanged: [Bool] = []
  /// Rows changed since the last checkpoint, each once.
  private(set) var changed: [Int32] = []
  /// Row + 1, 0 for none; a power of two of them.
  private var slots = [UInt32](repeating: 0, count: 128)
  /// For each key the row it was last given: most events of a key fall into the window of the one before.
  private var lastRow: [Int32] = []

  init(layout: StateLayout) { states = StateRows(layout: layout) }

  var count: Int { slotStarts.count }

  mutating func keyNumber(_ key: UnsafeRawBufferPointer) -> Int32 {
    let number = keys.number(of: key)
    if number == lastRow.count { lastRow.append(-1) }
    return Int32(truncatingIfNeeded: number)
  }

  /// The row of a window and key, made if it is not there, and marked as changed.
  @inline(__always) mutating func row(window: Int64, key: Int32) -> Int32 {
    let last = lastRow[Int(key)]
    if last >= 0, slotStarts[Int(last)] == window {
      if !isChanged[Int(last)] { markChanged(last) }
      return last
    }
    let row = find(window: window, key: key)
    lastRow[Int(key)] = row
    if !isChanged[Int(row)] { markChanged(row) }
    return row
  }

  private mutating func markChanged(_ row: Int32) {
    isChanged[Int(row)] = true
    changed.append(row)
  }

  @inline(never) private mutating func find(window: Int64, key: Int32) -> Int32 {
    let mask = slots.count - 1
    var slot = WindowTable.hash(window, key) & mask
    while case let entry = slots[slot], entry != 0 {
      let row = Int(entry) - 1
      if slotStarts[row] == window, keyNumbers[row] == key { return Int32(truncatingIfNeeded: row) }
      slot = (slot + 1) & mask
    }
    return insert(window, key, slot)
  }

  private mutating func insert(_ window: Int64, _ key: Int32, _ slot: Int) -> Int32 {
    let row = count
    states.append()
    slotStarts.append(window)
    keyNumbers.append(key)
    isChanged.append(false)
    slots[slot] = UInt32(row) + 1
    if count * 2 > slots.count { rehash(to: slots.count * 2) }
    return Int32(truncatingIfNeeded: row)
  }

  private mutating func rehash(to size: Int) {
    slots = [UInt32](repeating: 0, count: size)
    for row in 0..<count {
      var slot = WindowTable.hash(slotStarts[row], keyNumbers[row]) & (size - 1)
      while slots[slot] != 0 { slot = (slot + 1) & (size - 1) }
      slots[slot] = UInt32(row) + 1
    }
  }

  @inline(__always) private static func hash(_ window: Int64, _ key: Int32) -> Int {
    let mixed = (UInt64(bitPattern: window) ^ UInt64(UInt32(bitPattern: key)) &* 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(
      by: 0xA076_1D64_78BD_642F)
    return Int(truncatingIfNeeded: (mixed.high ^ mixed.low) &>> 1)
  }

  /// Puts a stored row back.
  /// - Parameter state: In canonical form.
  mutating func restore(window: Int64, key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>) {
    let row = find(window: window, key: keyNumber(key))
    states.merge(into: Int(row), state)
  }

  /// After a checkpoint: no row differs from what is stored.
  mutating func clearChanged() {
    for row in changed { isChanged[Int(row)] = false }
    changed.removeAll(keepingCapacity: changed.count < 1 << 16)
  }

  /// Lets go of rows whose slot is at or before `bound`. No row may be changed and unsaved.
  mutating func compact(removingThrough bound: Int64) {
    precondition(changed.isEmpty)
    let kept = (0..<count).filter { slotStarts[$0] > bound }
    guard kept.count < count else { return }
    var fresh = WindowTable(layout: states.layout)
    var state: [UInt64] = []
    for row in kept {
      state.removeAll(keepingCapacity: true)
      states.appendCanonical(row, to: &state)
      keys.withKey(Int(keyNumbers[row])) { key in
        state.withUnsafeBufferPointer { fresh.restore(window: slotStarts[row], key: key, $0) }
      }
    }
    self = fresh
  }

  /// The smallest slot in memory.
  var firstSlot: Int64? { slotStarts.min() }
}
