import Events

/// The bytes of `penstock.views`. Little-endian.
///
/// ```
///  0  FixedRecord, magic "PNV1", partition 0: 64 bytes; then entries, each
///  0  u32  magic "PNVE"                 16  u32  CRC-32 of the payload
///  4  u32  payload bytes, 1 … 4 MiB     20  u32  CRC-32 of bytes 0..<20
///  8  i64  number, from 0, dense        24  the payload, and zeros up to a multiple of 8
/// ```
enum ViewsRecordFormat {
  static let name = "penstock.views"
  static let headerBytes = FixedRecord.byteCount
  static let entryHeaderBytes = 24
  private static let magic: UInt32 = 0x4556_4E50

  static func header() -> [UInt8] { FixedRecord(magic: "PNV1").sealed() }

  /// - Precondition: 1...`ViewsRecordLimits.entryBytesMax` bytes.
  static func encode(_ payload: [UInt8], number: Int) -> [UInt8] {
    precondition((1...ViewsRecordLimits.entryBytesMax).contains(payload.count), "an entry has from 1 to entryBytesMax bytes")
    var bytes = [UInt8](repeating: 0, count: length(of: payload.count))
    bytes.replaceSubrange(entryHeaderBytes..<entryHeaderBytes + payload.count, with: payload)
    bytes.withUnsafeMutableBytes { bytes in
      bytes.storeBytes(of: magic.littleEndian, toByteOffset: 0, as: UInt32.self)
      bytes.storeBytes(of: UInt32(payload.count).littleEndian, toByteOffset: 4, as: UInt32.self)
      bytes.storeBytes(of: Int64(number).littleEndian, toByteOffset: 8, as: Int64.self)
      let sum = payload.withUnsafeBytes { checksum($0) }
      bytes.storeBytes(of: sum.littleEndian, toByteOffset: 16, as: UInt32.self)
      let own = checksum(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[0..<20]))
      bytes.storeBytes(of: own.littleEndian, toByteOffset: 20, as: UInt32.self)
    }
    return bytes
  }

  /// Bytes of an entry whose payload has this many.
  static func length(of payload: Int) -> Int { (entryHeaderBytes + payload + 7) / 8 * 8 }

  struct EntryHeader {
    var payloadBytes: Int
    var number: Int64
    var checksum: UInt32
  }

  /// Nil when no entry begins here.
  static func entryHeader(_ bytes: ArraySlice<UInt8>) -> EntryHeader? {
    guard bytes.count >= entryHeaderBytes else { return nil }
    return bytes.withUnsafeBytes { bytes in
      func u32(_ at: Int) -> UInt32 { UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)) }
      guard u32(0) == magic, u32(20) == Events.checksum(UnsafeRawBufferPointer(rebasing: bytes[0..<20])) else { return nil }
      let header = EntryHeader(
        payloadBytes: Int(u32(4)), number: Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: Int64.self)),
        checksum: u32(16))
      return (1...ViewsRecordLimits.entryBytesMax).contains(header.payloadBytes) && header.number >= 0 ? header : nil
    }
  }
}

/// The content of a record's file: where its entries lie, and where they end.
struct ViewsRecordScan {
  /// The position of each entry, in the order of their numbers.
  private(set) var positions: [Int] = []
  /// The end of the last whole entry; 0 where not even the file's header is whole.
  private(set) var end = 0
  let size: Int

  /// Bytes after the last whole entry: part of one that was being written when the process or the machine went down.
  var tornBytes: Int { size - end }

  /// - Throws: `.corrupt` for damage before a whole entry, `.incompatible` for a later version.
  init(_ file: any File, path: String) throws(LogError) {
    size = try placing(nil) { () throws(IOFailure) in try file.size() }
    guard size <= ViewsRecordFile.fileBytesMax else {
      throw LogError(.corrupt, "\(path) has \(size) bytes: no record of views is larger than \(ViewsRecordFile.fileBytesMax)")
    }
    let bytes = try placing(nil) { () throws(IOFailure) in try file.readFull(size, at: 0) }
    guard try ViewsRecordScan.hasHeader(bytes, path) else { return }
    end = ViewsRecordFormat.headerBytes
    while let length = ViewsRecordScan.entry(bytes, at: end, number: Int64(positions.count)) {
      positions.append(end)
      end += length
    }
    // Entries are synced one by one, so a whole entry after the damage proves that the damaged bytes were durable.
    var position = end + 8
    while position + ViewsRecordFormat.entryHeaderBytes <= size {
      if let header = ViewsRecordFormat.entryHeader(bytes[position...].prefix(ViewsRecordFormat.entryHeaderBytes)),
        ViewsRecordScan.entry(bytes, at: position, number: header.number) != nil
      {
        throw LogError(
          .corrupt, place: filePlace(position: end),
          """
          \(path) is damaged at byte \(end), with whole entries behind: restore it from a backup, or move it away, and which views there are is \
          taken from compute's state file
          """)
      }
      position += 8
    }
  }

  /// False where the file ends within its header, and nothing follows.
  private static func hasHeader(_ bytes: [UInt8], _ path: String) throws(LogError) -> Bool {
    do throws(RecordDamage) {
      _ = try FixedRecord(parsing: bytes, magic: "PNV1")
      return true
    } catch {
      switch error {
      case .version: throw LogError(.incompatible, "\(path): \(error)")
      case .truncated: return false
      case .checksum, .magic, .partition, .bounds:
        // Header and first entry are written at once: without a whole entry, nobody was told of either.
        guard entry(bytes, at: ViewsRecordFormat.headerBytes, number: 0) == nil else {
          throw LogError(.corrupt, place: filePlace(position: 0), "\(path): \(error)")
        }
        return false
      }
    }
  }

  /// - Returns: The length of the whole entry at a position; nil where there is none with this number.
  private static func entry(_ bytes: [UInt8], at position: Int, number: Int64) -> Int? {
    let start = position + ViewsRecordFormat.entryHeaderBytes
    guard start <= bytes.count, let header = ViewsRecordFormat.entryHeader(bytes[position..<start]), header.number == number,
      start + header.payloadBytes <= bytes.count
    else { return nil }
    let sum = bytes[start..<start + header.payloadBytes].withUnsafeBytes { checksum($0) }
    let length = ViewsRecordFormat.length(of: header.payloadBytes)
    return sum == header.checksum && position + length <= bytes.count ? length : nil
  }
}
