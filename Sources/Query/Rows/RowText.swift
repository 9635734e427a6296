import Aggregates
import Events
import Expressions
import Views

/// Writes rows of a query's result in its format.
struct RowText: Sendable {
  let format: RowFormat
  private let layout: StateLayout
  private let finality: Finality
  private let keyCount: Int
  private let labels: ColumnLabels
  private let marks: RowFormat.WindowMarks
  /// Most rows share a window with the previous row.
  private var startText = TimeText()
  private var endText = TimeText()

  init(_ query: ViewQuery, _ finality: Finality, _ format: RowFormat) {
    self.format = format
    self.finality = finality
    layout = query.definition.layout
    keyCount = query.columns.count { $0.role == .key }
    labels = query.labels
    marks = format.windowMarks
  }

  /// Appends a row, with its end.
  mutating func append(_ row: Int, of rows: PartialRows, to output: inout [UInt8]) {
    output.append(contentsOf: marks.start)
    startText.append(rows.windowStarts[row], to: &output)
    output.append(contentsOf: marks.end)
    endText.append(rows.windowEnds[row], to: &output)
    output.append(contentsOf: marks.final)
    output.append(contentsOf: (finality.isFinal(row, of: rows) ? "true" : "false").utf8)
    RowText.appendMembers(row, of: rows, keyCount, labels, layout, format, to: &output)
    format.endRow(&output)
  }

  /// A function of its own, so that references to the text are counted once a row, not once a value.
  private static func appendMembers(
    _ row: Int, of rows: PartialRows, _ keyCount: Int, _ labels: ColumnLabels, _ layout: StateLayout, _ format: RowFormat,
    to output: inout [UInt8]
  ) {
    let keys = keyCount == 0 ? [] : rows.keys(row)
    for index in 0..<keyCount {
      format.append(label: index, of: labels, to: &output)
      format.append(index < keys.count ? keys[index] : .null, to: &output)
    }
    rows.withState(row) { state in
      for index in keyCount..<labels.count {
        format.append(label: index, of: labels, to: &output)
        format.append(layout.value(of: index - keyCount, in: state), to: &output)
      }
    }
  }
}

/// The JSON text before each key and aggregate: `,"temp_avg":`; back to back in one array, so that none is an object of its own.
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
