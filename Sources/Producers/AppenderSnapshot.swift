import Events

/// The last part of a `.producers` file: the processes that appended over the wire, and their receipts. Missing where there were
/// none.
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

  /// - Parameter reader: At the rest of the file, its CRC checked.
  static func restore(_ reader: inout RecordReader, into table: inout AppenderTable) throws(RecordDamage) {
    guard !reader.isAtEnd else { return }
    let appenders = try reader.number(UInt32.self)
    guard appenders <= AppenderTable.appendersMax else { throw .bounds }
    for _ in 0..<appenders {
      let appender = AppendTag.Appender(high: try reader.number(), low: try reader.number())
      let entries = try reader.number(UInt32.self)
      guard entries <= AppenderTable.window else { throw .bounds }
      for _ in 0..<entries {
        let entry = try reader.number(UInt64.self)
        var receipt = AppendReceipt(baseOffset: Offset(try reader.number()), endOffset: Offset(try reader.number()))
        let exceptions = Int(try reader.number(UInt32.self))
        guard exceptions <= BatchHeader.countMax else { throw .bounds }
        try reader.check(exceptions, ofBytes: 12)
        receipt.exceptions.reserveCapacity(exceptions)
        for _ in 0..<exceptions {
          let row = try reader.number(UInt32.self)
          receipt.exceptions.append(
            .init(row: Int(row & 0x7FFF_FFFF), isFenced: row >> 31 == 1, detailBits: try reader.number()))
        }
        table.note(appender, entry, receipt)
      }
    }
    guard reader.isAtEnd else { throw .bounds }
  }
}
