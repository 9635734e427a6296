import Aggregates
import Events

/// The rows of one view and partition in memory: (slot, key) → state, by open addressing. A slot is a window's start,
/// or a hop's pane: see `WindowRows.swift`.
///
/// Belongs to one worker. Rows are numbered densely; only `compact` removes any, and renumbers the rest.
struct WindowTable: ~Copyable {
  private(set) var keys = KeyTable()
  var states: StateRows
  private(set) var slotStarts: [Int64] = []
  private(set) var keyNumbers: [Int32] = []
  /// The events in memory of each row.
  private(set) var events: [Int64] = []
  private var isChanged: [Bool] = []
  /// Rows begun anew since others of their slot were let go of: the file may have events of theirs that memory does not.
  private var isPartial: [Bool] = []
  /// The checkpoint after which each row changed last.
  private var changedAt: [UInt32] = []
  private var checkpoint: UInt32 = 0
  /// Whether rows may be in the file only, though they can still change: rows of slots up to `coldThrough`.
  private(set) var hasCold = false
  private(set) var coldThrough = Int64.min
  /// Rows changed since the last checkpoint, each once.
  private(set) var changed: [Int32] = []
  /// The row's number plus one, 0 for none; their count is a power of two.
  private var slots = [UInt32](repeating: 0, count: 128)
  /// The row last used for each key: most events of a key fall into the previous event's window.
  private var lastRow: [Int32] = []
  /// The newest row of each key; -1 where there is none.
  private var newestRow: [Int32] = []
  /// The key's next older row, for each row; -1 for the first.
  private var earlierRow: [Int32] = []

  /// - Parameter capacity: The rows to have room for at first.
  init(layout: StateLayout, capacity: Int = 16) { states = StateRows(layout: layout, capacity: capacity) }

  var count: Int { slotStarts.count }

  /// The allocated bytes of memory for rows.
  var byteCount: Int {
    guard count > 0 else { return 0 }
    return states.byteCount + slotStarts.capacity * 30 + slots.capacity * 4 + lastRow.capacity * 8 + changed.capacity * 4
      + keys.byteCount
  }

  mutating func keyNumber(_ key: UnsafeRawBufferPointer) -> Int32 {
    let number = keys.number(of: key)
    if number == lastRow.count {
      lastRow.append(-1)
      newestRow.append(-1)
    }
    return Int32(truncatingIfNeeded: number)
  }

  /// The row of a window and key, made if it is not there, and marked as changed: it counts one more event.
  @inline(__always) mutating func row(window: Int64, key: Int32) -> Int32 {
    let last = lastRow[Int(key)]
    if last >= 0, slotStarts[Int(last)] == window {
      if !isChanged[Int(last)] { markChanged(last) }
      events[Int(last)] &+= 1
      return last
    }
    let row = find(window: window, key: key)
    lastRow[Int(key)] = row
    if !isChanged[Int(row)] { markChanged(row) }
    events[Int(row)] &+= 1
    return row
  }

  private mutating func markChanged(_ row: Int32) {
    isChanged[Int(row)] = true
    changed.append(row)
  }

  @inline(never) private mutating func find(window: Int64, key: Int32) -> Int32 {
    let slot = slot(window, key)
    let entry = slots[slot]
    return entry == 0 ? insert(window, key, slot) : Int32(truncatingIfNeeded: Int(entry) - 1)
  }

  /// The slot of the hash table where the row of a window and key is, or would be.
  @inline(__always) private func slot(_ window: Int64, _ key: Int32) -> Int {
    let mask = slots.count - 1
    var slot = WindowTable.hash(window, key) & mask
    while case let entry = slots[slot], entry != 0 {
      let row = Int(entry) - 1
      if slotStarts[row] == window, keyNumbers[row] == key { break }
      slot = (slot + 1) & mask
    }
    return slot
  }

