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
  /// The events of each row that are not stored yet.
  private(set) var events: [Int64] = []
  private var isChanged: [Bool] = []
  /// Rows begun anew since others of their slot were let go of: the file may have events of theirs that memory does not. Their
  /// states hold what is not stored yet, and are empty after a checkpoint.
  private var isPartial: [Bool] = []
  private var partialCount = 0
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

  /// The bytes of a row beside its state, its key and the hash table.
  static let rowBytes = 34

  /// So many empty rows may always stay.
  private static let emptyMax = 1024

  /// - Parameter capacity: The rows to have room for at first.
  init(layout: StateLayout, capacity: Int = 16) { states = StateRows(layout: layout, capacity: capacity) }

  var count: Int { slotStarts.count }

  /// The allocated bytes of memory for rows.
  var byteCount: Int {
    guard count > 0 else { return 0 }
    return states.byteCount + slotStarts.capacity * WindowTable.rowBytes + slots.capacity * 4 + lastRow.capacity * 8 + changed.capacity * 4
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

  /// The number of the key that is expected next, if a string is all of it.
  mutating func nextKey(ifString text: UnsafeRawBufferPointer) -> Int32? {
    keys.next(ifString: text).map { Int32(truncatingIfNeeded: $0) }
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
    let isPartial = hasCold && window <= coldThrough
    self.isPartial.append(isPartial)
    if isPartial { partialCount += 1 }
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

  /// Puts a stored row back, whole.
  /// - Parameter state: The state in canonical form.
  mutating func restore(window: Int64, key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>) {
    let row = Int(find(window: window, key: keyNumber(key)))
    states.merge(into: row, state)
    if isPartial[row] { partialCount -= 1 }
    isPartial[row] = false
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

  /// Rows of slots up to this may be in the file only.
  mutating func noteCold(through slot: Int64) {
    hasCold = true
    coldThrough = max(coldThrough, slot)
  }

  /// Calls `body` with each changed row, in the order of slot and key: its state in canonical form, the events that are not
  /// stored yet, and whether this is all of it.
  mutating func forEachChanged(
    _ body: (
      _ slot: Int64, _ key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>, _ events: Int64, _ isWhole: Bool
    ) throws -> Void
  ) rethrows {
    sortChanged()
    var state: [UInt64] = []
    // The arrays are taken once: what they are does not change meanwhile.
    let (slotStarts, keyNumbers, events, isPartial) = (slotStarts, keyNumbers, events, isPartial)
    try keys.withAll { keys in
      for row in changed {
        let row = Int(row)
        state.removeAll(keepingCapacity: true)
        states.appendCanonical(row, to: &state)
        try state.withUnsafeBufferPointer {
          try body(slotStarts[row], keys[Int(keyNumbers[row])], $0, events[row], !isPartial[row])
        }
      }
    }
  }

  /// Whether a row holds nothing: all that is known of it is in the file.
  @inline(__always) func isEmpty(_ row: Int) -> Bool { isPartial[row] && events[row] == 0 }

  /// Sorts the changed rows as runs do: by slot, then by the key's bytes.
  private mutating func sortChanged() {
    RowOrder.sort(&changed, slots: slotStarts, keyNumbers: keyNumbers, keys)
  }

  /// Lets go of empty rows, and of those that changed longest ago, so that about this many bytes are left. None may be changed
  /// and unsaved.
  mutating func shrink(toBytes bytes: Int) {
    precondition(changed.isEmpty)
    guard count > 0, byteCount > bytes else { return }
    let limit = MemoryBound.changeLimit(changedAt, keeping: bytes, of: byteCount)
    rebuild(keeping: (0..<count).filter { changedAt[$0] > limit && !isPartial[$0] })
  }

  /// Lets go of empty rows where they are more than the others. No row may be changed and unsaved.
  mutating func removeEmpty() {
    precondition(changed.isEmpty)
    guard partialCount > WindowTable.emptyMax, partialCount > count / 2 else { return }
    rebuild(keeping: (0..<count).filter { !isPartial[$0] })
  }

  /// After a checkpoint: no row differs from what is stored. Rows of which the file has more become empty.
  mutating func clearChanged() {
    for row in changed {
      let row = Int(row)
      isChanged[row] = false
      changedAt[row] = checkpoint
      events[row] = 0
      if isPartial[row] { states.reset(row) }
    }
    checkpoint += 1
    changed.removeAll(keepingCapacity: changed.count < 1 << 16)
  }

  /// Lets go of rows whose slot is at or before `bound`. No row may be changed and unsaved.
  mutating func compact(removingThrough bound: Int64) {
    precondition(changed.isEmpty)
    let kept = (0..<count).filter { slotStarts[$0] > bound && !isPartial[$0] }
    guard kept.count < count else { return }
    rebuild(keeping: kept)
  }

  /// - Parameter kept: The rows to keep, ascending, whole. The file has the others.
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
        state.withUnsafeBufferPointer { fresh.restore(window: slotStarts[row], key: key, $0) }
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
    guard isPartial.count(where: { $0 }) == partialCount else { return "partial rows are counted" }
    guard (0..<count).allSatisfy({ isChanged[$0] == (events[$0] > 0) }) else { return "a row has changed when it counts new events" }
    return (0..<count).allSatisfy { !isPartial[$0] || slotStarts[$0] <= coldThrough } ? nil : "a partial row is cold"
  }

  var firstSlot: Int64? { slotStarts.min() }
}
