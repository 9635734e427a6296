/// The keys of a block under construction. Each key is kept from the bytes on that it shares with the one before it, up to those
/// with which all end, such as the two zeros of a last string.
struct RunKeyBuilder: Sendable {
  private var count = 0
  /// The rest of each key behind the bytes that it shares with the one before it.
  private var suffixes: [UInt8] = []
  /// The last bytes of the first key, as far as all suffixes end with them.
  private(set) var ending: [UInt8] = []
  /// The bytes of all keys as they came.
  private(set) var keyBytes = 0
  /// The last key; its first `lastCount` bytes count.
  private var last: [UInt8] = []
  private var lastCount = 0

  var lastKey: [UInt8] { Array(last[..<lastCount]) }

  /// The bytes that a key has in common with the last one, and whether it comes after it.
  @inline(__always) func compare(_ key: UnsafeRawBufferPointer) -> (shared: Int, isAfter: Bool) {
    last.withUnsafeBytes { last in
      let last = UnsafeRawBufferPointer(rebasing: last[..<lastCount])
      let shared = commonPrefix(last, key)
      return (shared, shared < key.count && (shared == last.count || key[shared] > last[shared]))
    }
  }

  /// - Parameter shared: The bytes that the key has in common with the last one; 0 for the first.
  @inline(__always) mutating func append(_ key: UnsafeRawBufferPointer, from shared: Int) {
    let suffix = UnsafeRawBufferPointer(rebasing: key[shared...])
    suffixes.append(contentsOf: suffix)
    keyBytes += key.count
    if count == 0 { ending = Array(suffix.suffix(RunBlock.endingBytesMax)) } else { shorten(suffix) }
    if last.count < key.count { last.append(contentsOf: repeatElement(0, count: 2 * key.count - last.count)) }
    last.withUnsafeMutableBytes { UnsafeMutableRawBufferPointer(rebasing: $0[shared...]).copyMemory(from: suffix) }
    lastCount = key.count
    count += 1
  }

  /// Leaves as much of the ending as the suffix ends with.
  @inline(__always) private mutating func shorten(_ suffix: UnsafeRawBufferPointer) {
    let limit = min(ending.count, suffix.count)
    var common = 0
    while common < limit, suffix[suffix.count &- 1 &- common] == ending[ending.count &- 1 &- common] { common &+= 1 }
    if common < ending.count { ending.removeFirst(ending.count - common) }
  }

  mutating func removeAll() {
    suffixes.removeAll(keepingCapacity: true)
    ending.removeAll(keepingCapacity: true)
    (count, keyBytes, lastCount) = (0, 0, 0)
  }

  // MARK: Bytes

  /// The bytes that `write` writes.
  var byteCount: Int { suffixes.count &- (count &- 1) &* ending.count }

  /// Writes the ending, then the keys' parts.
  /// - Parameters:
  ///   - lengths: The bytes of each key.
  ///   - shared: The bytes that each has in common with the one before it.
  ///   - target: Where to: `byteCount` bytes.
  func write(lengths: UnsafePointer<UInt64>, shared: UnsafePointer<UInt64>, to target: UnsafeMutableRawPointer) {
    ending.withUnsafeBytes { UnsafeMutableRawBufferPointer(start: target, count: $0.count).copyMemory(from: $0) }
    var place = target + ending.count
    suffixes.withUnsafeBytes { suffixes in
      var at = 0
      for row in 0..<count {
        let suffix = Int(truncatingIfNeeded: lengths[row] &- shared[row])
        let part = UnsafeRawBufferPointer(rebasing: suffixes[at..<(at &+ suffix &- ending.count)])
        UnsafeMutableRawBufferPointer(start: place, count: part.count).copyMemory(from: part)
        place += part.count
        at &+= suffix
      }
    }
  }
}

/// The number of bytes with which both begin.
@inline(__always) func commonPrefix(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
  let count = min(a.count, b.count)
  var at = 0
  while at &+ 8 <= count {
    let difference =
      UInt64(littleEndian: a.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      ^ UInt64(littleEndian: b.loadUnaligned(fromByteOffset: at, as: UInt64.self))
    if difference != 0 { return at &+ difference.trailingZeroBitCount / 8 }
    at &+= 8
  }
  while at < count, a[at] == b[at] { at &+= 1 }
  return at
}
