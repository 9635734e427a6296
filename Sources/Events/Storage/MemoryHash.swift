/// A fast hash for tables in memory, never stored: multiply and fold, eight bytes a step.
/// - Parameters:
///   - bytes: The text, of any length.
///   - seed: A secret of the table, so that a sender cannot choose texts that share a slot.
@inlinable public func memoryHash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
  let count = bytes.count
  var hash = seed ^ UInt64(truncatingIfNeeded: count) &* 0x9E37_79B9_7F4A_7C15
  guard let base = bytes.baseAddress, count > 0 else { return mixed(hash) }
  if count >= 8 {
    var at = 0
    while at &+ 8 < count {
      hash = folded(hash, base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      at &+= 8
    }
    // The last eight bytes, some of them for the second time.
    hash = folded(hash, base.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self))
  } else if count >= 4 {
    let low = base.loadUnaligned(as: UInt32.self), high = base.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)
    hash = folded(hash, UInt64(low) | UInt64(high) &<< 32)
  } else {
    let word = UInt64(bytes[0]) | UInt64(bytes[count / 2]) &<< 8 | UInt64(bytes[count &- 1]) &<< 16
    hash = folded(hash, word)
  }
  hash = (hash ^ hash &>> 32) &* 0x9E37_79B9_7F4A_7C15
  return hash ^ hash &>> 29
}

@inlinable @inline(__always) func folded(_ hash: UInt64, _ word: UInt64) -> UInt64 {
  let product = (hash ^ word).multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
  return product.high ^ product.low
}
