/// Bytes of a message that comes in pieces. Grows by doubling as bytes arrive, never by what a header promises.
///
/// Its memory comes from a `WebSocketScratch` and goes back there; one that is dropped frees it.
struct MessageBuffer: ~Copyable {
  /// Nil until memory is borrowed.
  private var storage: Storage?
  private(set) var count = 0

  init() {}

  deinit { storage?.base.deallocate() }

  /// Memory without an owner: whoever holds it frees it.
  struct Storage {
    let base: UnsafeMutableRawPointer
    /// The usable bytes; the padding, for which there always is room, is not counted.
    let capacity: Int

    init(capacity: Int) {
      base = .allocate(byteCount: capacity + WebSocketScratch.paddingBytes, alignment: 64)
      self.capacity = capacity
    }
  }

  var hasStorage: Bool { storage != nil }

  mutating func adopt(_ storage: Storage) {
    precondition(self.storage == nil, "a message buffer has storage already")
    self.storage = storage
    count = 0
  }

  mutating func release() -> Storage? {
    count = 0
    return storage.take()
  }

  private var base: UnsafeMutableRawPointer {
    guard let storage else { preconditionFailure("a message buffer without storage") }
    return storage.base
  }

  var capacity: Int { storage?.capacity ?? 0 }

  var freeBytes: Int { capacity - count }
  var end: UnsafeMutableRawPointer { base + count }
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// Makes room for `more` bytes beyond `count`; for more than `bytesMax` in all only if those `more` need it.
  mutating func reserve(_ more: Int, bytesMax: Int) {
    guard freeBytes < more else { return }
    let newCapacity = max(count + more, min(2 * capacity, bytesMax))
    let grown = Storage(capacity: newCapacity)
    grown.base.copyMemory(from: base, byteCount: count)
    base.deallocate()
    storage = grown
  }

  /// Notes that bytes were written at `end`.
  mutating func grew(by bytes: Int) {
    count += bytes
    assert(count <= capacity)
  }

  mutating func shrink(by bytes: Int) {
    count -= bytes
    assert(count >= 0)
  }

  /// All bytes, followed by zero bytes.
  func padded() -> UnsafeRawBufferPointer {
    zeroPadding(at: base + count)
    return bytes
  }
}

@inline(__always)
func zeroPadding(at end: UnsafeMutableRawPointer) {
  end.storeBytes(of: SIMD8<UInt64>(repeating: 0), as: SIMD8<UInt64>.self)
}
