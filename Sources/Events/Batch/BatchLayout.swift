/// The structure of a batch's payload, and its check.
///
/// ```
/// 0  u32 strings   4  u32 string bytes   8  u32 columns   12  u8 width of the string lengths, 3 bytes zero
/// 16 string lengths (IntegerEncoding), string bytes, directory (24 bytes a column), blocks
/// ```
/// A directory entry:
/// ```
/// 0  u8 field   1  u8 type   2  u8 presence   3  u8 width   4  u32 name (string code)
/// 8  u32 position in the payload   12  u32 bytes   16  u32 values   20  u32 text bytes (type text, else 0)
/// ```
struct BatchLayout: Sendable {
  /// The event's field that a column holds.
  enum Field: UInt8, Sendable {
    case data = 0, attribute, time, source, type, id, subject, sequence, epoch
  }

  enum ColumnType: UInt8, Sendable {
    /// No values: the presence says all.
    case null = 0
    /// A bit a value.
    case bool
    /// `IntegerEncoding`, signed.
    case int
    /// `IntegerEncoding`, unsigned 64-bit.
    case unsigned
    /// 8 bytes a value, IEEE 754.
    case double
    /// `IntegerEncoding` of string codes.
    case string
    /// `IntegerEncoding` of the codes of JSON texts.
    case raw
    /// `IntegerEncoding` of lengths, then the bytes: for strings that hardly repeat.
    case text
  }

  enum Presence: UInt8, Sendable {
    /// Every row has a value.
    case all = 0
    /// A bit a row, least significant first.
    case bitmap
    /// The rows that have a value, u16 each, ascending.
    case rows
  }

  struct Column: Sendable {
    var field: Field
    var type: ColumnType
    var presence: Presence
    var width: Int
    var name: Int
    /// The position of the presence bits, from the payload's start.
    var position: Int
    var values: Int
    var textBytes: Int
    /// The position of the values, from the payload's start.
    var valuesPosition: Int
  }

  static let preambleBytes = 16
  static let entryBytes = 24
  static let columnsMax = 8192

  var rows: Int
  var stringCount: Int
  /// The position of the first string's bytes, from the payload's start.
  var stringsPosition: Int
  /// The start of each string from `stringsPosition`, and the end of the last.
  var stringStarts: [UInt32]
  var columns: [Column]
  let columnIndex = ColumnIndex()
  /// The start of each row's id in the payload, and the end of the last: an id's length is the distance to the next start. Empty
  /// without ids.
  var idStarts: [UInt32] = []
  var time = 0
  var source = 0
  var type = 0
  var id: Int?
  var subject: Int?
  var sequence: Int?
  var epoch: Int?

  static func presenceBytes(_ presence: Presence, values: Int, rows: Int) -> Int {
    switch presence {
    case .all: 0
    case .bitmap: (rows + 7) / 8
    case .rows: values * 2
    }
  }

