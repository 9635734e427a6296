/// Writes batches' events as CloudEvents JSON straight from the columns, for exports and pages of events.
///
/// The result is that of `Event.writeJSON`. Strings are escaped once a batch, however many rows have them.
public struct EventLineWriter: ~Copyable {
  /// The members written besides the events' own.
  public struct Style: Sendable {
    /// An event a line.
    public static let lines = Style(separator: 0x0A)

    public var separator: UInt8
    /// Whether each event has its place in the log, as `logpartition` and `logoffset`, instead of its own attributes of these
    /// names.
    public var hasPlace: Bool

    public init(separator: UInt8, hasPlace: Bool = false) {
      self.separator = separator
      self.hasPlace = hasPlace
    }
  }

  public static let placeNames = (partition: "logpartition", offset: "logoffset")

  private var output = GrowableBuffer<UInt8>(capacity: 1 << 16)
  /// Escaped strings of the present batch, back to back.
  private var escaped = GrowableBuffer<UInt8>(capacity: 4096)
  /// The range of each string code's escaped text; 0 ..< 0 until asked for.
  private var escapedRanges: [(start: Int32, end: Int32)] = []
  private var scratch: [UInt8] = []

  public init() {}

  /// Bytes written since `removeAll`.
  public var byteCount: Int { output.count }

  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try body(UnsafeRawBufferPointer(start: output.base, count: output.count))
  }

  public mutating func removeAll() { output.removeAll(keepingAtMost: 16 << 20) }

  /// Appends the events of some rows, one a line.
  /// - Parameters:
  ///   - batch: The rows' batch.
  ///   - rows: Rows within the batch's count.
  ///   - times: Events of other times are left out; nil takes all.
  /// - Returns: The number of events written.
  public mutating func append(_ batch: ColumnBatch, _ rows: Range<Int>, times: Range<Int64>? = nil) -> Int {
    guard let times else { return append(batch, Array(rows), as: .lines) }
    let eventTimes = batch.times()
    return append(batch, rows.filter { times.contains(eventTimes[$0]) }, as: .lines)
  }

  /// Appends the events of some rows.
  /// - Parameters:
  ///   - batch: The rows' batch.
  ///   - rows: Ascending rows within the batch's count.
  ///   - style: The members to write besides the events' own.
  ///   - bytesMax: Once this many bytes are written, no further event is.
  /// - Returns: The number of events written.
  public mutating func append(_ batch: ColumnBatch, _ rows: [Int], as style: Style, bytesMax: Int = .max) -> Int {
    guard let lowest = rows.first, let highest = rows.last else { return 0 }
    escaped.removeAll(keepingAtMost: 1 << 20)
    escapedRanges = Array(repeating: (0, 0), count: batch.layout.stringCount)
    let columns = Columns(batch, lowest..<highest + 1, style)
    var written = 0
    for row in rows where output.count < bytesMax {
      writeContext(row, columns, batch)
      writeAttributes(row, columns, batch)
      if style.hasPlace { writePlace(row, batch) }
      writeData(row, columns, batch)
      output.append(0x7D)
      output.append(style.separator)
      written += 1
    }
    return written
  }

  /// A batch's columns, prepared for writing rows.
  private struct Columns {
    let times: [Int64]
    let sources: [UInt32]
    var types = ValueVector()
    var subjects = ValueVector()
    let sequences: [UInt64?]
    let epochs: [UInt64?]
    let idPresence: [Bool]
    let rows: BatchRows
    /// `,"name":` of each attribute; empty where it is left out.
    let attributeLabels: [[UInt8]]
    /// `"name":` of each member of `data`.
    let memberLabels: [[UInt8]]

    init(_ batch: ColumnBatch, _ range: Range<Int>, _ style: Style) {
      times = batch.times()
      sources = batch.sourceCodes()
      batch.load(.attribute("type"), into: &types)
      batch.load(.attribute("subject"), into: &subjects)
      sequences = batch.presentUnsigned(batch.layout.sequence)
      epochs = batch.presentUnsigned(batch.layout.epoch)
      idPresence = batch.presence(batch.layout.id)
      rows = BatchRows(batch, range)
      let taken = style.hasPlace ? [placeNames.partition, placeNames.offset].map { Array($0.utf8) } : []
      attributeLabels = rows.attributes.map { taken.contains($0.name) ? [] : [0x2C] + quoted($0.name) + [0x3A] }
      memberLabels = rows.tree.nodes.map { quoted($0.name) + [0x3A] }
    }
  }

  private mutating func writeContext(_ row: Int, _ columns: Columns, _ batch: ColumnBatch) {
    write("{\"specversion\":\"1.0\"")
    if columns.idPresence.isEmpty ? batch.layout.id != nil : columns.idPresence[row] {
      write(",\"id\":")
      batch.withID(ofRow: row) { writeQuoted($0) }
    }
    write(",\"source\":")
    writeString(Int(columns.sources[row]), batch)
    write(",\"type\":")
    writeString(Int(columns.types.bits[row]), batch)
    write(",\"time\":\"")
    writeTime(columns.times[row])
    output.append(0x22)
    if columns.subjects.kinds[row] == .string {
      write(",\"subject\":")
      writeString(Int(columns.subjects.bits[row]), batch)
    }
    if let sequence = columns.sequences[row] {
      write(",\"sequence\":")
      writeDecimal(sequence)
    }
    if let epoch = columns.epochs[row] {
      write(",\"epoch\":")
      writeDecimal(epoch)
    }
  }

  private mutating func writeAttributes(_ row: Int, _ columns: Columns, _ batch: ColumnBatch) {
    for cell in columns.rows.attributes(ofRow: row) where !columns.attributeLabels[Int(cell.column)].isEmpty {
      write(columns.attributeLabels[Int(cell.column)])
      writeValue(columns.rows.attributes[Int(cell.column)].column, cell, batch)
    }
  }

  private mutating func writePlace(_ row: Int, _ batch: ColumnBatch) {
    write(",\"logpartition\":")
    writeDecimal(UInt64(batch.partition.rawValue))
    write(",\"logoffset\":")
    writeDecimal(UInt64(batch.baseOffset.advanced(by: row).rawValue))
  }

  private mutating func writeData(_ row: Int, _ columns: Columns, _ batch: ColumnBatch) {
    let cells = columns.rows.data(ofRow: row)
    guard !cells.isEmpty else { return }
    write(",\"data\":")
    columns.rows.tree.walk(cells) { step in
      switch step {
      case .open(let node, let isFirst):
        writeLabel(node, isFirst, columns)
        output.append(0x7B)
      case .value(let node, let cell, let isFirst):
        writeLabel(node, isFirst, columns)
        writeValue(columns.rows.data[Int(cell.column)], cell, batch)
      case .close: output.append(0x7D)
      }
    }
  }

  @inline(__always) private mutating func writeLabel(_ node: Int, _ isFirst: Bool, _ columns: Columns) {
    guard node != MemberTree.root else { return }
    if !isFirst { output.append(0x2C) }
    write(columns.memberLabels[node])
  }

  // MARK: values

  private mutating func writeValue(_ column: BatchLayout.Column, _ cell: BatchRows.Cell, _ batch: ColumnBatch) {
    let bits = batch.withPayload { BatchRows.bits(column, cell, $0) }
    switch column.type {
    case .null: write("null")
    case .bool: if bits != 0 { write("true") } else { write("false") }
    case .int:
      let value = Int64(bitPattern: bits)
      if value < 0 { output.append(0x2D) }
      writeDecimal(value.magnitude)
    case .unsigned: writeDecimal(bits)
    case .double:
      var text = Double(bitPattern: bits).description
      text.withUTF8 { output.append($0.baseAddress.unsafelyUnwrapped, count: $0.count) }
    case .string, .text: writeString(Int(bits), batch)
    case .raw: writeString(Int(bits), batch, isRaw: true)
    }
  }

  /// Writes a string of the batch's table. A code is either a string in all rows or raw JSON in all: the two have columns of
  /// their own. Raw JSON that is also a string elsewhere is rare, so it is escaped each time.
  private mutating func writeString(_ code: Int, _ batch: ColumnBatch, isRaw: Bool = false) {
    if isRaw {
      scratch.removeAll(keepingCapacity: true)
      batch.rawValue(code).write(to: &scratch)
      write(scratch)
      return
    }
    var range = escapedRanges[code]
    if range.end == 0 {
      scratch.removeAll(keepingCapacity: true)
      batch.withString(code) { JSONValue.writeString($0, to: &scratch) }
      range.start = Int32(escaped.count)
      scratch.withUnsafeBufferPointer { escaped.append($0.baseAddress.unsafelyUnwrapped, count: $0.count) }
      range.end = Int32(escaped.count)
      escapedRanges[code] = range
    }
    output.append(escaped.base + Int(range.start), count: Int(range.end - range.start))
  }

  private mutating func writeQuoted(_ bytes: UnsafeRawBufferPointer) {
    let isPlain = bytes.allSatisfy { $0 >= 0x20 && $0 != 0x22 && $0 != 0x5C }
    guard isPlain else {
      scratch.removeAll(keepingCapacity: true)
      JSONValue.writeString(bytes, to: &scratch)
      return write(scratch)
    }
    output.append(0x22)
    if let base = bytes.bindMemory(to: UInt8.self).baseAddress { output.append(base, count: bytes.count) }
    output.append(0x22)
  }

  private mutating func write(_ text: StaticString) { output.append(text.utf8Start, count: text.utf8CodeUnitCount) }

  private mutating func write(_ bytes: [UInt8]) {
    bytes.withUnsafeBufferPointer { if let base = $0.baseAddress { output.append(base, count: $0.count) } }
  }

  private mutating func writeDecimal(_ number: UInt64) {
    // 20 digits hold any 64-bit number.
    output.reserve(output.count + 20)
    var rest = number
    var digits = 1
    while rest >= 10 {
      rest /= 10
      digits += 1
    }
    rest = number
    for position in (output.count..<output.count + digits).reversed() {
      output[position] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    output.setCount(output.count + digits)
  }

  /// Writes the time as `Timestamp.description` does.
  private mutating func writeTime(_ nanoseconds: Int64) {
    let (secondsOfEpoch, fraction) = nanoseconds.flooredQuotientAndRemainder(by: 1_000_000_000)
    let (days, secondOfDay) = secondsOfEpoch.flooredQuotientAndRemainder(by: 86400)
    let (year, month, day) = Timestamp.date(daysSinceEpoch: Int(days))
    writePadded(UInt64(year), 4)
    output.append(0x2D)
    writePadded(UInt64(month), 2)
    output.append(0x2D)
    writePadded(UInt64(day), 2)
    output.append(0x54)
    writePadded(UInt64(secondOfDay / 3600), 2)
    output.append(0x3A)
    writePadded(UInt64(secondOfDay / 60 % 60), 2)
    output.append(0x3A)
    writePadded(UInt64(secondOfDay % 60), 2)
    if fraction != 0 {
      output.append(0x2E)
      if fraction % 1_000_000 == 0 {
        writePadded(UInt64(fraction / 1_000_000), 3)
      } else if fraction % 1000 == 0 {
        writePadded(UInt64(fraction / 1000), 6)
      } else {
        writePadded(UInt64(fraction), 9)
      }
    }
    output.append(0x5A)
  }

  private mutating func writePadded(_ number: UInt64, _ width: Int) {
    output.reserve(output.count + width)
    var rest = number
    for position in (output.count..<output.count + width).reversed() {
      output[position] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    output.setCount(output.count + width)
  }
}

private func quoted(_ bytes: [UInt8]) -> [UInt8] {
  var text: [UInt8] = []
  bytes.withUnsafeBytes { JSONValue.writeString($0, to: &text) }
  return text
}

extension ColumnBatch {
  /// Whether each row has a value in a column; empty when every row has, or there is no such column.
  fileprivate func presence(_ index: Int?) -> [Bool] {
    guard let index, layout.columns[index].presence != .all else { return [] }
    var result = [Bool](repeating: false, count: count)
    forEachPresent(layout.columns[index]) { row, _ in result[row] = true }
    return result
  }
}
