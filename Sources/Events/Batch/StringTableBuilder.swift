/// Distinct strings of a batch under construction, numbered in order of arrival.
struct StringTableBuilder: ~Copyable {
  private(set) var bytes = GrowableBuffer<UInt8>(capacity: 4096)
  private(set) var starts = GrowableBuffer<UInt32>(capacity: 256)
  private var hashes = GrowableBuffer<UInt32>(capacity: 256)
  /// The code plus one; 0 for none.
  private var slots = GrowableBuffer<UInt32>(capacity: 512)
  /// Keeps a sender from choosing strings that share a slot of the hash table.
  private let seed = UInt64.random(in: .min ... .max)

  init() { slots.setCount(512) }

  var count: Int { starts.count }

  @inline(__always) func length(_ code: Int) -> Int {
    (code + 1 < starts.count ? Int(starts[code + 1]) : bytes.count) - Int(starts[code])
  }

  /// Whether the string with this code is the one given.
  @inline(__always) func matches(_ code: Int, _ string: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    length(code) == count && equalPadded(bytes.base + Int(starts[code]), string, count)
  }

  @inline(__always) mutating func code(of string: UnsafePointer<UInt8>, _ count: Int) -> UInt32 {
    let hash = UInt32(truncatingIfNeeded: tableHash(string, count, seed: seed))
    let mask = slots.count &- 1
    var slot = Int(hash) & mask
    while case let entry = slots[slot], entry != 0 {
      let code = Int(entry) &- 1
      if hashes[code] == hash, matches(code, string, count) { return UInt32(truncatingIfNeeded: code) }
      slot = (slot &+ 1) & mask
    }
    return insert(string, count, hash, slot)
  }

  private mutating func insert(_ string: UnsafePointer<UInt8>, _ count: Int, _ hash: UInt32, _ slot: Int) -> UInt32 {
    let code = UInt32(starts.count)
    starts.append(UInt32(bytes.count))
    hashes.append(hash)
    bytes.append(string, count: count)
    slots[slot] = code + 1
    if starts.count * 2 > slots.count { rehash(to: slots.count * 2) }
    return code
  }

  private mutating func rehash(to size: Int) {
    var larger = GrowableBuffer<UInt32>(capacity: size)
    larger.setCount(size)
    for code in 0..<starts.count {
      var slot = Int(hashes[code]) & (size - 1)
      while larger[slot] != 0 { slot = (slot + 1) & (size - 1) }
      larger[slot] = UInt32(code) + 1
    }
    swap(&slots, &larger)
  }

  mutating func removeAll() {
    bytes.removeAll(keepingAtMost: 1 << 20)
    starts.removeAll(keepingAtMost: 1 << 16)
    hashes.removeAll(keepingAtMost: 1 << 16)
    if slots.count > 1 << 17 {
      slots = GrowableBuffer<UInt32>(capacity: 512)
      slots.setCount(512)
    } else {
      slots.base.update(repeating: 0, count: slots.count)
    }
  }
}
