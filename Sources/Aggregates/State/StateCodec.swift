import Events

/// A canonical state's words as bytes, in SQLite and on the wire: little-endian, one after the other.
public enum StateCodec {
  public static func encode(_ state: UnsafeBufferPointer<UInt64>, to bytes: inout [UInt8]) {
    bytes.reserveCapacity(bytes.count + state.count * 8)
    for word in state { withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) } }
  }

  /// Appends a stored state's words.
  /// - Returns: False, with nothing appended, when the bytes are no canonical state of the layout: damaged, or stored by another
  ///   definition. Nothing is allocated beyond the bytes' own size.
  public static func decode(_ bytes: UnsafeRawBufferPointer, _ layout: StateLayout, appendingTo words: inout [UInt64]) -> Bool {
    guard bytes.count % 8 == 0, bytes.count >= layout.stride * 8, bytes.count / 8 <= layout.canonicalWordsMax else {
      return false
    }
    let start = words.count
    for position in stride(from: 0, to: bytes.count, by: 8) {
      words.append(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)))
    }
    let isCanonical = words.withUnsafeBufferPointer { layout.isCanonical(UnsafeBufferPointer(rebasing: $0[start...])) }
    if !isCanonical { words.removeSubrange(start...) }
    return isCanonical
  }
}

/// A hash of many rows' states that does not depend on the order of the rows: equal hashes prove that a replay gives
/// the same state. It is the sum of a hash of each row.
public struct StateHash: Sendable, Hashable, CustomStringConvertible {
  public private(set) var value: UInt64 = 0
  public private(set) var rows = 0

  public init() {}

  /// A hash that was computed elsewhere.
  public init(value: UInt64, rows: Int) {
    self.value = value
    self.rows = rows
  }

  /// Takes in one row.
  /// - Parameters:
  ///   - partition: The row's partition.
  ///   - windowStart: Nanoseconds since 1970.
  ///   - windowEnd: Nanoseconds since 1970; after the start.
  ///   - key: The key in `KeyCodec`'s form.
  ///   - state: The state in canonical form.
  public mutating func add(
    partition: PartitionID, windowStart: Int64, windowEnd: Int64, key: UnsafeRawBufferPointer,
    state: UnsafeBufferPointer<UInt64>
  ) {
    var hash = stableHash(key, seed: 0xcbf2_9ce4_8422_2325 ^ UInt64(partition.rawValue))
    hash = mix(hash ^ UInt64(bitPattern: windowStart))
    hash = mix(hash ^ UInt64(bitPattern: windowEnd))
    for word in state { hash = mix(hash ^ word) }
    value &+= hash
    rows += 1
  }

  /// Takes in all rows of another hash.
  public mutating func add(_ other: StateHash) {
    value &+= other.value
    rows += other.rows
  }

  public var description: String { hexadecimal(value) }

  /// Source: S. Vigna, splitmix64.
  private func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z &>> 31)
  }
}
