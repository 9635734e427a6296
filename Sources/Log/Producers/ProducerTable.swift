import Events

/// The last sequence of every source of a partition.
///
/// Open addressing over hashes, with the names in one blob: 36 bytes a source, 6 to 12 in the slots, and its name. Sources are
/// never forgotten: forgetting one would take its duplicates in again.
struct ProducerTable {
  /// Entries are numbered in the order in which their sources came; a number stays valid.
  private(set) var epochs: [UInt64] = []
  private(set) var sequences: [UInt64] = []
  /// False between `entry(for:)` making an entry and its first `set`.
  private var isSet: [Bool] = []
  private var hashes: [UInt64] = []
  /// Where each name ends; it begins where the one before ends.
  private var nameEnds: [Int] = []
  private var names: [UInt8] = []
  /// Entry + 1, 0 where empty. Linear probing, at most 3/4 full.
  private var slots: [UInt32] = Array(repeating: 0, count: 64)
  /// Keeps a sender from choosing sources that share a slot.
  private let seed = UInt64.random(in: .min ... .max)

  var count: Int { epochs.count }
  var nameBytes: Int { names.count }

  /// The entry of a source; nil when it has none.
  func find(_ name: UnsafeRawBufferPointer) -> Int? {
    let hash = stableHash(name)
    var slot = firstSlot(hash)
    while slots[slot] != 0 {
      let entry = Int(slots[slot]) - 1
      if hashes[entry] == hash, isName(of: entry, equalTo: name) { return entry }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  func position(of entry: Int) -> ProducerPosition { ProducerPosition(epoch: epochs[entry], sequence: sequences[entry]) }

  /// The entry of a source, made if need be; a new one takes whatever sequence comes first.
  mutating func entry(for name: UnsafeRawBufferPointer) -> Int {
    if (count + 1) * 4 > slots.count * 3 { grow() }
    let hash = stableHash(name)
    var slot = firstSlot(hash)
    while slots[slot] != 0 {
      let entry = Int(slots[slot]) - 1
      if hashes[entry] == hash, isName(of: entry, equalTo: name) { return entry }
      slot = (slot + 1) & (slots.count - 1)
    }
    let entry = count
    precondition(entry < Int(UInt32.max) - 1)
    slots[slot] = UInt32(entry + 1)
    hashes.append(hash)
    epochs.append(0)
    sequences.append(0)
    isSet.append(false)
    names.append(contentsOf: name)
    nameEnds.append(names.count)
    return entry
  }

  mutating func set(_ entry: Int, _ position: ProducerPosition) {
    epochs[entry] = position.epoch
    sequences[entry] = position.sequence
    isSet[entry] = true
  }

  func withName<R>(of entry: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    names.withUnsafeBytes { all in
      body(UnsafeRawBufferPointer(rebasing: all[(entry == 0 ? 0 : nameEnds[entry - 1])..<nameEnds[entry]]))
    }
  }

  /// Judges rows in order, and takes each admitted one as its source's last.
  /// - Parameters:
  ///   - rows: How many rows.
  ///   - entryOfCode: The entry of each source code that occurs in a row with a sequence.
  ///   - exceptions: Gets the rows not admitted, ascending.
  mutating func judge(
    _ columns: ProducerColumns, rows: Int, entryOfCode: [Int32], exceptions: inout [AppendReceipt.Exception]
  ) {
    precondition(columns.sources.count == rows && columns.sequences.count == rows)
    precondition(columns.epochs.isEmpty || columns.epochs.count == rows)
    precondition(columns.hasSequence.isEmpty || columns.hasSequence.count == rows)
    let everyRow = columns.hasSequence.isEmpty
    let hasEpochs = !columns.epochs.isEmpty
    columns.sources.withUnsafeBufferPointer { sources in
      columns.epochs.withUnsafeBufferPointer { rowEpochs in
        columns.sequences.withUnsafeBufferPointer { rowSequences in
          columns.hasSequence.withUnsafeBufferPointer { hasSequence in
            entryOfCode.withUnsafeBufferPointer { entryOfCode in
              epochs.withUnsafeMutableBufferPointer { epochs in
                sequences.withUnsafeMutableBufferPointer { sequences in
                  isSet.withUnsafeMutableBufferPointer { isSet in
                    for row in 0..<rows where everyRow || hasSequence[row] {
                      let entry = Int(entryOfCode[Int(sources[row])])
                      let epoch = hasEpochs ? rowEpochs[row] : 0
                      let sequence = rowSequences[row]
                      if isSet[entry] {
                        if epoch == epochs[entry] {
                          guard sequence > sequences[entry] else {
                            exceptions.append(.init(row: row, reason: .duplicate))
                            continue
                          }
                        } else if epoch < epochs[entry] {
                          exceptions.append(.init(row: row, reason: .fenced(currentEpoch: epochs[entry])))
                          continue
                        }
                      }
                      isSet[entry] = true
                      epochs[entry] = epoch
                      sequences[entry] = sequence
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
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

/// Spreads every bit of `value` over all of them. Source: Austin Appleby, MurmurHash3 `fmix64`.
func mixed(_ value: UInt64) -> UInt64 {
  var hash = value
  hash = (hash ^ (hash &>> 33)) &* 0xff51_afd7_ed55_8ccd
  hash = (hash ^ (hash &>> 33)) &* 0xc4ce_b9fe_1a85_ec53
  return hash ^ (hash &>> 33)
}
