import Events

/// The last sequence of every source of a partition.
///
/// Open addressing over hashes, with the names in one blob: 48 bytes a source, 6 to 12 in the slots, and its name; 16 more once
/// any count of the partition has left a number out. Sources are never forgotten: forgetting one would append its duplicates
/// again.
package struct ProducerTable {
  /// The sequences between two that were appended one after the other, none of which was ever appended. Empty without any.
  package struct Gap: Hashable {
    /// Excluded, as is `high`.
    package var low: UInt64 = 0
    package var high: UInt64 = 0

    package init(low: UInt64 = 0, high: UInt64 = 0) {
      self.low = low
      self.high = high
    }

    func contains(_ sequence: UInt64) -> Bool { low < sequence && sequence < high }
    /// For a gap that is not empty, the number of its sequences and one more.
    var width: UInt64 { high - low }
  }

  private struct Jump {
    var entry: Int
    var gap: Gap
    /// Whether it is the first of an epoch: earlier gaps belong to another.
    var isFirst: Bool
  }

  /// The latest time of a source where it is not known: nothing is newer.
  package static let unknownTime = Int64.max

  private struct Entry {
    var position = ProducerPosition(epoch: 0, sequence: 0)
    /// The latest time of the present epoch's events, in nanoseconds.
    var latestTime = ProducerTable.unknownTime
    /// False between `entry(for:)` making an entry and its first `set`.
    var isSet = false
  }

  /// Numbered in the order in which their sources came; a number stays valid.
  private var entries: [Entry] = []
  /// The widest gap of each source's present epoch; empty as long as there is none at all.
  package private(set) var gaps: [Gap] = []
  private var hashes: [UInt64] = []
  /// The end of each name; it begins where the previous one ends.
  private var nameEnds: [Int] = []
  private var names: [UInt8] = []
  /// The entry's number + 1, 0 where empty. Linear probing, at most 3/4 full.
  private var slots: [UInt32] = Array(repeating: 0, count: 64)
  /// Keeps a sender from choosing sources that share a slot of the hash table.
  private let seed = UInt64.random(in: .min ... .max)

  package init() {}

  package var count: Int { entries.count }
  var nameBytes: Int { names.count }

  /// The entry of a source; nil when it has none.
  package func find(_ name: UnsafeRawBufferPointer) -> Int? {
    let slot = slot(of: name, stableHash(name))
    return slots[slot] == 0 ? nil : Int(slots[slot]) - 1
  }

  /// The slot that has a source's entry, or the free one that would take it.
  @inline(__always) private func slot(of name: UnsafeRawBufferPointer, _ hash: UInt64) -> Int {
    var slot = firstSlot(hash)
    while slots[slot] != 0 {
      let entry = Int(slots[slot]) - 1
      if hashes[entry] == hash, isName(of: entry, equalTo: name) { break }
      slot = (slot + 1) & (slots.count - 1)
    }
    return slot
  }

  package func position(of entry: Int) -> ProducerPosition { entries[entry].position }

  package func latestTime(of entry: Int) -> Int64 { entries[entry].latestTime }

  /// The entry of a source, made if necessary; a new one accepts any first sequence.
  package mutating func entry(for name: UnsafeRawBufferPointer) -> Int {
    if (count + 1) * 4 > slots.count * 3 { grow() }
    let hash = stableHash(name)
    let slot = slot(of: name, hash)
    if slots[slot] != 0 { return Int(slots[slot]) - 1 }
    let entry = count
    precondition(entry < Int(UInt32.max) - 1)
    slots[slot] = UInt32(entry + 1)
    hashes.append(hash)
    entries.append(Entry())
    if !gaps.isEmpty { gaps.append(Gap()) }
    names.append(contentsOf: name)
    nameEnds.append(names.count)
    return entry
  }

  package mutating func set(_ entry: Int, _ position: ProducerPosition, latestTime: Int64 = ProducerTable.unknownTime) {
    entries[entry] = Entry(position: position, latestTime: latestTime, isSet: true)
  }

  mutating func setGap(_ entry: Int, _ gap: Gap) {
    if gaps.isEmpty { gaps = Array(repeating: Gap(), count: count) }
    gaps[entry] = gap
  }

  package func withName<R>(of entry: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    names.withUnsafeBytes { all in
      body(UnsafeRawBufferPointer(rebasing: all[(entry == 0 ? 0 : nameEnds[entry - 1])..<nameEnds[entry]]))
    }
  }

  /// Judges rows in order, and takes each admitted one as its source's last.
  /// - Parameters:
  ///   - rows: The number of rows.
  ///   - times: The event time of each.
  ///   - entryOfCode: The entry of each source code in a row with a sequence.
  ///   - exceptions: Gets the rows not admitted, ascending.
  mutating func judge(
    _ columns: ProducerColumns, rows: Int, times: [Int64], entryOfCode: [Int32], exceptions: inout [AppendReceipt.Exception]
  ) {
    precondition(columns.sources.count == rows && columns.sequences.count == rows && times.count == rows)
    precondition(columns.epochs.isEmpty || columns.epochs.count == rows)
    precondition(columns.hasSequence.isEmpty || columns.hasSequence.count == rows)
    let everyRow = columns.hasSequence.isEmpty
    let hasEpochs = !columns.epochs.isEmpty
    let exceptionsBefore = exceptions.count
    var jumps: [Jump] = []
    entries.withUnsafeMutableBufferPointer { entries in
      for row in 0..<rows where everyRow || columns.hasSequence[row] {
        let entry = Int(entryOfCode[Int(columns.sources[row])])
        let epoch = hasEpochs ? columns.epochs[row] : 0, sequence = columns.sequences[row], time = times[row]
        let last = entries[entry]
        if last.isSet, epoch == last.position.epoch {
          guard sequence > last.position.sequence else {
            exceptions.append(.init(row: row, reason: .duplicate, suspicion: time > last.latestTime ? .newer : nil))
            continue
          }
          if sequence - last.position.sequence > 1 {
            jumps.append(Jump(entry: entry, gap: Gap(low: last.position.sequence, high: sequence), isFirst: false))
          }
          entries[entry].position.sequence = sequence
          entries[entry].latestTime = max(last.latestTime, time)
        } else if last.isSet, epoch < last.position.epoch {
          exceptions.append(.init(row: row, reason: .fenced(currentEpoch: last.position.epoch)))
        } else {
          if last.isSet || sequence > 1 { jumps.append(Jump(entry: entry, gap: Gap(low: 0, high: sequence), isFirst: true)) }
          entries[entry] = Entry(position: ProducerPosition(epoch: epoch, sequence: sequence), latestTime: time, isSet: true)
        }
      }
    }
    for jump in jumps { note(jump) }
    for index in exceptionsBefore..<exceptions.count where exceptions[index].reason == .duplicate {
      let row = exceptions[index].row, entry = Int(entryOfCode[Int(columns.sources[row])])
      if isSkipped(entry, epoch: hasEpochs ? columns.epochs[row] : 0, sequence: columns.sequences[row]) {
        exceptions[index].suspicion = .skipped
      }
    }
    assert(isCanonical(entryOfCode), "the producer table is canonical")
  }

  /// Whether each source stands where it is looked for, once, with a gap that lies below its last sequence; looked at whole while
  /// there are few, else for the entries given.
  private func isCanonical(_ touched: [Int32]) -> Bool {
    guard hashes.count == count, nameEnds.count == count, nameEnds.last ?? 0 == names.count, count * 4 <= slots.count * 3,
      gaps.isEmpty || gaps.count == count
    else { return false }
    let looked = count <= 128 ? Array(0..<count) : touched.lazy.filter { $0 >= 0 }.map { Int($0) }
    return looked.allSatisfy { entry in
      let gap = gaps.isEmpty ? Gap() : gaps[entry]
      return withName(of: entry, find) == entry && gap.low <= gap.high && gap.high <= entries[entry].position.sequence
    }
  }

  private mutating func note(_ jump: Jump) {
    // There is no gap to forget, and none to keep.
    if gaps.isEmpty, jump.gap.width <= 1 { return }
    if gaps.isEmpty { gaps = Array(repeating: Gap(), count: count) }
    if jump.isFirst || jump.gap.width > gaps[jump.entry].width { gaps[jump.entry] = jump.gap }
  }

  private func isSkipped(_ entry: Int, epoch: UInt64, sequence: UInt64) -> Bool {
    !gaps.isEmpty && epoch == entries[entry].position.epoch && gaps[entry].contains(sequence)
  }

  private func firstSlot(_ hash: UInt64) -> Int {
    Int(truncatingIfNeeded: mixed(hash ^ seed)) & (slots.count - 1)
  }

  private func isName(of entry: Int, equalTo name: UnsafeRawBufferPointer) -> Bool {
    withName(of: entry) { $0.count == name.count && $0.elementsEqual(name) }
  }

  private mutating func grow() {
    slots = Array(repeating: 0, count: slots.count * 2)
    for (entry, hash) in hashes.enumerated() {
      var slot = firstSlot(hash)
      while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = UInt32(entry + 1)
    }
  }
}
