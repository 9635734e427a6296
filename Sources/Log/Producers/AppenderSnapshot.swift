import Events

/// The last part of a `.producers` file: who appended over the wire, and what became of it. Missing where nobody did.
///
/// ```
/// u32  appenders, the one that appended longest ago first
/// each appender  u64 high, u64 low, u32 entries, 1 ... 64
///   each entry   u64 number, i64 base offset, i64 end offset, u32 exceptions
///     each exception  u32 row, bit 31 set if fenced; u64 as in `AppendTag`
/// ```
enum AppenderSnapshot {
  static func append(_ table: AppenderTable, to file: inout [UInt8]) {
    let appenders = table.remembered
    guard !appenders.isEmpty else { return }
    func append<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { file.append(contentsOf: $0) } }
    append(UInt32(appenders.count))
    for (appender, entries) in appenders {
      append(appender.high)
      append(appender.low)
      append(UInt32(entries.count))
      for entry in entries {
        append(entry.number)
        append(entry.receipt.baseOffset.rawValue)
        append(entry.receipt.endOffset.rawValue)
        append(UInt32(entry.receipt.exceptions.count))
        for exception in entry.receipt.exceptions {
          append(UInt32(exception.row) | (exception.isFenced ? 1 << 31 : 0))
          append(exception.detailBits)
        }
      }
    }
  }

  /// - Parameter body: The whole rest of the file, its CRC checked.
  static func restore(_ body: UnsafeRawBufferPointer, into table: inout AppenderTable) throws(RecordDamage) {
    var at = 0
    func number<T: FixedWidthInteger>(_ type: T.Type) throws(RecordDamage) -> T {
      guard body.count - at >= MemoryLayout<T>.size else { throw .bounds }
      defer { at += MemoryLayout<T>.size }
      return T(littleEndian: body.loadUnaligned(fromByteOffset: at, as: T.self))
    }
    guard !body.isEmpty else { return }
    let appenders = try number(UInt32.self)
    guard appenders <= AppenderTable.appendersMax else { throw .bounds }
    for _ in 0..<appenders {
      let appender = AppendTag.Appender(high: try number(UInt64.self), low: try number(UInt64.self))
      let entries = try number(UInt32.self)
      guard entries <= AppenderTable.window else { throw .bounds }
      for _ in 0..<entries {
        let entry = try number(UInt64.self)
        var receipt = AppendReceipt(baseOffset: Offset(try number(Int64.self)), endOffset: Offset(try number(Int64.self)))
        let exceptions = Int(try number(UInt32.self))
        guard exceptions <= min(BatchHeader.countMax, (body.count - at) / 12) else { throw .bounds }
        receipt.exceptions.reserveCapacity(exceptions)
        for _ in 0..<exceptions {
          let row = try number(UInt32.self), detail = try number(UInt64.self)
          receipt.exceptions.append(.init(row: Int(row & 0x7FFF_FFFF), isFenced: row >> 31 == 1, detailBits: detail))
        }
        table.note(appender, entry, receipt)
      }
    }
    guard at == body.count else { throw .bounds }
  }
}
