/// Distinct strings of a batch under construction, numbered in order of arrival.
struct StringTableBuilder: ~Copyable {
  private(set) var bytes = GrowableBuffer<UInt8>(capacity: 4096)
  /// The start of each string's bytes, and after them their end.
  private var starts = GrowableBuffer<UInt32>(capacity: 256)
  /// The hash's upper half, and in the lower one the code plus one; 0 for none.
  private var slots = GrowableBuffer<UInt64>(capacity: 512)
  private let seed = TableSeed.shared

  init() {
    slots.setCount(512)
    starts.append(0)
  }

  var count: Int { starts.count - 1 }

  @inline(__always) func length(_ code: Int) -> Int { Int(starts[code &+ 1]) &- Int(starts[code]) }

  /// Whether the string with this code is the one given.
  @inline(__always) func matches(_ code: Int, _ string: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    length(code) == count && equalPadded(bytes.base + Int(starts[code]), string, count)
  }

  @inline(__always) mutating func code(of string: UnsafePointer<UInt8>, _ count: Int) -> UInt32 {
    code(of: string, count, hash: tableHash(string, count, seed: seed))
  }

  /// - Parameter hash: The string's `tableHash` with `TableSeed.shared`.
  @inline(__always) mutating func code(of string: UnsafePointer<UInt8>, _ count: Int, hash: UInt64) -> UInt32 {
    let mask = slots.count &- 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while case let entry = slots[slot], entry != 0 {
      let code = UInt32(truncatingIfNeeded: entry) &- 1
      if (entry ^ hash) &>> 32 == 0, matches(Int(code), string, count) { return code }
      slot = (slot &+ 1) & mask
    }
    return insert(string, count, hash, slot)
  }

  @inline(never) private mutating func insert(
    _ string: UnsafePointer<UInt8>, _ count: Int, _ hash: UInt64, _ slot: Int
  ) -> UInt32 {
    let code = UInt32(self.count)
    bytes.append(string, count: count)
    starts.append(UInt32(bytes.count))
    slots[slot] = hash & ~0xFFFF_FFFF | UInt64(code + 1)
    if self.count * 2 > slots.count { rehash(to: slots.count * 2) }
    return code
  }

  private mutating func rehash(to size: Int) {
    var larger = GrowableBuffer<UInt64>(capacity: size)
    larger.setCount(size)
    for code in 0..<count {
      let hash = tableHash(bytes.base + Int(starts[code]), length(code), seed: seed)
      var slot = Int(truncatingIfNeeded: hash) & (size - 1)
      while larger[slot] != 0 { slot = (slot + 1) & (size - 1) }
      larger[slot] = hash & ~0xFFFF_FFFF | UInt64(code + 1)
    }
    swap(&slots, &larger)
  }

  mutating func removeAll() {
    bytes.removeAll(keepingAtMost: 1 << 20)
    starts.removeAll(keepingAtMost: 1 << 16)
    starts.append(0)
    if slots.count > 1 << 17 {
      slots = GrowableBuffer(capacity: 512)
      slots.setCount(512)
    } else {
      slots.base.update(repeating: 0, count: slots.count)
    }
  }
}
