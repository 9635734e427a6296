import Glibc

/// A growing array of plain values without copy-on-write or bounds checks beyond the append's own: for builders that belong to
/// one event loop.
///
/// `padding` elements past `count` can always be read, whatever they hold, so that a scan may load eight bytes at the last one.
struct GrowableBuffer<Element: BitwiseCopyable>: ~Copyable {
  static var padding: Int { 16 }

  private(set) var base: UnsafeMutablePointer<Element>
  private(set) var count = 0
  private(set) var capacity: Int

  /// The memory begins as zeros.
  init(capacity: Int = 64) {
    self.capacity = capacity
    base = Self.typed(calloc(capacity + Self.padding, MemoryLayout<Element>.stride))
  }

  deinit { free(base) }

  private static func typed(_ memory: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<Element> {
    guard let memory else { preconditionFailure("no memory is left") }
    return memory.assumingMemoryBound(to: Element.self)
  }

  @inline(__always) subscript(_ index: Int) -> Element {
    get { base[index] }
    nonmutating set { base[index] = newValue }
  }

  @inline(__always) mutating func append(_ element: Element) {
    if count == capacity { grow(to: count + 1) }
    base[count] = element
    count &+= 1
  }

  /// Whether another element fits without more memory.
  @inline(__always) var hasRoom: Bool { count < capacity }

  /// Appends an element where `hasRoom`.
  @inline(__always) mutating func appendWithin(_ element: Element) {
    base[count] = element
    count &+= 1
  }

  @inline(__always) mutating func append(_ source: UnsafePointer<Element>, count added: Int) {
    if count &+ added > capacity { grow(to: count + added) }
    (base + count).update(from: source, count: added)
    count &+= added
  }

  /// Appends bytes of which sixteen, or up to the next multiple of eight, can be read. Short texts cost no call.
  @inline(__always) mutating func appendPadded(_ source: UnsafePointer<UInt8>, count added: Int) where Element == UInt8 {
    if count &+ added > capacity { grow(to: count + added) }
    if added <= 16 {
      // The padding has room for what is beyond.
      UnsafeMutableRawPointer(base + count).storeBytes(
        of: UnsafeRawPointer(source).loadUnaligned(as: SIMD16<UInt8>.self), as: SIMD16<UInt8>.self)
    } else {
      (base + count).update(from: source, count: added)
    }
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

  /// Makes room for `wanted` elements at least, and fills it with zeros.
  mutating func fillWithZeros(to wanted: Int) {
    reserve(wanted)
    let unused = (capacity + Self.padding - count) * MemoryLayout<Element>.stride
    UnsafeMutableRawPointer(base + count).initializeMemory(as: UInt8.self, repeating: 0, count: unused)
    count = capacity
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

  /// By large steps: room that is not used yet takes no pages.
  @inline(never) private mutating func grow(to wanted: Int) {
    let small = (1 << 17) / MemoryLayout<Element>.stride - 2 * Self.padding
    let larger = capacity * (capacity < 1 << 14 ? 4 : 2)
    resize(to: max(wanted, capacity < small && larger > small ? small : larger))
  }

  private mutating func resize(to newCapacity: Int) {
    // The system moves large blocks by their page tables, and gives new pages only where something is written.
    base = Self.typed(realloc(base, (newCapacity + Self.padding) * MemoryLayout<Element>.stride))
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
  guard count > 0 else { return hash ^ hash &>> 32 }
  var at = 0
  while at &+ 8 < count {
    hash = folded(hash, UInt64(littleEndian: UnsafeRawPointer(bytes + at).loadUnaligned(as: UInt64.self)))
    at &+= 8
  }
  // One to eight bytes are left.
  let word = UInt64(littleEndian: UnsafeRawPointer(bytes + at).loadUnaligned(as: UInt64.self))
  hash = folded(hash, word &<< (UInt64(truncatingIfNeeded: at &- count) &* 8))
  return hash ^ hash &>> 32
}

/// The seed of the tables whose hashes are handed from one to the other.
enum TableSeed {
  /// Drawn at random: it keeps a sender from choosing texts that share a slot of a hash table.
  static let shared = UInt64.random(in: .min ... .max)
}