  private mutating func insert(_ window: Int64, _ key: Int32, _ slot: Int) -> Int32 {
    let row = count
    states.append()
    slotStarts.append(window)
    keyNumbers.append(key)
    events.append(0)
    earlierRow.append(newestRow[Int(key)])
    newestRow[Int(key)] = Int32(truncatingIfNeeded: row)
    isChanged.append(false)
    isPartial.append(hasCold && window <= coldThrough)
    changedAt.append(checkpoint)
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
  /// - Parameters:
  ///   - state: The state in canonical form.
  ///   - events: The events that it counts.
  mutating func restore(window: Int64, key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>, events: Int64) {
    complete(find(window: window, key: keyNumber(key)), state, events: events)
  }

  /// The rows of a key, ascending.
  func rows(ofKey number: Int) -> [Int] {
    var rows: [Int] = []
    var row = newestRow[number]
    while row >= 0 {
      rows.append(Int(row))
      row = earlierRow[Int(row)]
    }
    return rows.reversed()
  }

  // MARK: rows that the file has more of

  func isPartial(_ row: Int) -> Bool { isPartial[row] }

  /// The row of a window and key; nil when it is not in memory.
  func lookUp(window: Int64, key: UnsafeRawBufferPointer) -> Int? {
    guard let number = keys.find(key) else { return nil }
    let entry = slots[slot(window, Int32(truncatingIfNeeded: number))]
    return entry == 0 ? nil : Int(entry) - 1
  }

  /// Merges the file's part of a row; from then on memory has all of it.
  /// - Parameters:
  ///   - state: The state in canonical form; nil when the file has none.
  ///   - events: The events that it counts.
  mutating func complete(_ row: Int32, _ state: UnsafeBufferPointer<UInt64>?, events: Int64) {
    if let state { states.merge(into: Int(row), state) }
    self.events[Int(row)] += events
    isPartial[Int(row)] = false
  }

  /// Rows of slots up to this may be in the file only.
  mutating func noteCold(through slot: Int64) {
    hasCold = true
    coldThrough = max(coldThrough, slot)
  }

  /// Sorts the changed rows as the file does: where the file is larger than memory, neighbours are found together.
  mutating func sortChanged() {
    changed.sort { a, b in
      let (slotA, slotB) = (slotStarts[Int(a)], slotStarts[Int(b)])
      guard slotA == slotB else { return slotA < slotB }
      return keys.withKey(Int(keyNumbers[Int(a)])) { first in
        keys.withKey(Int(keyNumbers[Int(b)])) { first.lexicographicallyPrecedes($0) }
      }
    }
  }

  /// Lets go of the rows that changed longest ago, so that about this many bytes are left. None may be changed and unsaved.
  mutating func shrink(toBytes bytes: Int) {
    precondition(changed.isEmpty)
    guard count > 0, byteCount > bytes else { return }
    let limit = MemoryBound.changeLimit(changedAt, keeping: bytes, of: byteCount)
    rebuild(keeping: (0..<count).filter { changedAt[$0] > limit })
  }

  /// After a checkpoint: no row differs from what is stored.
  mutating func clearChanged() {
    for row in changed {
      isChanged[Int(row)] = false
      changedAt[Int(row)] = checkpoint
    }
    checkpoint += 1
    changed.removeAll(keepingCapacity: changed.count < 1 << 16)
  }

  /// Lets go of rows whose slot is at or before `bound`. No row may be changed and unsaved.
  mutating func compact(removingThrough bound: Int64) {
    precondition(changed.isEmpty)
    let kept = (0..<count).filter { slotStarts[$0] > bound }
    guard kept.count < count else { return }
    rebuild(keeping: kept)
  }

  /// - Parameter kept: The rows to keep, ascending. The file has the others.
  private mutating func rebuild(keeping kept: [Int]) {
    var fresh = WindowTable(layout: states.layout, capacity: kept.count)
    fresh.checkpoint = checkpoint
    var next = 0
    for row in 0..<count {
      if next < kept.count, kept[next] == row { next += 1 } else { fresh.noteCold(through: slotStarts[row]) }
    }
    if hasCold { fresh.noteCold(through: coldThrough) }
    var state: [UInt64] = []
    for row in kept {
      state.removeAll(keepingCapacity: true)
      states.appendCanonical(row, to: &state)
      keys.withKey(Int(keyNumbers[row])) { key in
        state.withUnsafeBufferPointer { fresh.restore(window: slotStarts[row], key: key, $0, events: events[row]) }
      }
      fresh.changedAt[fresh.count - 1] = changedAt[row]
    }
    self = fresh
  }

  var eventCount: Int64 { events.reduce(0, +) }

  /// Names an invariant that does not hold; nil when all do. Costs a look at all rows.
  var fault: String? {
    if let fault = keys.fault { return fault }
    let columns = [
      states.count, keyNumbers.count, events.count, isChanged.count, isPartial.count, changedAt.count, earlierRow.count,
    ]
    guard columns.allSatisfy({ $0 == count }), lastRow.count == keys.count else { return "columns are of one length" }
    guard changed.allSatisfy({ isChanged[Int($0)] }), isChanged.count(where: { $0 }) == changed.count else {
      return "each changed row is listed once"
    }
    guard slots.count(where: { $0 != 0 }) == count,
      (0..<count).allSatisfy({ Int(slots[slot(slotStarts[$0], keyNumbers[$0])]) == $0 + 1 })
    else { return "each slot and key has one row" }
    return (0..<count).allSatisfy { !isPartial[$0] || slotStarts[$0] <= coldThrough } ? nil : "a partial row is cold"
  }

  var firstSlot: Int64? { slotStarts.min() }
}
