/// A growing array of plain values without copy-on-write or bounds checks beyond the append's own: for builders that belong to
/// one event loop.
///
/// `padding` elements past `count` are always readable, so that a scan may load eight bytes at the last one.
struct GrowableBuffer<Element: BitwiseCopyable>: ~Copyable {
  static var padding: Int { 16 }

  private(set) var base: UnsafeMutablePointer<Element>
  private(set) var count = 0
  private(set) var capacity: Int

  init(capacity: Int = 64) {
    self.capacity = capacity
    base = .allocate(capacity: capacity + Self.padding)
    UnsafeMutableRawPointer(base).initializeMemory(
      as: UInt8.self, repeating: 0, count: (capacity + Self.padding) * MemoryLayout<Element>.stride)
  }

  deinit { base.deallocate() }

  @inline(__always) subscript(_ index: Int) -> Element {
    get { base[index] }
    nonmutating set { base[index] = newValue }
  }

  @inline(__always) mutating func append(_ element: Element) {
    if count == capacity { grow(to: count + 1) }
    base[count] = element
    count &+= 1
  }

  @inline(__always) mutating func append(_ source: UnsafePointer<Element>, count added: Int) {
    if count &+ added > capacity { grow(to: count + added) }
    (base + count).update(from: source, count: added)
    count &+= added
  }

  /// Appends the value's little-endian bytes. For buffers of bytes.
  @inline(__always) mutating func appendBytes<T: FixedWidthInteger>(of value: T) where Element == UInt8 {
    if count &+ MemoryLayout<T>.size > capacity { grow(to: count + MemoryLayout<T>.size) }
    UnsafeMutableRawPointer(base + count).storeBytes(of: value.littleEndian, as: T.self)
    count &+= MemoryLayout<T>.size
  }

  /// Makes room for `wanted` elements in all.
  mutating func reserve(_ wanted: Int) {
    if wanted > capacity { grow(to: wanted) }
  }

  /// Removes the elements; keeps the storage unless it is above `capacityMax` elements.
  mutating func removeAll(keepingAtMost capacityMax: Int = .max) {
    count = 0
    if capacity > capacityMax { resize(to: capacityMax) }
  }

  /// Sets the count after elements below it were written through `base`.
  mutating func setCount(_ newCount: Int) {
    precondition(newCount <= capacity)
    count = newCount
  }

  @inline(never) private mutating func grow(to wanted: Int) { resize(to: max(wanted, capacity * 2)) }

  private mutating func resize(to newCapacity: Int) {
    let larger = UnsafeMutablePointer<Element>.allocate(capacity: newCapacity + Self.padding)
    UnsafeMutableRawPointer(larger + count).initializeMemory(
      as: UInt8.self, repeating: 0, count: (newCapacity + Self.padding - count) * MemoryLayout<Element>.stride)
    larger.update(from: base, count: count)
    base.deallocate()
    base = larger
    capacity = newCapacity
  }
}

/// Whether `count` bytes are equal, eight at a time.
/// - Parameters: both may be read to the next multiple of eight bytes.
@inline(__always) func equalPadded(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  var at = 0
  while at &+ 8 <= count {
    guard
      UnsafeRawPointer(a + at).loadUnaligned(as: UInt64.self) == UnsafeRawPointer(b + at).loadUnaligned(as: UInt64.self)
    else { return false }
    at &+= 8
  }
  guard at < count else { return true }
  let difference =
    UnsafeRawPointer(a + at).loadUnaligned(as: UInt64.self) ^ UnsafeRawPointer(b + at).loadUnaligned(as: UInt64.self)
  return difference &<< UInt64(truncatingIfNeeded: (8 &- (count &- at)) &* 8) == 0
}

/// A fast hash for tables in memory, never stored: multiply and fold, eight bytes a step.
/// - Parameter bytes: They may be read to the next multiple of eight bytes.
@inline(__always) func tableHash(_ bytes: UnsafePointer<UInt8>, _ count: Int, seed: UInt64) -> UInt64 {
  var hash = seed ^ UInt64(truncatingIfNeeded: count) &* 0x9E37_79B9_7F4A_7C15
  var at = 0
  while at < count {
    var word = UInt64(littleEndian: UnsafeRawPointer(bytes + at).loadUnaligned(as: UInt64.self))
    let left = count &- at
    if left < 8 { word &<<= UInt64(truncatingIfNeeded: (8 &- left) &* 8) }
    let product = (hash ^ word).multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
    hash = product.high ^ product.low
    at &+= 8
  }
  return hash ^ (hash &>> 32)
}
