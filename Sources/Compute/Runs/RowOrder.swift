import Views

/// Sorts rows by slot, then by their keys' bytes: the order in which a run has them.
///
/// Rows are sorted by key first, then by slot, which leaves rows of one slot in the order of their keys. A group of keys is
/// sorted by eight bytes behind those that all of them share, and there by the bits in which they differ, the first 32 of them;
/// what is equal is a group of its own. So the usual keys, numbers behind a common name, take one group and two or three
/// passes.
enum RowOrder {
  /// Groups of fewer rows are sorted by comparing keys.
  fileprivate static let groupMin = 24

  /// - Parameters:
  ///   - rows: Row numbers, each once.
  ///   - slots: Each row's slot, by row number.
  ///   - keyNumbers: Each row's key, by row number.
  ///   - keys: The keys by their numbers.
  static func sort(_ rows: inout [Int32], slots: [Int64], keyNumbers: [Int32], _ keys: KeyTable) {
    guard rows.count > 1 else { return }
    var sorter = RowSorter(count: rows.count)
    keys.bytes.withUnsafeBytes { bytes in
      keys.ends.withUnsafeBufferPointer { ends in
        keyNumbers.withUnsafeBufferPointer { numbers in
          sorter.sortByKey(rows, SortedKeys(bytes: bytes, ends: ends, numbers: numbers))
        }
      }
    }
    slots.withUnsafeBufferPointer { sorter.sortBySlot($0) }
    for index in rows.indices { rows[index] = sorter.row(index) }
  }
}

/// The keys of numbered rows.
private struct SortedKeys {
  let bytes: UnsafeRawBufferPointer
  let ends: UnsafeBufferPointer<Int>
  let numbers: UnsafeBufferPointer<Int32>

  @inline(__always) func number(_ row: Int32) -> Int { Int(numbers[Int(row)]) }

  @inline(__always) func range(_ row: Int32) -> Range<Int> {
    let number = number(row)
    return Range(uncheckedBounds: (number == 0 ? 0 : ends[number &- 1], ends[number]))
  }

  func key(_ row: Int32) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range(row)]) }

  func precedes(_ a: Int32, _ b: Int32) -> Bool { number(a) != number(b) && PartialRows.keyOrder(key(a), key(b)) < 0 }

  /// Eight bytes of a key from a place on, as a number that compares as they do; zeros behind the key's end.
  @inline(__always) func prefix(_ row: Int32, from place: Int) -> UInt64 {
    let range = range(row)
    let start = range.lowerBound &+ place
    let count = range.upperBound &- start
    guard count > 0 else { return 0 }
    if start &+ 8 <= bytes.count {
      let word = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self))
      return count >= 8 ? word : word & ~(UInt64.max &>> UInt64(truncatingIfNeeded: 8 &* count))
    }
    var word: UInt64 = 0
    for index in 0..<min(count, 8) { word |= UInt64(bytes[start + index]) << UInt64(56 - 8 * index) }
    return word
  }
}

private struct RowSorter: ~Copyable {
  private let count: Int
  /// A row's number in the low half, in the high half what it is sorted by.
  private let entries: UnsafeMutablePointer<UInt64>
  private let spare: UnsafeMutablePointer<UInt64>
  /// Rows whose keys agree before a place, still to be sorted by what lies behind it.
  private var groups: [(rows: Range<Int>, place: Int)] = []

  init(count: Int) {
    self.count = count
    entries = .allocate(capacity: count)
    spare = .allocate(capacity: count)
  }

  deinit {
    entries.deallocate()
    spare.deallocate()
  }

  @inline(__always) func row(_ index: Int) -> Int32 { RowSorter.row(of: entries[index]) }

  @inline(__always) private static func row(of entry: UInt64) -> Int32 { Int32(truncatingIfNeeded: entry) }

  @inline(__always) private func set(_ code: UInt64, at index: Int) {
    entries[index] = entries[index] & 0xFFFF_FFFF | code &<< 32
  }

  private func part(_ group: Range<Int>) -> UnsafeMutableBufferPointer<UInt64> {
    UnsafeMutableBufferPointer(start: entries + group.lowerBound, count: group.count)
  }

  // MARK: Keys

  mutating func sortByKey(_ rows: [Int32], _ keys: SortedKeys) {
    for index in 0..<count { (entries + index).initialize(to: UInt64(UInt32(bitPattern: rows[index]))) }
    spare.initialize(repeating: 0, count: count)
    groups = [(0..<count, 0)]
    while let (group, place) = groups.popLast() {
      if group.count < RowOrder.groupMin {
        var part = part(group)
        part.sort { keys.precedes(RowSorter.row(of: $0), RowSorter.row(of: $1)) }
      } else {
        sort(group, keys, from: place)
      }
    }
  }

