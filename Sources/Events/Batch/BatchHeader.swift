import CZlib

/// The 64 bytes before a column batch's payload. Little-endian.
///
/// ```
///  0  u32  magic "PNB1"            32  i64  largest event time, ns
///  4  u16  format version, 1       40  i64  append time, ns
///  6  u16  partition               48  u32  payload bytes as stored
///  8  i64  base offset             52  u32  payload bytes when inflated
/// 16  u32  count, 1...65,536       56  u32  CRC-32 of the stored payload
/// 20  u16  codec: 0 none, 1 deflate 60 u32  CRC-32 of bytes 0..<60
/// 22  u16  append tag: units of 16 bytes
/// 24  i64  smallest event time, ns
/// ```
/// The append tag, where there is one, is the last of the stored payload; it is never deflated, and not counted when inflated.
/// Partition, base offset and append time are patched in when the log takes the batch, and the header's own CRC with them; the
/// payload and its CRC stay as they were made.
public struct BatchHeader: Hashable, Sendable {
  public static let byteCount = 64
  /// "PNB1", read as a little-endian number.
  public static let magic: UInt32 = 0x3142_4E50
  public static let formatVersion: UInt16 = 1
  /// The most events a batch holds.
  public static let countMax = 65_536
  /// The most bytes of a payload, inflated: a reader may have to allocate them.
  public static let payloadBytesMax = 32 * 1024 * 1024

  public enum Codec: UInt16, Sendable {
    case none = 0
    case deflate = 1
  }

  public var partition: PartitionID
  public var baseOffset: Offset
  public var count: Int
  public var codec: Codec
  /// The bytes of `AppendTag`, within `storedBytes`; a multiple of 16, 0 without a tag.
  public internal(set) var tagBytes = 0
  public var firstEventTime: Timestamp
  public var lastEventTime: Timestamp
  public var appendTime: Timestamp
  public var storedBytes: Int
  public var inflatedBytes: Int
  public var payloadChecksum: UInt32

  public init(
    partition: PartitionID, baseOffset: Offset, count: Int, codec: Codec, firstEventTime: Timestamp,
    lastEventTime: Timestamp, appendTime: Timestamp, storedBytes: Int, inflatedBytes: Int, payloadChecksum: UInt32
  ) {
    self.partition = partition
    self.baseOffset = baseOffset
    self.count = count
    self.codec = codec
    self.firstEventTime = firstEventTime
    self.lastEventTime = lastEventTime
    self.appendTime = appendTime
    self.storedBytes = storedBytes
    self.inflatedBytes = inflatedBytes
    self.payloadChecksum = payloadChecksum
  }

  public var endOffset: Offset { baseOffset.advanced(by: count) }
  /// The bytes of header and stored payload, including the tag.
  public var batchBytes: Int { BatchHeader.byteCount + storedBytes }
  /// The range of the stored payload in the batch, without the tag.
  var payloadRange: Range<Int> { BatchHeader.byteCount..<BatchHeader.byteCount + storedBytes - tagBytes }

  /// Reads and checks a header: magic, version, CRC and every bound, so that a caller may allocate the sizes it states.
  /// - Parameter bytes: At least 64 bytes; only the first 64 are read.
  public init(parsing bytes: UnsafeRawBufferPointer) throws(BatchError) {
    guard bytes.count >= BatchHeader.byteCount else { throw BatchError(.truncated, at: bytes.count) }
    func u32(_ at: Int) -> UInt32 { UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)) }
    func i64(_ at: Int) -> Int64 { Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int64.self)) }
    guard u32(0) == BatchHeader.magic else { throw BatchError(.magic, at: 0) }
    guard u32(60) == checksum(UnsafeRawBufferPointer(rebasing: bytes[0..<60])) else {
      throw BatchError(.headerChecksum, at: 60)
    }
    let versionAndPartition = u32(4)
    guard UInt16(truncatingIfNeeded: versionAndPartition) == BatchHeader.formatVersion else {
      throw BatchError(.version, at: 4)
    }
    partition = PartitionID(UInt16(truncatingIfNeeded: versionAndPartition >> 16))
    baseOffset = Offset(i64(8))
    count = Int(u32(16))
    guard (1...BatchHeader.countMax).contains(count), baseOffset >= .zero,
      baseOffset.rawValue <= Int64.max - Int64(count), partition.index < PartitionID.countMax
    else { throw BatchError(.bounds, at: 8) }
    let codecAndTag = u32(20)
    guard let codec = Codec(rawValue: UInt16(truncatingIfNeeded: codecAndTag)) else { throw BatchError(.codec, at: 20) }
    self.codec = codec
    tagBytes = Int(codecAndTag >> 16) * AppendTag.unitBytes
    firstEventTime = Timestamp(nanoseconds: i64(24))
    lastEventTime = Timestamp(nanoseconds: i64(32))
    appendTime = Timestamp(nanoseconds: i64(40))
    storedBytes = Int(u32(48))
    inflatedBytes = Int(u32(52))
    payloadChecksum = u32(56)
    // Deflate cannot do better than about 1032:1, so a small payload cannot ask for a large allocation.
    let untaggedBytes = storedBytes - tagBytes
    guard untaggedBytes > 0, untaggedBytes <= BatchHeader.payloadBytesMax, inflatedBytes <= BatchHeader.payloadBytesMax,
      codec == .none ? inflatedBytes == untaggedBytes : inflatedBytes <= untaggedBytes * 1032 + 64,
      firstEventTime <= lastEventTime
    else { throw BatchError(.bounds, at: 48) }
  }

  /// Writes the 64 bytes, with the header's CRC.
  /// - Parameter bytes: At least 64 bytes.
  public func write(to bytes: UnsafeMutableRawBufferPointer) {
    precondition(bytes.count >= BatchHeader.byteCount)
    func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
      bytes.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self)
    }
    put(BatchHeader.magic, 0)
    put(BatchHeader.formatVersion, 4)
    put(partition.rawValue, 6)
    put(baseOffset.rawValue, 8)
    put(UInt32(count), 16)
    put(codec.rawValue, 20)
    put(UInt16(tagBytes / AppendTag.unitBytes), 22)
    put(firstEventTime.nanoseconds, 24)
    put(lastEventTime.nanoseconds, 32)
    put(appendTime.nanoseconds, 40)
    put(UInt32(storedBytes), 48)
    put(UInt32(inflatedBytes), 52)
    put(payloadChecksum, 56)
    put(checksum(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[0..<60])), 60)
  }
}

/// The reason why bytes are no batch, and its position.
public struct BatchError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    case truncated, magic, version, headerChecksum, payloadChecksum, bounds, codec, inflate, layout, tag
  }

  public let code: Code
  public let position: Int

  public init(_ code: Code, at position: Int) {
    self.code = code
    self.position = position
  }

  public var description: String { "batch: \(code.rawValue) at byte \(position)" }
}

/// CRC-32 as zlib computes it (polynomial 0xEDB88320).
/// - Complexity: About 6 GB/s.
public func checksum(_ bytes: UnsafeRawBufferPointer, from start: UInt32 = 0) -> UInt32 {
  UInt32(truncatingIfNeeded: crc32_z(UInt(start), bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count))
}
