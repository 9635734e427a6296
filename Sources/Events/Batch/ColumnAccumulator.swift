/// One column of a batch under construction: the rows that have a value, and the values' bits.
struct ColumnAccumulator: ~Copyable {
  var field: BatchLayout.Field
  var type: BatchLayout.ColumnType
  /// The path's number in the reader's table; 0 for built-in columns.
  var path: Int32
  /// The index of `columnOfPath` that points to this column; -1 for built-in ones.
  var lookupSlot: Int
  /// Kept only once a row has had no value: until then they are the first ones.
  private var rows: GrowableBuffer<UInt16>
  private var isDense = true
  /// The rows for which there is room; 0 in a column with gaps, and before its first value.
  private var denseRoom = 0
  /// The bits of each value.
  private(set) var values: GrowableBuffer<UInt64>
  /// In place of `values`, of a column of codes or lengths while all of them are small: a quarter of the memory.
  private var codes: GrowableBuffer<UInt16>
  private var isNarrow: Bool
  /// For text columns only: the bytes, one value after the other.
  var text: GrowableBuffer<UInt8>

  init(field: BatchLayout.Field, type: BatchLayout.ColumnType, path: Int32 = 0, lookupSlot: Int = -1) {
    self.field = field
    self.type = type
    self.path = path
    self.lookupSlot = lookupSlot
    // Small at first: a wide event makes thousands of columns, each with one row.
    rows = GrowableBuffer(capacity: 4)
    values = GrowableBuffer(capacity: 4)
    codes = GrowableBuffer(capacity: 4)
    isNarrow = ColumnAccumulator.holdsCodes(type)
    text = GrowableBuffer(capacity: type == .text ? 1024 : 1)
  }

  private static func holdsCodes(_ type: BatchLayout.ColumnType) -> Bool {
    switch type {
    case .string, .raw, .text: true
    case .null, .bool, .int, .unsigned, .double: false
    }
  }

  /// The rows that have a value.
  @inline(__always) var count: Int { values.count &+ codes.count }

  /// Appends a value that is neither a string's code nor a text's length.
  @inline(__always) mutating func append(_ bits: UInt64, row: Int) {
    if values.count == row, row < denseRoom { values.appendWithin(bits) } else { appendAnyhow(bits, row: row) }
  }

  /// Appends a string's code, or a text's length.
  @inline(__always) mutating func append(code: UInt32, row: Int) {
    if codes.count == row, row < denseRoom, code <= UInt16.max {
      codes.appendWithin(UInt16(truncatingIfNeeded: code))
    } else {
      appendAnyhow(UInt64(code), row: row)
    }
  }

  @inline(never) private mutating func appendAnyhow(_ bits: UInt64, row: Int) {
    if isDense, count != row {
      isDense = false
      for earlier in 0..<count { rows.append(UInt16(truncatingIfNeeded: earlier)) }
    }
    if !isDense { rows.append(UInt16(truncatingIfNeeded: row)) }
    if isNarrow, bits > UInt16.max { widen() }
    if isNarrow { codes.append(UInt16(bits)) } else { values.append(bits) }
    // Codes that are no longer small come here each time.
    let room = isNarrow ? codes.capacity : ColumnAccumulator.holdsCodes(type) ? 0 : values.capacity
    denseRoom = isDense ? room : 0
  }

  private mutating func widen() {
    isNarrow = false
    for index in 0..<codes.count { values.append(UInt64(codes[index])) }
    codes.removeAll(keepingAtMost: 4)
  }

  @inline(__always) private func row(_ index: Int) -> UInt16 { isDense ? UInt16(truncatingIfNeeded: index) : rows[index] }

  mutating func removeAll() {
    isDense = true
    denseRoom = 0
    rows.removeAll(keepingAtMost: 1 << 14)
    values.removeAll(keepingAtMost: 1 << 14)
    codes.removeAll(keepingAtMost: 1 << 14)
    isNarrow = ColumnAccumulator.holdsCodes(type)
    text.removeAll(keepingAtMost: 1 << 20)
  }

  /// Appends presence and values to `output`, and the directory entry to `directory`.
  func encode(rowCount: Int, name: UInt32, to output: inout GrowableBuffer<UInt8>, directory: inout GrowableBuffer<UInt8>) {
    let position = output.count
    let count = count
    var presence = BatchLayout.Presence.all
    if count < rowCount {
      presence = count * 2 < (rowCount + 7) / 8 ? .rows : .bitmap
      switch presence {
      case .rows: for i in 0..<count { output.appendBytes(of: row(i)) }
      case .all, .bitmap:
        let bytes = (rowCount + 7) / 8
        output.reserve(output.count + bytes)
        let bitmap = output.base + output.count
        bitmap.update(repeating: 0, count: bytes)
        for i in 0..<count { bitmap[Int(row(i)) &>> 3] |= 1 &<< row(i).lowBits }
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
    case .unsigned: width = IntegerEncoding.encode(values.base, count: count, isSigned: false, to: &output)
    case .string, .raw, .text:
      width =
        isNarrow
        ? IntegerEncoding.encode(codes.base, count: count, isSigned: false, to: &output)
        : IntegerEncoding.encode(values.base, count: count, isSigned: false, to: &output)
      // Only a text column has any.
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
