/// One column of a batch under construction: the rows that have a value, and the values' bits.
struct ColumnAccumulator: ~Copyable {
  var field: BatchLayout.Field
  var type: BatchLayout.ColumnType
  /// The path's number in the reader's table; 0 for built-in columns.
  var path: Int32
  /// The index of `columnOfPath` that points to this column; -1 for built-in ones.
  var lookupSlot: Int
  var rows: GrowableBuffer<UInt16>
  /// The bits of each value; for a text, its length.
  var values: GrowableBuffer<UInt64>
  /// For text columns only: the bytes, one value after the other.
  var text: GrowableBuffer<UInt8>

  init(field: BatchLayout.Field, type: BatchLayout.ColumnType, path: Int32 = 0, lookupSlot: Int = -1) {
    self.field = field
    self.type = type
    self.path = path
    self.lookupSlot = lookupSlot
    // Small at first: a wide event makes thousands of columns, each with one row.
    rows = GrowableBuffer(capacity: 4)
    values = GrowableBuffer(capacity: type == .null ? 1 : 4)
    text = GrowableBuffer(capacity: type == .text ? 1024 : 1)
  }

  @inline(__always) mutating func append(_ bits: UInt64, row: Int) {
    rows.append(UInt16(truncatingIfNeeded: row))
    values.append(bits)
  }

  @inline(__always) mutating func appendText(_ slice: EventTape.Slice, row: Int) {
    rows.append(UInt16(truncatingIfNeeded: row))
    values.append(UInt64(truncatingIfNeeded: slice.count))
    text.append(slice.start, count: slice.count)
  }

  mutating func removeAll() {
    rows.removeAll(keepingAtMost: 1 << 14)
    values.removeAll(keepingAtMost: 1 << 14)
    text.removeAll(keepingAtMost: 1 << 20)
  }

  /// Appends presence and values to `output`, and the directory entry to `directory`.
  func encode(rowCount: Int, name: UInt32, to output: inout GrowableBuffer<UInt8>, directory: inout GrowableBuffer<UInt8>) {
    let position = output.count
    let count = rows.count
    var presence = BatchLayout.Presence.all
    if count < rowCount {
      presence = count * 2 < (rowCount + 7) / 8 ? .rows : .bitmap
      switch presence {
      case .rows: for i in 0..<count { output.appendBytes(of: rows[i]) }
      case .all, .bitmap:
        let bytes = (rowCount + 7) / 8
        output.reserve(output.count + bytes)
        let bitmap = output.base + output.count
        bitmap.update(repeating: 0, count: bytes)
        for i in 0..<count { bitmap[Int(rows[i]) &>> 3] |= 1 &<< (rows.base[i].lowBits) }
        output.setCount(output.count + bytes)
      }
    }
    var width: UInt8 = 0
    switch type {
    case .null: break
    case .bool:
      for start in stride(from: 0, to: count, by: 8) {
        var byte: UInt8 = 0
        for i in start..<min(start + 8, count) where values[i] != 0 { byte |= 1 << UInt8(i - start) }
        output.append(byte)
      }
    case .double:
      UnsafePointer(values.base).withMemoryRebound(to: UInt8.self, capacity: count * 8) { output.append($0, count: count * 8) }
    case .int:
      width = IntegerEncoding.encode(
        values.base, count: count, isSigned: true, units: field == .time ? IntegerEncoding.timeUnits : [], to: &output)
    case .unsigned, .string, .raw:
      width = IntegerEncoding.encode(values.base, count: count, isSigned: false, to: &output)
    case .text:
      width = IntegerEncoding.encode(values.base, count: count, isSigned: false, to: &output)
      output.append(text.base, count: text.count)
    }
    directory.append(field.rawValue)
    directory.append(type.rawValue)
    directory.append(presence.rawValue)
    directory.append(width)
    directory.appendBytes(of: name)
    directory.appendBytes(of: UInt32(position))
    directory.appendBytes(of: UInt32(output.count - position))
    directory.appendBytes(of: UInt32(count))
    directory.appendBytes(of: UInt32(text.count))
  }
}

extension UInt16 {
  /// The bit of a row within its byte.
  @inline(__always) fileprivate var lowBits: UInt8 { UInt8(truncatingIfNeeded: self & 7) }
}
