import Events
import Expressions
import Views

/// The format of an answer's rows: it gives the text between and around their values. A further format is a case here.
enum RowFormat: String, Sendable, CaseIterable {
  case json, csv, ndjson

  var contentType: String {
    switch self {
    case .json: "application/json"
    case .csv: "text/csv; charset=utf-8; header=present"
    case .ndjson: "application/x-ndjson"
    }
  }

  private var mediaTypes: [String] {
    switch self {
    case .json: ["application/json", "application/*", "*/*"]
    case .csv: ["text/csv", "text/*"]
    case .ndjson: ["application/x-ndjson", "application/ndjson"]
    }
  }

  /// Whether rows lie within a JSON object, whose other members describe them; else rows stand alone, and headers describe them.
  var isDocument: Bool {
    switch self {
    case .json: true
    case .csv, .ndjson: false
    }
  }

  /// Whether a row names its columns; else the head does, and there are no values within values.
  var isNamed: Bool {
    switch self {
    case .json, .ndjson: true
    case .csv: false
    }
  }

  /// The text before the first row.
  func head(of names: [String]) -> [UInt8] {
    guard !isNamed else { return [] }
    var line: [UInt8] = []
    for (index, name) in names.enumerated() {
      if index > 0 { line.append(0x2C) }
      CSVText.append(name, to: &line)
    }
    return line + CSVText.lineEnd
  }

  /// The text before each column's value.
  func labels(of names: [String]) -> [[UInt8]] {
    names.enumerated().map { index, name in
      guard isNamed else { return index == 0 ? [] : [0x2C] }
      var label: [UInt8] = [index == 0 ? 0x7B : 0x2C]
      JSONValue.writeString(name, to: &label)
      label.append(0x3A)
      return label
    }
  }

  /// The texts before the first three columns of a view: its window, and whether that is final. They need no escapes.
  struct WindowMarks: Sendable {
    let start, end, final: [UInt8]

    static let named = WindowMarks(
      start: Array(#"{"window_start":""#.utf8), end: Array(#"","window_end":""#.utf8), final: Array(#"","final":"#.utf8))
    static let bare = WindowMarks(start: [], end: [0x2C], final: [0x2C])
  }

  var windowMarks: WindowMarks { isNamed ? .named : .bare }

  /// Appends the text before one of a view's further columns.
  @inline(__always) func append(label index: Int, of labels: ColumnLabels, to output: inout [UInt8]) {
    if isNamed { labels.append(index, to: &output) } else { output.append(0x2C) }
  }

  @inline(__always) func append(_ value: ResultValue, to output: inout [UInt8]) {
    if isNamed { value.writeJSON(to: &output) } else { CSVText.append(value, to: &output) }
  }

  func append(_ value: JSONValue, to output: inout [UInt8]) {
    guard !isNamed else { return value.write(to: &output) }
    switch value {
    case .null: break
    case .string(let text): CSVText.append(text, to: &output)
    case .bool, .int, .double, .number, .array, .object: CSVText.append(value.text, to: &output)
    }
  }

  @inline(__always) func endRow(_ output: inout [UInt8]) {
    switch self {
    case .json: output.append(0x7D)
    case .csv: output.append(contentsOf: CSVText.lineEnd)
    case .ndjson:
      output.append(0x7D)
      output.append(0x0A)
    }
  }

  /// Appends the text between two rows that `endRow` ended.
  @inline(__always) func separateRows(_ output: inout [UInt8]) {
    switch self {
    case .json: output.append(0x2C)
    case .csv, .ndjson: break
    }
  }

  /// The byte after each of several whole JSON objects.
  var objectSeparator: UInt8 { isDocument ? 0x2C : 0x0A }

  /// Rows of values, each with as many as there are names: head and all.
  func rows(_ names: [String], _ rows: some Sequence<[JSONValue]>) -> [UInt8] {
    let labels = labels(of: names)
    var output = head(of: names)
    for (number, row) in rows.enumerated() {
      if number > 0 { separateRows(&output) }
      for (label, value) in zip(labels, row) {
        output.append(contentsOf: label)
        append(value, to: &output)
      }
      endRow(&output)
    }
    return output
  }

  /// `format=` decides, else `Accept`, else JSON.
  /// - Parameter offered: The forms that this answer has; the first is the default.
  static func choose(
    _ parameter: String?, accept: String?, among offered: [RowFormat] = allCases
  ) throws(QueryFailure) -> RowFormat {
    if let parameter {
      guard let format = RowFormat(rawValue: parameter), offered.contains(format) else {
        let names = offered.map(\.rawValue).joined(separator: ", ")
        throw .parameter("format", "expected one of \(names), found '\(parameter.prefix(40))'")
      }
      return format
    }
    guard let accept, !accept.isEmpty, accept != "*/*", accept != "application/json" else { return offered[0] }
    var best: (format: RowFormat, quality: Double)?
    for range in accept.split(separator: ",") {
      let parts = range.split(separator: ";").map { $0.drop { $0 == " " || $0 == "\t" } }
      guard let first = parts.first else { continue }
      let type = String(first).lowercased().split(separator: " ").first.map(String.init) ?? ""
      var quality = 1.0
      for part in parts.dropFirst() where part.lowercased().hasPrefix("q=") {
        quality = Double(part.dropFirst(2).filter { $0 != " " }) ?? 0
      }
      guard quality > 0, let format = offered.first(where: { $0.mediaTypes.contains(type) }) else { continue }
      if quality > best?.quality ?? 0 { best = (format, quality) }
    }
    guard let best else {
      let types = offered.map { $0.mediaTypes[0] }.joined(separator: ", ")
      throw QueryFailure(406, "not_acceptable", "this is written as \(types), none of which 'Accept' takes")
    }
    return best.format
  }
}
