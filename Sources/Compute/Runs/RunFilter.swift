import Events

/// The keys that a run may have: a Bloom filter in parts, of which a key's hash names one. So a key is looked up in one part,
/// which the file has as a row, and nothing is kept in memory.
///
/// About one key in a hundred that a run does not have passes.
struct RunFilter: Sendable {
  /// Two parts fill a page of the file.
  static let partBytes = 1984
  private static let partBits = UInt64(partBytes * 8)
  private static let bitsPerRow = 10
  private static let probes = 6
  /// A run of fewer rows has few blocks, one of more takes too much memory to make: they have no filter.
  static let rows = 1024...16_000_000

  let parts: Int
  private var bytes: [UInt8]

  /// - Parameter rows: The most rows that are added.
  /// - Returns: Nil where a run of so many rows has no filter.
  init?(rows: Int) {
    guard RunFilter.rows.contains(rows) else { return nil }
    parts = (rows * RunFilter.bitsPerRow + Int(RunFilter.partBits) - 1) / Int(RunFilter.partBits)
    bytes = Array(repeating: 0, count: parts * RunFilter.partBytes)
  }

  static func hash(_ key: UnsafeRawBufferPointer) -> UInt64 { stableHash(key, seed: 0x243F_6A88_85A3_08D3) }

  mutating func add(_ hash: UInt64) {
    let start = RunFilter.part(of: hash, parts) * RunFilter.partBytes
    for probe in 0..<RunFilter.probes {
      let bit = RunFilter.bit(hash, probe)
      bytes[start + (bit >> 3)] |= 1 << UInt8(bit & 7)
    }
  }

  /// Calls `body` with the bytes of each part.
  func forEachPart(_ body: (_ part: Int, _ bytes: UnsafeRawBufferPointer) throws -> Void) rethrows {
    try bytes.withUnsafeBytes { bytes in
      for part in 0..<parts {
        let start = part * RunFilter.partBytes
        try body(part, UnsafeRawBufferPointer(rebasing: bytes[start..<(start + RunFilter.partBytes)]))
      }
    }
  }

  /// The part that a key belongs to.
  static func part(of hash: UInt64, _ parts: Int) -> Int { Int(((hash &>> 32) &* UInt64(parts)) &>> 32) }

  /// Whether a key may be there.
  /// - Parameter part: The bytes of its part.
  static func mayHave(_ hash: UInt64, _ part: UnsafeRawBufferPointer) -> Bool {
    guard part.count == partBytes else { return true }
    return (0..<probes).allSatisfy { probe in
      let bit = bit(hash, probe)
      return part[bit >> 3] & (1 << UInt8(bit & 7)) != 0
    }
  }

  @inline(__always) private static func bit(_ hash: UInt64, _ probe: Int) -> Int {
    // The upper half has chosen the part. Source: A. Kirsch and M. Mitzenmacher, "Less Hashing, Same Performance", 2006.
    let step = (hash &* 0x9E37_79B9_7F4A_7C15) &>> 32 | 1
    return Int((((hash &+ UInt64(probe) &* step) & 0xFFFF_FFFF) &* partBits) &>> 32)
  }
}
