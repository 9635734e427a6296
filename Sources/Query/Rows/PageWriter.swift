import Events
import Views

/// Writes a page of rows, a piece at a time.
struct PageWriter: BodyPieces {
  /// Bytes of a piece, give or take a row.
  static let pieceBytes = 64 << 10

  private let rows: PartialRows
  /// Row numbers, in order.
  private let page: [Int]
  private let layout: StateLayout
  private let finality: Finality
  private let format: OutputFormat
  private let keyCount: Int
  /// What stands before each key and aggregate: `,"temp_avg":`, or a comma.
  private let labels: [[UInt8]]
  private var head: [UInt8]
  private let tail: [UInt8]
  /// Rows of the page.
  private var written = 0
  private var isDone = false
  /// Most rows share a window with the row before.
  private var startText = TimeText()
  private var endText = TimeText()

  /// - Parameters:
  ///   - head: What comes before the rows.
  ///   - tail: What comes after them.
  init(
    _ rows: PartialRows, page: [Int], query: ViewQuery, finality: Finality, format: OutputFormat, head: [UInt8], tail: [UInt8]
  ) {
    self.rows = rows
    self.page = page
    self.head = head
    self.tail = tail
    self.finality = finality
    self.format = format
    layout = query.definition.layout
    let named = query.columns.dropFirst(ViewSchema.reservedNames.count)
    keyCount = named.count { $0.role == .key }
    labels = named.map { column in
      var label: [UInt8] = [0x2C]
      guard format != .csv else { return label }
      JSONValue.writeString(column.name, to: &label)
      label.append(0x3A)
      return label
    }
  }

  /// The next piece; nil after the last.
  mutating func piece() -> [UInt8]? {
    guard !isDone else { return nil }
    var output = head
    head = []
    output.reserveCapacity(min(PageWriter.pieceBytes + 4096, output.count + (page.count - written) * 256 + tail.count))
    while written < page.count, output.count < PageWriter.pieceBytes {
      if format == .csv {
        writeCSV(page[written], to: &output)
      } else {
        if format == .json, written > 0 { output.append(0x2C) }
        writeJSON(page[written], to: &output)
        if format == .ndjson { output.append(0x0A) }
      }
      written += 1
    }
    if written == page.count {
      output.append(contentsOf: tail)
      isDone = true
    }
    return output
  }

  mutating func next() async -> [UInt8]? { piece() }

  private mutating func writeJSON(_ row: Int, to output: inout [UInt8]) {
    output.append(contentsOf: #"{"window_start":""#.utf8)
    startText.append(rows.windowStarts[row], to: &output)
    output.append(contentsOf: #"","window_end":""#.utf8)
    endText.append(rows.windowEnds[row], to: &output)
    let isFinal = finality.isFinal(partition: rows.partitions[row], windowEnd: rows.windowEnds[row])
    output.append(contentsOf: (isFinal ? #"","final":true"# : #"","final":false"#).utf8)
    let keys = keyCount == 0 ? [] : rows.keys(row)
    for index in 0..<keyCount {
      output.append(contentsOf: labels[index])
      guard index < keys.count else {
        ResultValue.null.writeJSON(to: &output)
        continue
      }
      if case .string(let text) = keys[index] {
        JSONValue.writeString(text, to: &output)
      } else {
        keys[index].writeJSON(to: &output)
      }
    }
    rows.withState(row) { state in
      for index in keyCount..<labels.count {
        output.append(contentsOf: labels[index])
        layout.value(of: index - keyCount, in: state).writeJSON(to: &output)
      }
    }
    output.append(0x7D)
  }

  private mutating func writeCSV(_ row: Int, to output: inout [UInt8]) {
    startText.append(rows.windowStarts[row], to: &output)
    output.append(0x2C)
    endText.append(rows.windowEnds[row], to: &output)
    let isFinal = finality.isFinal(partition: rows.partitions[row], windowEnd: rows.windowEnds[row])
    output.append(contentsOf: (isFinal ? ",true" : ",false").utf8)
    let keys = keyCount == 0 ? [] : rows.keys(row)
    for index in 0..<keyCount {
      output.append(0x2C)
      CSVText.append(index < keys.count ? keys[index] : .null, to: &output)
    }
    rows.withState(row) { state in
      for index in keyCount..<labels.count {
        output.append(0x2C)
        CSVText.append(layout.value(of: index - keyCount, in: state), to: &output)
      }
    }
    output.append(contentsOf: CSVText.lineEnd)
  }
}

/// The text of the last time written.
private struct TimeText: Sendable {
  private var time: Int64?
  private var text: [UInt8] = []

  mutating func append(_ time: Int64, to output: inout [UInt8]) {
    if self.time != time {
      text = Array(Timestamp(nanoseconds: time).description.utf8)
      self.time = time
    }
    output.append(contentsOf: text)
  }
}

/// RFC 4180.
enum CSVText {
  static let lineEnd: [UInt8] = [0x0D, 0x0A]

  /// A field, quoted where it must be. Null is empty and the empty string `""`, so that the two can be told apart.
  static func append(_ value: ResultValue, to output: inout [UInt8]) {
    if case .string(let text) = value {
      append(text, to: &output)
    } else {
      output.append(contentsOf: value.plainText.utf8)
    }
  }

  static func append(_ text: String, to output: inout [UInt8]) {
    guard text.isEmpty || text.utf8.contains(where: { $0 == 0x22 || $0 == 0x2C || $0 == 0x0D || $0 == 0x0A }) else {
      output.append(contentsOf: text.utf8)
      return
    }
    output.append(0x22)
    for byte in text.utf8 {
      if byte == 0x22 { output.append(0x22) }
      output.append(byte)
    }
    output.append(0x22)
  }
}
