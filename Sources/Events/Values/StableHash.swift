/// FNV-1a, 64 bits, then murmur3's finaliser: the hash that assigns a source to a partition. Part of the log's format.
/// Source: Fowler, Noll, Vo; Austin Appleby, MurmurHash3 `fmix64`.
/// - Parameters:
///   - bytes: The text, of any length.
///   - seed: A different start gives a different hash, independent enough that two together identify a text.
@inlinable public func stableHash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0xcbf2_9ce4_8422_2325) -> UInt64 {
  var hash = seed
  for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
  return mixed(hash)
}

/// Spreads every bit of `value` over all of them: murmur3's finaliser.
@inlinable public func mixed(_ value: UInt64) -> UInt64 {
  var hash = (value ^ (value &>> 33)) &* 0xff51_afd7_ed55_8ccd
  hash = (hash ^ (hash &>> 33)) &* 0xc4ce_b9fe_1a85_ec53
  return hash ^ (hash &>> 33)
}
