import Events

extension StateLayout {
  /// Appends a state as it is stored: its words, little-endian, `byteCount` bytes.
  public func encode(_ state: UnsafePointer<UInt64>, to bytes: inout [UInt8]) {
    for index in 0..<stride {
      withUnsafeBytes(of: state[index].littleEndian) { bytes.append(contentsOf: $0) }
    }
  }

  /// Reads a stored state.
  /// - Returns: False, with nothing written, when `bytes` is not `byteCount` long: stored by another definition.
  public func decode(_ bytes: UnsafeRawBufferPointer, into state: UnsafeMutablePointer<UInt64>) -> Bool {
    guard bytes.count == byteCount else { return false }
    for index in 0..<stride {
      state[index] = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
    }
    return true
  }
}

/// A hash of many rows' states that does not depend on the order in which the rows are given: the proof that a replay came to
/// the same state. The sum of a hash of each row.
public struct StateHash: Sendable, Hashable, CustomStringConvertible {
  public private(set) var value: UInt64 = 0
  public private(set) var rows = 0

  public init() {}

  /// Takes in one row.
  /// - Parameters:
  ///   - key: As `KeyCodec` encodes it.
  ///   - state: The state's words.
  public mutating func add(
    partition: PartitionID, windowStart: Int64, key: UnsafeRawBufferPointer, state: UnsafeBufferPointer<UInt64>
  ) {
    var hash = stableHash(key, seed: 0xcbf2_9ce4_8422_2325 ^ UInt64(partition.rawValue))
    hash = mix(hash ^ UInt64(bitPattern: windowStart))
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
