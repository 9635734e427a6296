import Aggregates
import Events
import Views

/// The sessions of one view and partition in memory: for each key the open ones, and closed ones that are still held.
///
/// Belongs to one worker. A session grows at both ends, and two become one when an event comes between them. The order
/// of events leaves no trace, except that sessions which are closed for an event's source are left as they are by that event.
struct SessionTable: ~Copyable {
  struct Stored {
    var address: RowAddress
    var key: Int32
  }

  private(set) var keys = KeyTable()
  var states: StateRows
  /// The time of each row's first event.
  private(set) var starts: [Int64] = []
  /// The time of each row's last event + gap.
  private(set) var ends: [Int64] = []
  /// −1 for a free row.
  private(set) var keyNumbers: [Int32] = []
  private(set) var events: [Int64] = []
  /// For each key its session that ends last; links lead to earlier ones, −1 at the end.
  private var latest: [Int32] = []
  private var earlier: [Int32] = []
  private var stored: [Stored?] = []
  private var isChanged: [Bool] = []
  /// Rows changed since the last checkpoint, each once; free ones are among them.
  private(set) var changed: [Int32] = []
  /// The file's sessions that have become part of others.
  private var joined: [Stored] = []
  private var free: [Int32] = []
  /// The rows that became part of others in this batch, and those others: events placed before may still name them.
  private var target: [Int32: Int32] = [:]
  private var scratch: [UInt64] = []
  /// Sessions that end after this have closed for no event yet: the largest bound at which one was placed.
  private var closedEnd = Int64.min
  /// For each key, the checkpoint after which one of its sessions changed last.
  private var changedAt: [UInt32] = []
  private var checkpoint: UInt32 = 0
  /// Sessions that end by then may be in the file only.
  private(set) var coldEnd = Int64.min
  /// For each key: all its sessions that end after this are in memory.
  private(set) var heldAfter: [Int64] = []

  init(layout: StateLayout) { states = StateRows(layout: layout) }

  var count: Int { starts.count }

  func address(_ row: Int) -> RowAddress { RowAddress(slot: starts[row], end: ends[row]) }

  var byteCount: Int {
    guard count > 0 else { return 0 }
    return states.byteCount + starts.capacity * 65 + changed.capacity * 4 + latest.capacity * 16 + keys.byteCount
  }

  /// Sessions that end by then may be in the file only.
  mutating func noteCold(through end: Int64) { coldEnd = max(coldEnd, end) }

  /// Lets go of the keys that changed longest ago, so that about this many bytes are left. None may be changed and unsaved.
  mutating func shrink(toBytes bytes: Int) {
    precondition(changed.isEmpty && target.isEmpty)
    guard count > 0, byteCount > bytes else { return }
    let limit = MemoryBound.changeLimit(changedAt, keeping: bytes, of: byteCount)
    for row in starts.indices where keyNumbers[row] >= 0 && changedAt[Int(keyNumbers[row])] <= limit {
      noteCold(through: ends[row])
    }
    rebuild(keeping: starts.indices.filter { keyNumbers[$0] >= 0 && changedAt[Int(keyNumbers[$0])] > limit })
  }

  /// Lets go of all, whatever the file has.
  mutating func removeAll() {
    var fresh = SessionTable(layout: states.layout)
    fresh.coldEnd = .max
    fresh.checkpoint = checkpoint
    fresh.closedEnd = closedEnd
    self = fresh
  }

  mutating func keyNumber(_ key: UnsafeRawBufferPointer) -> Int32 {
    let number = keys.number(of: key)
    if number == latest.count {
      latest.append(-1)
      changedAt.append(checkpoint)
      heldAfter.append(coldEnd)
    }
    return Int32(truncatingIfNeeded: number)
  }

  /// The number of the key that is expected next, if a string is all of it.
  mutating func nextKey(ifString text: UnsafeRawBufferPointer) -> Int32? {
    keys.next(ifString: text).map { Int32(truncatingIfNeeded: $0) }
  }

  /// All sessions of the key that end after this are in memory.
  func heldEnd(of key: UnsafeRawBufferPointer) -> Int64 { keys.find(key).map { heldAfter[$0] } ?? coldEnd }

