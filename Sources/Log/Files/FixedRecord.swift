import Events

/// The 64 bytes that every file of the log but the segments consists of, or begins with: meta, marker, index, producer
/// snapshot. Little-endian.
///
/// ```
///  0  u32  magic               8 ..< 60  the file's own
///  4  u16  format version, 1   60  u32   CRC-32 of bytes 0..<60
///  6  u16  partition
/// ```
struct FixedRecord {
  static let byteCount = 64
  static let formatVersion: UInt16 = 1

  private(set) var bytes: [UInt8]

  init(magic: StaticString, partition: PartitionID = PartitionID(UInt16(0))) {
    bytes = Array(repeating: 0, count: FixedRecord.byteCount)
    put(FixedRecord.number(magic), at: 0)
    put(FixedRecord.formatVersion, at: 4)
    put(partition.rawValue, at: 6)
  }

  /// Checks length, CRC, magic, version and partition, in that order. `Int` fields are checked by `count(at:)`.
  init(parsing file: some Collection<UInt8>, magic: StaticString, partition: PartitionID = PartitionID(UInt16(0)))
    throws(RecordDamage)
  {
    guard file.count >= FixedRecord.byteCount else { throw .truncated }
    bytes = Array(file.prefix(FixedRecord.byteCount))
    guard get(UInt32.self, at: 60) == computedChecksum() else { throw .checksum }
    guard get(UInt32.self, at: 0) == FixedRecord.number(magic) else { throw .magic }
    let version = get(UInt16.self, at: 4)
    guard version == FixedRecord.formatVersion else { throw .version(version) }
    guard get(UInt16.self, at: 6) == partition.rawValue else { throw .partition }
  }

  mutating func put<T: FixedWidthInteger>(_ value: T, at position: Int) {
    precondition(position + MemoryLayout<T>.size <= FixedRecord.byteCount)
    bytes.withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: position, as: T.self) }
  }

  func get<T: FixedWidthInteger>(_ type: T.Type, at position: Int) -> T {
    precondition(position + MemoryLayout<T>.size <= FixedRecord.byteCount)
    return T(littleEndian: bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: position, as: T.self) })
  }

  /// A size or count, stored in 64 bits: 0 or more.
  func count(at position: Int) throws(RecordDamage) -> Int {
    let value = get(Int64.self, at: position)
    guard value >= 0 else { throw .bounds }
    return Int(value)
  }

  /// The bytes with their CRC.
  func sealed() -> [UInt8] {
    var copy = self
    copy.put(computedChecksum(), at: 60)
    return copy.bytes
  }

  private func computedChecksum() -> UInt32 {
    bytes.withUnsafeBytes { checksum(UnsafeRawBufferPointer(rebasing: $0[0..<60])) }
  }

  /// Four ASCII letters as a little-endian number.
  private static func number(_ magic: StaticString) -> UInt32 {
    precondition(magic.utf8CodeUnitCount == 4)
    return UInt32(littleEndian: UnsafeRawPointer(magic.utf8Start).loadUnaligned(as: UInt32.self))
  }
}

/// The reason why bytes are not the expected record.
enum RecordDamage: Error, Hashable, CustomStringConvertible {
  case truncated, checksum, magic, version(UInt16), partition, bounds

  var description: String {
    switch self {
    case .truncated: "too short"
    case .checksum: "checksum mismatch"
    case .magic: "not a file of this kind"
    case .version(let version): "format version \(version), this program reads \(FixedRecord.formatVersion)"
    case .partition: "another partition's"
    case .bounds: "numbers out of bounds"
    }
  }
}