  /// Checks every count, position and code, so that later reads need not.
  /// - Parameters:
  ///   - payload: The inflated payload.
  ///   - isTrusted: Whether this process made the bytes: checks that need a pass over the values are left out.
  init(checking payload: UnsafeRawBufferPointer, rows: Int, isTrusted: Bool) throws(BatchError) {
    func u32(_ at: Int) -> Int { Int(UInt32(littleEndian: payload.loadUnaligned(fromByteOffset: at, as: UInt32.self))) }
    guard payload.count >= BatchLayout.preambleBytes + IntegerEncoding.prefixBytes else {
      throw BatchError(.layout, at: payload.count)
    }
    self.rows = rows
    let stringCount = u32(0)
    self.stringCount = stringCount
    let stringBytes = u32(4), columnCount = u32(8), lengthWidth = Int(payload[12])
    guard [0, 1, 2, 4].contains(lengthWidth), stringCount <= stringBytes + 1, stringBytes <= payload.count,
      columnCount <= BatchLayout.columnsMax
    else { throw BatchError(.layout, at: 0) }
    let lengthsEnd = BatchLayout.preambleBytes + IntegerEncoding.bytes(width: lengthWidth, count: stringCount)
    stringsPosition = lengthsEnd
    let directory = lengthsEnd + stringBytes
    let directoryEnd = directory + columnCount * BatchLayout.entryBytes
    guard directoryEnd <= payload.count, let base = payload.baseAddress else { throw BatchError(.layout, at: 4) }

    var starts = [UInt32](repeating: 0, count: stringCount + 1)
    starts.withUnsafeMutableBufferPointer { buffer in
      guard stringCount > 0, let first = buffer.baseAddress else { return }
      IntegerEncoding.decode(base + BatchLayout.preambleBytes, width: lengthWidth, count: stringCount, into: first + 1)
    }
    var end = 0
    for code in 0..<stringCount {
      end += Int(starts[code + 1])
      guard end <= stringBytes else { throw BatchError(.layout, at: BatchLayout.preambleBytes) }
      starts[code + 1] = UInt32(end)
    }
    guard end == stringBytes else { throw BatchError(.layout, at: 4) }
    stringStarts = starts

    columns = []
    columns.reserveCapacity(columnCount)
    var found: (time: Int?, source: Int?, type: Int?) = (nil, nil, nil)
    for index in 0..<columnCount {
      let at = directory + index * BatchLayout.entryBytes
      guard let field = Field(rawValue: payload[at]), let type = ColumnType(rawValue: payload[at + 1]),
        let presence = Presence(rawValue: payload[at + 2])
      else { throw BatchError(.layout, at: at) }
      var column = Column(
        field: field, type: type, presence: presence, width: Int(payload[at + 3]), name: u32(at + 4),
        position: u32(at + 8), values: u32(at + 16), textBytes: u32(at + 20), valuesPosition: 0)
      try column.check(
        payload, rows: rows, stringCount: stringCount, directoryEnd: directoryEnd, bytes: u32(at + 12), entry: at,
        isTrusted: isTrusted)
      switch field {
      case .time: found.time = column.type == .int && column.presence == .all ? index : nil
      case .source: found.source = column.type == .string && column.presence == .all ? index : nil
      case .type: found.type = column.type == .string && column.presence == .all ? index : nil
      case .id where column.type == .text: id = index
      case .subject where column.type == .string: subject = index
      case .sequence where column.type == .unsigned: sequence = index
      case .epoch where column.type == .unsigned: epoch = index
      case .data, .attribute: break
      case .id, .subject, .sequence, .epoch: throw BatchError(.layout, at: at)
      }
      columns.append(column)
    }
    guard let time = found.time, let source = found.source, let type = found.type else {
      throw BatchError(.layout, at: directory)
    }
    (self.time, self.source, self.type) = (time, source, type)
    if let id { idStarts = BatchLayout.textStarts(columns[id], rows: rows, base) }
  }

  /// The start of each row's text in a checked text column; rows without a text have length 0.
  private static func textStarts(_ column: Column, rows: Int, _ payload: UnsafeRawPointer) -> [UInt32] {
    let first = column.valuesPosition + IntegerEncoding.bytes(width: column.width, count: column.values)
    var starts = [UInt32](repeating: 0, count: rows + 1)
    starts.withUnsafeMutableBufferPointer { starts in
      // Lengths first, each behind its row's start; then their running sum.
      withUnsafeTemporaryAllocation(of: UInt32.self, capacity: max(column.values, 1)) { lengths in
        guard let target = lengths.baseAddress else { return }
        IntegerEncoding.decode(payload + column.valuesPosition, width: column.width, count: column.values, into: target)
        column.forEachPresent(payload, rows: rows) { row, value in starts[row + 1] = lengths[value] }
      }
      starts[0] = UInt32(first)
      for row in 0..<rows { starts[row + 1] += starts[row] }
    }
    return starts
  }
}

extension BatchLayout.Column {
  /// Calls `body(row, value's number)` for each present row, in order.
  @inline(__always) func forEachPresent(_ payload: UnsafeRawPointer, rows: Int, _ body: (Int, Int) -> Void) {
    switch presence {
    case .all: for row in 0..<values { body(row, row) }
    case .bitmap:
      var value = 0
      for byte in 0..<(rows + 7) / 8 {
        var bits = (payload + position).load(fromByteOffset: byte, as: UInt8.self)
        while bits != 0 {
          body(byte &* 8 &+ bits.trailingZeroBitCount, value)
          value &+= 1
          bits &= bits &- 1
        }
      }
    case .rows:
      for value in 0..<values {
        let row = UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: position + value * 2, as: UInt16.self))
        body(Int(row), value)
      }
    }
  }
}