  mutating func noteHeld(_ key: UnsafeRawBufferPointer, after end: Int64) { heldAfter[Int(keyNumber(key))] = end }

  /// Whether sessions have changed that a reader may take from the file: the session as it was stored ends by `coldEnd`.
  var amendsCold: Bool {
    joined.contains { $0.address.end <= coldEnd }
      || changed.contains { row in stored[Int(row)].map { $0.address.end <= coldEnd } ?? (ends[Int(row)] <= coldEnd) }
  }

  // MARK: placing events

  /// The row of an event's session: one that is open and less than the gap away, or a new one. It counts the event.
  /// - Parameter end: The event's time + gap.
  /// - Returns: −1 when no session is open there, and a new one would be closed at once: the event is late.
  mutating func row(time: Int64, end: Int64, key: Int32, closedEnd: Int64) -> Int32 {
    self.closedEnd = max(self.closedEnd, closedEnd)
    var found: Int32 = -1
    var before: Int32 = -1
    var row = latest[Int(key)]
    while row >= 0 {
      let index = Int(row)
      // For this event, earlier ones have closed too.
      if ends[index] <= closedEnd { break }
      guard WindowDefinition.isBefore(time, end: ends[index]) else { break }
      let next = earlier[index]
      if WindowDefinition.isBefore(starts[index], end: end) {
        if found < 0 {
          found = row
          before = row
        } else {
          absorb(row, into: found)
          link(before, key, next)
        }
      } else {
        before = row
      }
      row = next
    }
    if found < 0 {
      guard end > closedEnd else { return -1 }
      found = insert(start: time, end: end, key)
      earlier[Int(found)] = before < 0 ? latest[Int(key)] : earlier[Int(before)]
      link(before, key, found)
    } else {
      if time < starts[Int(found)] { starts[Int(found)] = time }
      if end > ends[Int(found)] { ends[Int(found)] = end }
    }
    markChanged(found)
    events[Int(found)] += 1
    return found
  }

  private mutating func link(_ before: Int32, _ key: Int32, _ row: Int32) {
    if before < 0 { latest[Int(key)] = row } else { earlier[Int(before)] = row }
  }

  private mutating func markChanged(_ row: Int32) {
    guard !isChanged[Int(row)] else { return }
    isChanged[Int(row)] = true
    changed.append(row)
  }

  private mutating func insert(start: Int64, end: Int64, _ key: Int32) -> Int32 {
    if let row = free.popLast() {
      (starts[Int(row)], ends[Int(row)], keyNumbers[Int(row)], events[Int(row)]) = (start, end, key, 0)
      return row
    }
    states.append()
    starts.append(start)
    ends.append(end)
    keyNumbers.append(key)
    events.append(0)
    earlier.append(-1)
    stored.append(nil)
    isChanged.append(false)
    return Int32(truncatingIfNeeded: count - 1)
  }

  /// Makes one session of two. Events of this batch in the absorbed one are folded into the other later: states do not depend on
  /// the order.
  private mutating func absorb(_ row: Int32, into other: Int32) {
    let (a, b) = (Int(row), Int(other))
    starts[b] = min(starts[b], starts[a])
    ends[b] = max(ends[b], ends[a])
    scratch.removeAll(keepingCapacity: true)
    states.appendCanonical(a, to: &scratch)
    scratch.withUnsafeBufferPointer { states.merge(into: b, $0) }
    states.reset(a)
    events[b] += events[a]
    if let known = stored[a] { joined.append(known) }
    stored[a] = nil
    keyNumbers[a] = -1
    target[row] = other
  }

  /// After a batch's events are placed: replaces the rows of absorbed sessions by those of the sessions they are part of.
  mutating func settle(_ rows: inout [Int32]) {
    guard !target.isEmpty else { return }
    for index in rows.indices {
      while let other = target[rows[index]] { rows[index] = other }
    }
    free.append(contentsOf: target.keys.sorted())
    target.removeAll(keepingCapacity: true)
  }

  var eventCount: Int64 { starts.indices.reduce(0) { keyNumbers[$1] < 0 ? $0 : $0 + events[$1] } }

