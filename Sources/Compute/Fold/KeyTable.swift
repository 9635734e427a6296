import Events
import Views

/// The keys of one view and partition that are in memory, numbered: open addressing over their encoded bytes.
struct KeyTable: Sendable {
  private(set) var bytes: [UInt8] = []
  /// One past each key's last byte.
  private(set) var ends: [Int] = []
  private var hashes: [UInt32] = []
  /// The key's number plus one, 0 for none; their count is a power of two.
  private var slots = [UInt32](repeating: 0, count: 64)
  /// The key that `number` gave last.
  private var last = 0
  /// Keeps a sender from choosing keys that share a slot. It decides no result.
  private let seed = UInt64.random(in: .min ... .max)

  var count: Int { ends.count }

  var byteCount: Int { bytes.capacity + ends.capacity * 8 + hashes.capacity * 4 + slots.capacity * 4 }

  func range(_ key: Int) -> Range<Int> { (key == 0 ? 0 : ends[key - 1])..<ends[key] }

  func withKey<R>(_ key: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let range = range(key)
    return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  /// All keys, by their numbers.
  struct All {
    fileprivate let bytes: UnsafeRawBufferPointer
    fileprivate let ends: UnsafeBufferPointer<Int>

    @inline(__always) subscript(_ key: Int) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(rebasing: bytes[(key == 0 ? 0 : ends[key &- 1])..<ends[key]])
    }
  }

  func withAll<R>(_ body: (All) throws -> R) rethrows -> R {
    try bytes.withUnsafeBytes { bytes in try ends.withUnsafeBufferPointer { try body(All(bytes: bytes, ends: $0)) } }
  }

  /// The key's number; nil if it is not there.
  func find(_ key: UnsafeRawBufferPointer) -> Int? {
    let entry = slots[slot(of: key, hash(key))]
    return entry == 0 ? nil : Int(entry) - 1
  }

  /// The slot that has the key's number, or where it would be put.
  private func slot(of key: UnsafeRawBufferPointer, _ hash: UInt32) -> Int {
    let mask = slots.count - 1
    var slot = Int(hash) & mask
    while case let entry = slots[slot], entry != 0 {
      let number = Int(entry) - 1
      if hashes[number] == hash, matches(number, key) { break }
      slot = (slot + 1) & mask
    }
    return slot
  }

  /// The key's number; a new one if it is not there.
  ///
  /// Keys tend to come in the order in which they came before: the one behind the last is tried first.
  mutating func number(of key: UnsafeRawBufferPointer) -> Int {
    let next = last + 1 < ends.count ? last + 1 : 0
    if next < ends.count, matches(next, key) {
      last = next
      return next
    }
    let hash = hash(key)
    let slot = slot(of: key, hash)
    if slots[slot] != 0 {
      last = Int(slots[slot]) - 1
      return last
    }
    let number = ends.count
    last = number
    bytes.append(contentsOf: key)
    ends.append(bytes.count)
    hashes.append(hash)
    slots[slot] = UInt32(number) + 1
    if ends.count * 2 > slots.count { rehash() }
    return number
  }

  /// The number of the key behind the last one, if a string is all of it; nil when it is another.
  mutating func next(ifString text: UnsafeRawBufferPointer) -> Int? {
    let next = last + 1 < ends.count ? last + 1 : 0
    guard next < ends.count, case let range = range(next), range.count == text.count + KeyCodec.stringOverhead else { return nil }
    // A string with a byte 00 would have a byte FF in its key, which no UTF-8 has.
    let isText = bytes.withUnsafeBytes {
      $0[range.lowerBound] == KeyCodec.stringMark
        && isSame(UnsafeRawBufferPointer(rebasing: $0[(range.lowerBound + 1)..<(range.lowerBound + 1 + text.count)]), text)
    }
    guard isText else { return nil }
    last = next
    return next
  }

  private func matches(_ number: Int, _ key: UnsafeRawBufferPointer) -> Bool {
    let range = range(number)
    guard range.count == key.count else { return false }
    return bytes.withUnsafeBytes { isSame(UnsafeRawBufferPointer(rebasing: $0[range]), key) }
  }

  /// Names an invariant that does not hold; nil when all do. Costs a look at all keys.
  var fault: String? {
    guard hashes.count == count, (ends.last ?? 0) == bytes.count, zip(ends, ends.dropFirst()).allSatisfy({ $0 <= $1 }) else {
      return "keys lie one after the other"
    }
    guard count * 2 <= slots.count, slots.count(where: { $0 != 0 }) == count else { return "each key has one slot" }
    return (0..<count).allSatisfy { number in withKey(number) { find($0) } == number } ? nil : "each key is found"
  }

  private mutating func rehash() {
    slots = [UInt32](repeating: 0, count: slots.count * 2)
    let mask = slots.count - 1
    for number in 0..<ends.count {
      var slot = Int(hashes[number]) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = UInt32(number) + 1
    }
  }

  private func hash(_ key: UnsafeRawBufferPointer) -> UInt32 { UInt32(truncatingIfNeeded: memoryHash(key, seed: seed) &>> 32) }
}
