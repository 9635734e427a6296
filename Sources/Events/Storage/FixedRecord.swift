/// The 64 bytes with which everything begins that a log keeps besides batches: meta, marker, index, producer snapshot.
/// Little-endian.
///
/// ```
///  0  u32  magic               8 ..< 60  the file's own
///  4  u16  format version, 1   60  u32   CRC-32 of bytes 0..<60
///  6  u16  partition
/// ```
package struct FixedRecord {
  package static let byteCount = 64
  static let formatVersion: UInt16 = 1

  private(set) var bytes: [UInt8]

  package init(magic: StaticString, partition: PartitionID = PartitionID(UInt16(0))) {
    bytes = Array(repeating: 0, count: FixedRecord.byteCount)
    put(FixedRecord.number(magic), at: 0)
    put(FixedRecord.formatVersion, at: 4)
    put(partition.rawValue, at: 6)
  }

  /// Checks length, CRC, magic, version and partition, in that order. `Int` fields are checked by `count(at:)`.
  package init(parsing file: some Collection<UInt8>, magic: StaticString, partition: PartitionID = PartitionID(UInt16(0)))
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

  package mutating func put<T: FixedWidthInteger>(_ value: T, at position: Int) {
    precondition(position + MemoryLayout<T>.size <= FixedRecord.byteCount)
    bytes.withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: position, as: T.self) }
  }

  package func get<T: FixedWidthInteger>(_ type: T.Type, at position: Int) -> T {
    precondition(position + MemoryLayout<T>.size <= FixedRecord.byteCount)
    return T(littleEndian: bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: position, as: T.self) })
  }

  /// A size or count, stored in 64 bits: 0 or more.
  package func count(at position: Int) throws(RecordDamage) -> Int {
    let value = get(Int64.self, at: position)
    guard value >= 0 else { throw .bounds }
    return Int(value)
  }

  /// The bytes with their CRC.
  package func sealed() -> [UInt8] {
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

/// Reads the little-endian numbers and bytes of a record's body in order, and never beyond it.
package struct RecordReader {
  private var rest: UnsafeRawBufferPointer

  package init(_ body: UnsafeRawBufferPointer) { rest = body }

  package var isAtEnd: Bool { rest.isEmpty }

  package mutating func number<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(RecordDamage) -> T {
    T(littleEndian: try bytes(MemoryLayout<T>.size).loadUnaligned(as: T.self))
  }

  /// - Parameter count: 0 or more.
  package mutating func bytes(_ count: Int) throws(RecordDamage) -> UnsafeRawBufferPointer {
    guard count <= rest.count else { throw .bounds }
    defer { rest = UnsafeRawBufferPointer(rebasing: rest[count...]) }
    return UnsafeRawBufferPointer(rebasing: rest[..<count])
  }

  /// A number of items that follow, each of so many bytes at least: held to what the body can hold before anything is made of it.
  package func check(_ count: Int, ofBytes bytes: Int) throws(RecordDamage) {
    guard (0...rest.count / bytes).contains(count) else { throw .bounds }
  }
}

/// The reason why bytes are not the expected record.
package enum RecordDamage: Error, Hashable, CustomStringConvertible {
  case truncated, checksum, magic, version(UInt16), partition, bounds

  package var description: String {
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