  private mutating func sort(_ group: Range<Int>, _ keys: SortedKeys, from place: Int) {
    let place = sharedBytes(group, keys, from: place)
    let first = keys.prefix(row(group.lowerBound), from: place)
    var differing: UInt64 = 0
    for index in group {
      let word = keys.prefix(row(index), from: place)
      spare[index] = word
      differing |= word ^ first
    }
    let bits = DifferingBits(differing)
    for index in group { set(bits.code(spare[index]), at: index) }
    sortByCode(group, bits: bits.count)
    var start = group.lowerBound
    while start < group.upperBound {
      let code = entries[start] &>> 32
      var end = start &+ 1
      while end < group.upperBound, entries[end] &>> 32 == code { end &+= 1 }
      if end &- start > 1 { split(start..<end, keys, at: place + bits.byteCount) }
      start = end
    }
  }

  /// Notes rows that agree before a place, unless they all have one key.
  private mutating func split(_ group: Range<Int>, _ keys: SortedKeys, at place: Int) {
    let number = keys.number(row(group.lowerBound))
    guard group.contains(where: { keys.number(row($0)) != number }) else { return }
    // Keys that end before the place agree with others there because these have zeros: they come first.
    var end = group.lowerBound
    for index in group where keys.range(row(index)).count <= place {
      (entries[index], entries[end]) = (entries[end], entries[index])
      end += 1
    }
    var ended = part(group.lowerBound..<end)
    ended.sort { keys.range(RowSorter.row(of: $0)).count < keys.range(RowSorter.row(of: $1)).count }
    if group.upperBound - end > 1 { groups.append((end..<group.upperBound, place)) }
  }

  /// The number of bytes with which all keys of a group begin.
  /// - Parameter place: They agree before it.
  private func sharedBytes(_ group: Range<Int>, _ keys: SortedKeys, from place: Int) -> Int {
    let first = UnsafeRawBufferPointer(rebasing: keys.key(row(group.lowerBound))[place...])
    var shared = first.count
    for index in group where shared > 0 {
      shared = min(shared, commonPrefix(first, UnsafeRawBufferPointer(rebasing: keys.key(row(index))[place...])))
    }
    return place + shared
  }

  // MARK: Slots

  mutating func sortBySlot(_ slots: UnsafeBufferPointer<Int64>) {
    var smallest = Int64.max
    for index in 0..<count { smallest = min(smallest, slots[Int(row(index))]) }
    var distances: UInt64 = 0
    for index in 0..<count { distances |= UInt64(bitPattern: slots[Int(row(index))] &- smallest) }
    // The low half, then the high half: a sort leaves what is equal in its order.
    var shift = UInt64(truncatingIfNeeded: distances.trailingZeroBitCount)
    while shift < 64, distances >> shift != 0 {
      for index in 0..<count { set(UInt64(bitPattern: slots[Int(row(index))] &- smallest) &>> shift, at: index) }
      sortByCode(0..<count, bits: min(32, 64 - (distances >> shift).leadingZeroBitCount))
      shift += 32
    }
  }

  // MARK: Codes

  /// Sorts by the entries' high halves; equal ones stay in their order.
  /// - Parameter bits: The bits that may differ, the lowest of them.
  private func sortByCode(_ group: Range<Int>, bits: Int) {
    let count = group.count
    var source = entries + group.lowerBound, target = spare + group.lowerBound
    guard (1..<count).contains(where: { source[$0 - 1] &>> 32 > source[$0] &>> 32 }) else { return }
    let width = count < 2048 ? 8 : 11
    let mask: UInt64 = 1 << UInt64(width) - 1
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: 1 << width) { places in
      for shift in stride(from: UInt64(32), to: UInt64(32 + bits), by: width) {
        places.initialize(repeating: 0)
        for index in 0..<count { places[Int(truncatingIfNeeded: source[index] &>> shift & mask)] &+= 1 }
        var place: Int32 = 0
        for value in places.indices { (places[value], place) = (place, place &+ places[value]) }
        for index in 0..<count {
          let entry = source[index]
          let value = Int(truncatingIfNeeded: entry &>> shift & mask)
          target[Int(places[value])] = entry
          places[value] &+= 1
        }
        swap(&source, &target)
      }
    }
    if source != entries + group.lowerBound { (entries + group.lowerBound).update(from: source, count: count) }
  }
}

/// The bits in which words differ, of each byte those between the first and the last, up to 32 of them from the top.
private struct DifferingBits {
  private var fields: [(shift: UInt64, mask: UInt64, width: UInt64)] = []
  private(set) var count = 0
  /// The words' bytes, from the top, that they take in.
  private(set) var byteCount = 0

  init(_ differing: UInt64) {
    for byte in (0..<8).reversed() {
      let bits = UInt8(truncatingIfNeeded: differing >> UInt64(8 * byte))
      if bits != 0 {
        let low = bits.trailingZeroBitCount
        let width = 8 - bits.leadingZeroBitCount - low
        guard count + width <= 32 else { return }
        fields.append((UInt64(8 * byte + low), 1 << UInt64(width) - 1, UInt64(width)))
        count += width
      }
      byteCount += 1
    }
  }

  /// The bits one after the other, in the order of the word.
  @inline(__always) func code(_ word: UInt64) -> UInt64 {
    var code: UInt64 = 0
    for field in fields { code = code &<< field.width | word &>> field.shift & field.mask }
    return code
  }
}