extension BatchLayout.Column {
  /// Calls `body(row, value's number)` for each present row of a range, in order.
  func forEachPresent(_ payload: UnsafeRawPointer, in range: Range<Int>, _ body: (Int, Int) -> Void) {
    switch presence {
    case .all: for row in range { body(row, row) }
    case .bitmap:
      func byte(_ index: Int) -> UInt8 { (payload + position).load(fromByteOffset: index, as: UInt8.self) }
      let first = range.lowerBound / 8
      var value = 0
      for index in 0..<first { value &+= byte(index).nonzeroBitCount }
      for index in first..<(range.upperBound + 7) / 8 {
        var bits = byte(index)
        while bits != 0 {
          let row = index &* 8 &+ bits.trailingZeroBitCount
          if range.contains(row) { body(row, value) }
          value &+= 1
          bits &= bits &- 1
        }
      }
    case .rows:
      func row(_ value: Int) -> Int {
        Int(UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: position + value * 2, as: UInt16.self)))
      }
      var low = 0, high = values
      while low < high {
        let middle = (low + high) / 2
        if row(middle) < range.lowerBound { low = middle + 1 } else { high = middle }
      }
      while low < values, case let next = row(low), next < range.upperBound {
        body(next, low)
        low += 1
      }
    }
  }
}

extension BatchLayout.Column {
  /// Checks one column against the payload and finds its values.
  fileprivate mutating func check(
    _ payload: UnsafeRawBufferPointer, rows: Int, stringCount: Int, directoryEnd: Int, bytes: Int, entry: Int,
    isTrusted: Bool
  ) throws(BatchError) {
    let error = BatchError(.layout, at: entry)
    guard [0, 1, 2, 4, 8].contains(width), values <= rows, presence != .all || values == rows,
      position >= directoryEnd, position <= payload.count, bytes <= payload.count - position,
      name < max(stringCount, 1), type == .text || textBytes == 0,
      field != .data && field != .attribute || name < stringCount, let base = payload.baseAddress
    else { throw error }
    let presenceBytes = BatchLayout.presenceBytes(presence, values: values, rows: rows)
    let valueBytes =
      switch type {
      case .null: 0
      case .bool: (values + 7) / 8
      case .double: values * 8
      case .int, .unsigned, .string, .raw: IntegerEncoding.bytes(width: width, count: values)
      case .text: IntegerEncoding.bytes(width: width, count: values) + textBytes
      }
    guard presenceBytes + valueBytes == bytes else { throw error }
    valuesPosition = position + presenceBytes
    if isTrusted { return }
    switch presence {
    case .all: break
    case .bitmap:
      var present = 0
      for at in position..<position + presenceBytes { present += payload[at].nonzeroBitCount }
      let spare = presenceBytes * 8 - rows
      guard present == values, spare == 0 || payload[position + presenceBytes - 1] >> (8 - spare) == 0 else { throw error }
    case .rows:
      var previous = -1
      for value in 0..<values {
        let row = Int(UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: position + value * 2, as: UInt16.self)))
        guard row > previous, row < rows else { throw error }
        previous = row
      }
    }
    switch type {
    case .string, .raw:
      var codes = [UInt64](repeating: 0, count: values)
      codes.withUnsafeMutableBufferPointer { buffer in
        if let first = buffer.baseAddress {
          IntegerEncoding.decode(base + valuesPosition, width: width, count: values, into: first)
        }
      }
      guard codes.allSatisfy({ $0 < UInt64(stringCount) }) else { throw error }
    case .text:
      var lengths = [UInt64](repeating: 0, count: values)
      lengths.withUnsafeMutableBufferPointer { buffer in
        if let first = buffer.baseAddress {
          IntegerEncoding.decode(base + valuesPosition, width: width, count: values, into: first)
        }
      }
      var total: UInt64 = 0
      for length in lengths {
        guard length <= UInt64(textBytes) else { throw error }
        total += length
      }
      guard total == UInt64(textBytes) else { throw error }
    case .double:
      for value in 0..<values {
        let bits = payload.loadUnaligned(fromByteOffset: valuesPosition + value * 8, as: UInt64.self)
        guard Double(bitPattern: UInt64(littleEndian: bits)).isFinite else { throw error }
      }
    case .null, .bool, .int, .unsigned: break
    }
  }
}
