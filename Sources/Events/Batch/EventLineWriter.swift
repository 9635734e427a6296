/// Writes batches' events as CloudEvents JSON, one a line, straight from the columns: what exports are made of.
///
/// Each line holds what `Event.writeJSON` writes. Strings are escaped once a batch, however many rows have them.
public struct EventLineWriter: ~Copyable {
  /// Batches of more values than this are written event by event: vectors of every column would not fit memory.
  private static let cellsMax = 4 << 20

  /// A column's values, one a row.
  private struct Cells {
    var vector = ValueVector()
    /// `,"name":` for attributes.
    var label: [UInt8] = []
  }

  /// A member of `data`, and what lies below it.
  private struct Member {
    var name: [UInt8]
    /// `"name":`
    var label: [UInt8]
    /// Columns of this very path, one a type.
    var columns: [Int] = []
    var members: [Member] = []
  }

  private var output = GrowableBuffer<UInt8>(capacity: 1 << 16)
  /// Escaped strings of the present batch, back to back.
  private var escaped = GrowableBuffer<UInt8>(capacity: 4096)
  /// Where each string code's escaped text lies; 0 ..< 0 until asked for.
  private var places: [(start: Int32, end: Int32)] = []
  private var scratch: [UInt8] = []

  public init() {}

  /// Bytes written since `removeAll`.
  public var byteCount: Int { output.count }

  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try body(UnsafeRawBufferPointer(start: output.base, count: output.count))
  }

  public mutating func removeAll() { output.removeAll(keepingAtMost: 16 << 20) }

  /// Appends the events of some rows.
  /// - Parameters:
  ///   - batch: Whose rows they are.
  ///   - rows: Within the batch's count.
  ///   - times: Events of other times are left out; nil takes all.
  /// - Returns: How many were written.
  public mutating func append(_ batch: ColumnBatch, _ rows: Range<Int>, times: Range<Int64>? = nil) -> Int {
    guard batch.layout.columns.count * batch.count <= EventLineWriter.cellsMax else { return appendSlowly(batch, rows, times) }
    escaped.removeAll(keepingAtMost: 1 << 20)
    places = Array(repeating: (0, 0), count: batch.layout.stringCount)

    let eventTimes = batch.times()
    let sources = batch.sourceCodes()
    var types = ValueVector(), subjects = ValueVector()
    batch.load(.attribute("type"), into: &types)
    batch.load(.attribute("subject"), into: &subjects)
    let sequences = batch.presentUnsigned(batch.layout.sequence), epochs = batch.presentUnsigned(batch.layout.epoch)
    let idPresence = batch.presence(batch.layout.id)
    var attributes: [(name: [UInt8], cells: Cells)] = []
    var data: [Cells] = []
    var root = Member(name: [], label: [])
    for column in batch.layout.columns where column.field == .data || column.field == .attribute {
      var cells = Cells()
      cells.vector.reset(to: .missing, count: batch.count)
      batch.fill(&cells.vector, column, kind: column.type.kind)
      let name = batch.withString(column.name) { Array($0) }
      if column.field == .attribute {
        cells.label = [0x2C] + EventLineWriter.quoted(name) + [0x3A]
        attributes.append((name, cells))
      } else {
        EventLineWriter.add(data.count, at: EventLineWriter.path(name), to: &root)
        data.append(cells)
      }
    }
    attributes.sort { $0.name.lexicographicallyPrecedes($1.name) }

    var written = 0
    for row in rows {
      if let times, !times.contains(eventTimes[row]) { continue }
      write("{\"specversion\":\"1.0\"")
      if idPresence.isEmpty ? batch.layout.id != nil : idPresence[row] {
        write(",\"id\":")
        batch.withID(ofRow: row) { writeQuoted($0) }
      }
      write(",\"source\":")
      writeString(Int(sources[row]), batch)
      write(",\"type\":")
      writeString(Int(types.bits[row]), batch)
      write(",\"time\":\"")
      writeTime(eventTimes[row])
      output.append(0x22)
      if subjects.kinds[row] == .string {
        write(",\"subject\":")
        writeString(Int(subjects.bits[row]), batch)
      }
      if let sequence = sequences[row] {
        write(",\"sequence\":")
        writeDecimal(sequence)
      }
      if let epoch = epochs[row] {
        write(",\"epoch\":")
        writeDecimal(epoch)
      }
      for attribute in attributes where attribute.cells.vector.kinds[row] != .missing {
        write(attribute.cells.label)
        writeValue(attribute.cells.vector, row, batch)
      }
      let start = output.count
      write(",\"data\":")
      if !writeMember(root, data, row, batch) { output.setCount(start) }
      write("}\n")
      written += 1
    }
    return written
  }

  private mutating func appendSlowly(_ batch: ColumnBatch, _ rows: Range<Int>, _ times: Range<Int64>?) -> Int {
    var written = 0
    for event in batch.events(rows) where times?.contains(event.time.nanoseconds) ?? true {
      scratch.removeAll(keepingCapacity: true)
      event.writeJSON(to: &scratch)
      scratch.append(0x0A)
      write(scratch)
      written += 1
    }
    return written
  }

  // MARK: members of data

  private static func path(_ name: [UInt8]) -> ArraySlice<ArraySlice<UInt8>> {
    // A path is each member's name with a zero byte before it.
    name.isEmpty ? [] : name.dropFirst().split(separator: 0, omittingEmptySubsequences: false)[...]
  }

  private static func add(_ column: Int, at path: ArraySlice<ArraySlice<UInt8>>, to member: inout Member) {
    guard let name = path.first else { return member.columns.append(column) }
    let index = member.members.firstIndex { $0.name.elementsEqual(name) } ?? member.members.count
    if index == member.members.count {
      member.members.append(Member(name: Array(name), label: quoted(Array(name)) + [0x3A]))
    }
    add(column, at: path.dropFirst(), to: &member.members[index])
  }

  /// Writes what a row has at or below a member; nothing, and says so, when it has nothing there.
  private mutating func writeMember(_ member: borrowing Member, _ data: [Cells], _ row: Int, _ batch: ColumnBatch) -> Bool {
    for column in member.columns where data[column].vector.kinds[row] != .missing {
      writeValue(data[column].vector, row, batch)
      return true
    }
    guard !member.members.isEmpty else { return false }
    let start = output.count
    output.append(0x7B)
    var isFirst = true
    for below in member.members {
      let mark = output.count
      if !isFirst { output.append(0x2C) }
      write(below.label)
      if writeMember(below, data, row, batch) { isFirst = false } else { output.setCount(mark) }
    }
    guard !isFirst else {
      output.setCount(start)
      return false
    }
    output.append(0x7D)
    return true
  }

  // MARK: values

  private mutating func writeValue(_ vector: borrowing ValueVector, _ row: Int, _ batch: ColumnBatch) {
    let bits = vector.bits[row]
    switch vector.kinds[row] {
    case .bool: if bits != 0 { write("true") } else { write("false") }
    case .int:
      let value = Int64(bitPattern: bits)
      if value < 0 { output.append(0x2D) }
      writeDecimal(value.magnitude)
    case .double:
      var text = Double(bitPattern: bits).description
      text.withUTF8 { output.append($0.baseAddress.unsafelyUnwrapped, count: $0.count) }
    case .string: writeString(Int(bits), batch)
    case .raw: writeString(Int(bits), batch, isRaw: true)
    default: write("null")
    }
  }

  /// Writes a string of the batch's table. A code is a string in all rows or raw in all: the two have columns of their own, and raw JSON
  /// that is also a string elsewhere is rare enough to be escaped each time.
  private mutating func writeString(_ code: Int, _ batch: ColumnBatch, isRaw: Bool = false) {
    if isRaw {
      scratch.removeAll(keepingCapacity: true)
      batch.rawValue(code).write(to: &scratch)
      write(scratch)
      return
    }
    var place = places[code]
    if place.end == 0 {
      scratch.removeAll(keepingCapacity: true)
      batch.withString(code) { JSONValue.writeString($0, to: &scratch) }
      place.start = Int32(escaped.count)
      scratch.withUnsafeBufferPointer { escaped.append($0.baseAddress.unsafelyUnwrapped, count: $0.count) }
      place.end = Int32(escaped.count)
      places[code] = place
    }
    output.append(escaped.base + Int(place.start), count: Int(place.end - place.start))
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
    for place in (output.count..<output.count + digits).reversed() {
      output[place] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    output.setCount(output.count + digits)
  }

  /// As `Timestamp.description`.
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
    for place in (output.count..<output.count + width).reversed() {
      output[place] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    output.setCount(output.count + width)
  }

  private static func quoted(_ bytes: [UInt8]) -> [UInt8] {
    var text: [UInt8] = []
    bytes.withUnsafeBytes { JSONValue.writeString($0, to: &text) }
    return text
  }
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