  /// Names an invariant that does not hold; nil when all do. Costs a look at all sessions.
  var fault: String? {
    if let fault = keys.fault { return fault }
    let columns = [
      states.count, ends.count, keyNumbers.count, events.count, earlier.count, stored.count, isChanged.count,
    ]
    guard columns.allSatisfy({ $0 == count }), latest.count == keys.count, changedAt.count == keys.count,
      heldAfter.count == keys.count
    else {
      return "columns are of one length"
    }
    guard changed.allSatisfy({ isChanged[Int($0)] }), isChanged.count(where: { $0 }) == changed.count else {
      return "each changed row is listed once"
    }
    guard keyNumbers.count(where: { $0 < 0 }) == free.count + target.count else { return "a row without a session is free" }
    for key in latest.indices {
      var row = Int(latest[key])
      while row >= 0 {
        let next = Int(earlier[row])
        guard keyNumbers[row] == key, starts[row] <= ends[row] else { return "a session is of its key" }
        guard ends[row] > heldAfter[key] else { return "a session ends after the time from which on its key is in memory" }
        guard next < 0 || ends[next] <= ends[row] else { return "a key's sessions are in the order of their ends" }
        guard next < 0 || ends[next] <= closedEnd || !WindowDefinition.isBefore(starts[row], end: ends[next]) else {
          return "sessions of a key that are closed for nobody do not overlap"
        }
        row = next
      }
    }
    return nil
  }

  // MARK: checkpoints

  /// The rows that the file must no longer have: sessions that grew, or became part of others.
  func forEachOutdated(_ body: (Stored) throws -> Void) rethrows {
    for known in joined { try body(known) }
    for row in changed {
      guard keyNumbers[Int(row)] >= 0, let known = stored[Int(row)] else { continue }
      if known.address != address(Int(row)) { try body(known) }
    }
  }

  /// The file has every change.
  mutating func clearChanged() {
    for row in changed {
      isChanged[Int(row)] = false
      guard keyNumbers[Int(row)] >= 0 else { continue }
      stored[Int(row)] = Stored(address: address(Int(row)), key: keyNumbers[Int(row)])
      changedAt[Int(keyNumbers[Int(row)])] = checkpoint
    }
    checkpoint += 1
    changed.removeAll(keepingCapacity: changed.count < 1 << 16)
    joined.removeAll()
  }

  /// Puts a stored session back.
  /// - Parameters:
  ///   - state: The state in canonical form.
  ///   - count: The events that it counts.
  mutating func restore(
    start: Int64, end: Int64, key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>, events count: Int64
  ) {
    let key = keyNumber(key)
    let row = insert(start: start, end: end, key)
    states.merge(into: Int(row), state)
    events[Int(row)] = count
    stored[Int(row)] = Stored(address: address(Int(row)), key: key)
    var before: Int32 = -1
    var next = latest[Int(key)]
    while next >= 0, ends[Int(next)] > end { (before, next) = (next, earlier[Int(next)]) }
    earlier[Int(row)] = next
    link(before, key, row)
  }

  /// Lets go of sessions that end at or before `bound`, if that makes the table smaller by at least a quarter. None may be
  /// changed and unsaved.
  mutating func compact(removingThrough bound: Int64) {
    precondition(changed.isEmpty && target.isEmpty)
    let kept = starts.indices.filter { keyNumbers[$0] >= 0 && ends[$0] > bound }
    guard kept.count < count - count / 4 else { return }
    noteCold(through: bound)
    rebuild(keeping: kept, endingAfter: bound)
  }

  private mutating func rebuild(keeping kept: [Int], endingAfter bound: Int64 = .min) {
    var fresh = SessionTable(layout: states.layout)
    fresh.checkpoint = checkpoint
    fresh.coldEnd = coldEnd
    fresh.closedEnd = closedEnd
    for row in kept {
      scratch.removeAll(keepingCapacity: true)
      states.appendCanonical(row, to: &scratch)
      keys.withKey(Int(keyNumbers[row])) { key in
        scratch.withUnsafeBufferPointer { fresh.restore(start: starts[row], end: ends[row], key: key, $0, events: events[row]) }
      }
      let (key, freshKey) = (Int(keyNumbers[row]), Int(fresh.keyNumbers[fresh.count - 1]))
      fresh.changedAt[freshKey] = changedAt[key]
      fresh.heldAfter[freshKey] = max(heldAfter[key], bound)
    }
    self = fresh
  }
}
