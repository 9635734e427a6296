import Aggregates
import Events
import Expressions
import Views

/// Writes rows of a query's result, each as its format has it.
struct RowText: Sendable {
  let format: OutputFormat
  private let layout: StateLayout
  private let finality: Finality
  private let keyCount: Int
  private let labels: ColumnLabels
  /// Most rows share a window with the row before.
  private var startText = TimeText()
  private var endText = TimeText()

  init(_ query: ViewQuery, _ finality: Finality, _ format: OutputFormat) {
    self.format = format
    self.finality = finality
    layout = query.definition.layout
    keyCount = query.columns.count { $0.role == .key }
    labels = query.labels
  }

  /// The line of column names; none but in CSV.
  static func header(_ query: ViewQuery, _ format: OutputFormat) -> [UInt8] {
    guard format == .csv else { return [] }
    var line: [UInt8] = []
    for (index, column) in query.columns.enumerated() {
      if index > 0 { line.append(0x2C) }
      CSVText.append(column.name, to: &line)
    }
    return line + CSVText.lineEnd
  }

  /// Appends a row: of CSV and NDJSON with its line's end.
  mutating func append(_ row: Int, of rows: PartialRows, to output: inout [UInt8]) {
    if format == .csv { return appendCSV(row, of: rows, to: &output) }
    appendJSON(row, of: rows, to: &output)
    if format == .ndjson { output.append(0x0A) }
  }

  private mutating func appendJSON(_ row: Int, of rows: PartialRows, to output: inout [UInt8]) {
    output.append(contentsOf: #"{"window_start":""#.utf8)
    startText.append(rows.windowStarts[row], to: &output)
    output.append(contentsOf: #"","window_end":""#.utf8)
    endText.append(rows.windowEnds[row], to: &output)
    let isFinal = finality.isFinal(row, of: rows)
    output.append(contentsOf: (isFinal ? #"","final":true"# : #"","final":false"#).utf8)
    RowText.appendMembers(row, of: rows, keyCount, labels, layout, to: &output)
    output.append(0x7D)
  }

  /// Apart, so that what a row needs of the text is counted as in use once a row, not once a value.
  private static func appendMembers(
    _ row: Int, of rows: PartialRows, _ keyCount: Int, _ labels: ColumnLabels, _ layout: StateLayout, to output: inout [UInt8]
  ) {
    let keys = keyCount == 0 ? [] : rows.keys(row)
    for index in 0..<keyCount {
      labels.append(index, to: &output)
      if index < keys.count { keys[index].writeJSON(to: &output) } else { ResultValue.null.writeJSON(to: &output) }
    }
    rows.withState(row) { state in
      for index in keyCount..<labels.count {
        labels.append(index, to: &output)
        layout.value(of: index - keyCount, in: state).writeJSON(to: &output)
      }
    }
  }

  private mutating func appendCSV(_ row: Int, of rows: PartialRows, to output: inout [UInt8]) {
    startText.append(rows.windowStarts[row], to: &output)
    output.append(0x2C)
    endText.append(rows.windowEnds[row], to: &output)
    let isFinal = finality.isFinal(row, of: rows)
    output.append(contentsOf: (isFinal ? ",true" : ",false").utf8)
    let keys = keyCount == 0 ? [] : rows.keys(row)
    for index in 0..<keyCount {
      output.append(0x2C)
      CSVText.append(index < keys.count ? keys[index] : .null, to: &output)
    }
    rows.withState(row) { [layout, labels, keyCount] state in
      for index in keyCount..<labels.count {
        output.append(0x2C)
        CSVText.append(layout.value(of: index - keyCount, in: state), to: &output)
      }
    }
    output.append(contentsOf: CSVText.lineEnd)
  }
}

/// What stands in JSON before each key and aggregate: `,"temp_avg":`; one after the other, so that none is an object of its own.
struct ColumnLabels: Sendable {
  private var bytes: [UInt8] = []
  private var ends: [Int] = []

  init(_ columns: [SchemaColumn]) {
    for column in columns.dropFirst(ViewSchema.reservedNames.count) {
      bytes.append(0x2C)
      JSONValue.writeString(column.name, to: &bytes)
      bytes.append(0x3A)
      ends.append(bytes.count)
    }
  }

  var count: Int { ends.count }

  @inline(__always) func append(_ index: Int, to output: inout [UInt8]) {
    let start = index == 0 ? 0 : ends[index - 1]
    bytes.withUnsafeBufferPointer { output.append(contentsOf: UnsafeBufferPointer(rebasing: $0[start..<ends[index]])) }
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
