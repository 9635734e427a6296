/// Identifies the append of a batch, so that the log recognises one sent again after a lost answer, even after a restart.
///
/// It travels after the batch's payload and lies in the segment with it, so batch and tag are durable together. `penstock up`
/// appends without tags, since no answer can be lost there.
///
/// ```
///  0  u64 u64  appender        24  u32  rows of the batch as it was given
/// 16  u64      number          28  u32  exceptions
/// 32  each exception: u32 row, bit 31 set if fenced; u64 the source's epoch if fenced, else what makes a duplicate suspect
///     (`AppendReceipt.Exception.Suspicion`), or 0
///     zeros up to a multiple of 16
/// ```
public struct AppendTag: Hashable, Sendable {
  /// A process that appends; each draws its number at random.
  public struct Appender: Hashable, Sendable, CustomStringConvertible {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
      self.high = high
      self.low = low
    }

    public static func random() -> Appender {
      Appender(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    }

    public var description: String { "\(String(high, radix: 16))-\(String(low, radix: 16))" }
  }

  static let fixedBytes = 32
  static let exceptionBytes = 12
  /// A tag's length is counted in units of 16 bytes.
  static let unitBytes = 16
  /// A tag in which all rows but one are exceptions.
  static let bytesMax = 65_535 * unitBytes

  public var appender: Appender
  /// Rises from batch to batch of one appender and partition.
  public var number: UInt64
  /// The rows of the batch as the appender gave it, 1 ... 65,536. The batch in the log has `exceptions.count` fewer.
  public var rows: Int
  /// The rows that were not appended, ascending; what the receipt said.
  public var exceptions: [AppendReceipt.Exception]

  public init(appender: Appender, number: UInt64, rows: Int, exceptions: [AppendReceipt.Exception] = []) {
    precondition((1...BatchHeader.countMax).contains(rows) && exceptions.count < rows)
    self.appender = appender
    self.number = number
    self.rows = rows
    self.exceptions = exceptions
  }

  /// The tag's bytes: a multiple of 16.
  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    let count = AppendTag.fixedBytes + exceptions.count * AppendTag.exceptionBytes
    bytes.reserveCapacity(count + AppendTag.unitBytes)
    func append<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
    append(appender.high)
    append(appender.low)
    append(number)
    append(UInt32(rows))
    append(UInt32(exceptions.count))
    for exception in exceptions {
      append(UInt32(exception.row) | (exception.isFenced ? 1 << 31 : 0))
      append(exception.detailBits)
    }
    while bytes.count % AppendTag.unitBytes != 0 { bytes.append(0) }
    return bytes
  }

  /// Reads a tag and checks all of it.
  /// - Parameters:
  ///   - bytes: The tag's bytes and no others.
  ///   - count: The events of its batch.
  init(parsing bytes: UnsafeRawBufferPointer, count: Int) throws(BatchError) {
    let error = BatchError(.tag, at: 0)
    guard bytes.count >= AppendTag.fixedBytes else { throw error }
    func u32(_ at: Int) -> UInt32 { UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)) }
    func u64(_ at: Int) -> UInt64 { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) }
    let rows = Int(u32(24)), excepted = Int(u32(28))
    guard rows <= BatchHeader.countMax, excepted < rows, rows - excepted == count else { throw error }
    let used = AppendTag.fixedBytes + excepted * AppendTag.exceptionBytes
    guard (used + AppendTag.unitBytes - 1) / AppendTag.unitBytes * AppendTag.unitBytes == bytes.count else { throw error }
    var exceptions: [AppendReceipt.Exception] = []
    exceptions.reserveCapacity(excepted)
    var previous = -1
    for index in 0..<excepted {
      let at = AppendTag.fixedBytes + index * AppendTag.exceptionBytes
      let row = Int(u32(at) & 0x7FFF_FFFF)
      guard row > previous, row < rows else { throw error }
      previous = row
      exceptions.append(.init(row: row, isFenced: u32(at) >> 31 == 1, detailBits: u64(at + 4)))
    }
    self.init(appender: Appender(high: u64(0), low: u64(8)), number: u64(16), rows: rows, exceptions: exceptions)
  }
}

extension ColumnBatch {
  /// The tag of this batch's append; nil where the appender gave none.
  public var tag: AppendTag? {
    guard header.tagBytes > 0 else { return nil }
    let result = encoded.withUnsafeBytes { bytes -> AppendTag? in
      try? AppendTag(parsing: UnsafeRawBufferPointer(rebasing: bytes[(bytes.count - header.tagBytes)...]), count: count)
    }
    // Checked when the batch was read.
    guard let result else { preconditionFailure("a batch holds a tag that does not read") }
    return result
  }

  /// Appends a tag to the payload, in place of any earlier one.
  /// - Parameter tag: Its rows less its exceptions must be the batch's events.
  public mutating func setTag(_ tag: AppendTag) {
    precondition(tag.rows - tag.exceptions.count == count, "the tag is of this batch")
    var bytes = encoded
    encoded = []
    bytes.removeLast(header.tagBytes)
    let tagBytes = tag.encoded
    let isFirst = header.tagBytes == 0
    header.storedBytes += tagBytes.count - header.tagBytes
    header.tagBytes = tagBytes.count
    bytes.append(contentsOf: tagBytes)
    header.payloadChecksum =
      isFirst
      ? tagBytes.withUnsafeBytes { checksum($0, from: header.payloadChecksum) }
      : bytes.withUnsafeBytes { checksum(UnsafeRawBufferPointer(rebasing: $0[BatchHeader.byteCount...])) }
    let tagged = header
    bytes.withUnsafeMutableBytes { tagged.write(to: $0) }
    encoded = bytes
  }

  /// Calls `body` with the pieces of this batch as it would be with `tag`, to be sent one after the other; copies nothing.
  /// - Parameters:
  ///   - tag: A tag without exceptions; the batch has no tag yet.
  ///   - body: Called once; the pieces are valid only during the call.
  public func withTagged<R>(
    _ tag: AppendTag, _ body: (_ header: [UInt8], _ payload: UnsafeRawBufferPointer, _ tag: [UInt8]) -> R
  ) -> R {
    precondition(header.tagBytes == 0 && tag.rows == count, "the tag is of this batch")
    let tagBytes = tag.encoded
    var tagged = header
    tagged.tagBytes = tagBytes.count
    tagged.storedBytes += tagBytes.count
    tagged.payloadChecksum = tagBytes.withUnsafeBytes { checksum($0, from: header.payloadChecksum) }
    var head = [UInt8](repeating: 0, count: BatchHeader.byteCount)
    head.withUnsafeMutableBytes { tagged.write(to: $0) }
    return encoded.withUnsafeBytes { body(head, UnsafeRawBufferPointer(rebasing: $0[BatchHeader.byteCount...]), tagBytes) }
  }
}
