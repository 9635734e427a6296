/// Memory for the parts of rows' states without a fixed size: sketches, strings, sums of uncommon numbers. One arena for a table
/// of rows.
///
/// A block is four words of header and 2^k words, 0 ≤ k ≤ 13. A row holds a block's handle, never an address: `position << 8 |
/// k`, 0 for none. Freed blocks are kept for the next of their size; the whole arena goes when the table is compacted.
public struct StateArena: ~Copyable {
  static let headerWords = 4
  static let classMax = 13

  private var base: UnsafeMutablePointer<UInt64>
  /// Position 0 belongs to no block, so no handle is 0.
  private var used = 1
  private var capacity: Int
  /// For each size, the position of the first free block, whose first word is the position of the next; 0 for none.
  private var free = [Int](repeating: 0, count: StateArena.classMax + 1)

  init() {
    capacity = 1
    base = .allocate(capacity: 1)
  }

  deinit { base.deallocate() }

  /// Bytes taken from the system.
  var byteCount: Int { capacity * 8 }

  @inline(__always) static func sizeClass(of handle: UInt64) -> Int { Int(truncatingIfNeeded: handle & 0xFF) }

  /// The smallest size class with room for `words` beside the header.
  static func sizeClass(forWords words: Int) -> Int {
    words <= 1 ? 0 : Int.bitWidth - (words - 1).leadingZeroBitCount
  }

  /// The block's header; its words follow. Valid until the next `allocate`.
  @inline(__always) func block(_ handle: UInt64) -> UnsafeMutablePointer<UInt64> {
    base + Int(truncatingIfNeeded: handle &>> 8)
  }

  /// A block of zeros.
  @inline(never) mutating func allocate(_ sizeClass: Int) -> UInt64 {
    precondition(sizeClass <= StateArena.classMax, "a block has its bound")
    let words = StateArena.headerWords + 1 << sizeClass
    var position = free[sizeClass]
    if position > 0 {
      free[sizeClass] = Int(truncatingIfNeeded: base[position])
    } else {
      if used + words > capacity { grow(to: used + words) }
      position = used
      used += words
    }
    (base + position).update(repeating: 0, count: words)
    return UInt64(position) << 8 | UInt64(sizeClass)
  }

  mutating func release(_ handle: UInt64) {
    let sizeClass = StateArena.sizeClass(of: handle)
    let position = Int(truncatingIfNeeded: handle >> 8)
    base[position] = UInt64(free[sizeClass])
    free[sizeClass] = position
  }

  private mutating func grow(to wanted: Int) {
    var larger = Swift.max(1 << 10, capacity * 2)
    while larger < wanted { larger *= 2 }
    let fresh = UnsafeMutablePointer<UInt64>.allocate(capacity: larger)
    fresh.update(from: base, count: used)
    base.deallocate()
    base = fresh
    capacity = larger
  }
}
