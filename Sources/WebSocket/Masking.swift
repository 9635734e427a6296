/// Copies `count` bytes, XORed with the mask key, from `source` to `destination`, which must not overlap.
///
/// - Parameter key: The key's four bytes as they lie in memory, its first byte belonging to the first byte copied.
/// - Returns: All copied words ORed together: no bit of `0x8080_8080_8080_8080` set means that all is ASCII.
///
/// Reads and writes exactly `count` bytes: the rest that fills no block is done by one more, overlapping, block.
@inline(__always)
func copyMasked(
  from source: UnsafeRawPointer, to destination: UnsafeMutableRawPointer, count: Int, key: UInt32
) -> UInt64 {
  if count >= 16 {
    let mask = SIMD4<UInt64>(repeating: UInt64(key) << 32 | UInt64(key))
    var seen = SIMD4<UInt64>(repeating: 0)
    var at = 0
    let blocksEnd = count & ~31
    while at < blocksEnd {
      let block = source.loadUnaligned(fromByteOffset: at, as: SIMD4<UInt64>.self) ^ mask
      destination.storeBytes(of: block, toByteOffset: at, as: SIMD4<UInt64>.self)
      seen |= block
      at += 32
    }
    var half = seen.lowHalf | seen.highHalf
    let halfMask = mask.lowHalf
    if count & 16 != 0 {
      let block = source.loadUnaligned(fromByteOffset: at, as: SIMD2<UInt64>.self) ^ halfMask
      destination.storeBytes(of: block, toByteOffset: at, as: SIMD2<UInt64>.self)
      half |= block
    }
    if count & 15 != 0 {
      // 16 - (count & 15) bytes overlap, so the key is turned by that much.
      let last = count - 16
      let turned = rotated(key, by: last)
      let lastMask = SIMD2<UInt64>(repeating: UInt64(turned) << 32 | UInt64(turned))
      let block = source.loadUnaligned(fromByteOffset: last, as: SIMD2<UInt64>.self) ^ lastMask
      destination.storeBytes(of: block, toByteOffset: last, as: SIMD2<UInt64>.self)
      half |= block
    }
    return half.x | half.y
  }
  if count >= 8 {
    let first = source.loadUnaligned(as: UInt64.self) ^ (UInt64(key) << 32 | UInt64(key))
    let turned = rotated(key, by: count)
    let last = source.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self) ^ (UInt64(turned) << 32 | UInt64(turned))
    destination.storeBytes(of: first, as: UInt64.self)
    destination.storeBytes(of: last, toByteOffset: count - 8, as: UInt64.self)
    return first | last
  }
  var seen: UInt64 = 0
  for at in 0..<count {
    let byte = source.load(fromByteOffset: at, as: UInt8.self) ^ UInt8(truncatingIfNeeded: rotated(key, by: at))
    destination.storeBytes(of: byte, toByteOffset: at, as: UInt8.self)
    seen |= UInt64(byte)
  }
  return seen
}

/// The key as it applies `bytes` further on.
@inline(__always)
func rotated(_ key: UInt32, by bytes: Int) -> UInt32 {
  let shift = UInt32(truncatingIfNeeded: bytes & 3) &* 8
  return key &>> shift | key &<< ((32 &- shift) & 31)
}

/// The top bits of eight bytes: set in any byte that is not ASCII.
let nonASCIIBits: UInt64 = 0x8080_8080_8080_8080

// The arithmetic above takes the first byte in memory for the lowest.
#if _endian(big)
  #error("the mask arithmetic is written for little-endian machines")
#endif
