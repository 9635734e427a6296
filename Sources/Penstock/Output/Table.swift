/// Rows of text under headings, as a table for people, JSON or CSV.
struct Table: Hashable, Sendable {
  struct Column: Hashable, Sendable {
    var name: String
    /// Numbers are aligned right.
    var isNumber: Bool

    init(_ name: String, isNumber: Bool = false) {
      self.name = name
      self.isNumber = isNumber
    }
  }

  var columns: [Column]
  /// One cell a column. Cells are values, so that JSON keeps their types.
  var rows: [[RawJSON]] = []

  init(_ columns: [Column]) { self.columns = columns }

  mutating func append(_ row: [RawJSON]) {
    precondition(row.count == columns.count, "a row has a cell for every column")
    rows.append(row)
  }

  /// Columns set apart by two spaces, no trailing spaces; headings are bold where `color` is set.
  func rendered(color: Bool = false) -> String {
    let cells = rows.map { $0.map { visible($0.cell) } }
    let widths = columns.indices.map { index in
      max(displayWidth(columns[index].name), cells.map { displayWidth($0[index]) }.max() ?? 0)
    }
    let heading = line(columns.map { visible($0.name) }, widths)
    var out = (color ? "\u{1B}[1m\(heading)\u{1B}[0m" : heading) + "\n"
    for row in cells { out += line(row, widths) + "\n" }
    return out
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    var out = ""
    for index in cells.indices {
      let space = String(repeating: " ", count: widths[index] - displayWidth(cells[index]))
      if index > 0 { out += "  " }
      if columns[index].isNumber {
        out += space + cells[index]
      } else {
        out += index == cells.count - 1 ? cells[index] : cells[index] + space
      }
    }
    while out.last == " " { out.removeLast() }
    return out
  }

  /// RFC 4180: a heading, CRLF after every record, quotes where needed.
  func csv() -> String { csvHeading() + rows.map(csvRecord).joined() }

  func csvHeading() -> String { csvRecord(columns.map { .string($0.name) }) }

  func csvRecord(_ row: [RawJSON]) -> String { row.map { csvField($0.cell) }.joined(separator: ",") + "\r\n" }

  /// An array of objects, one a line.
  func json() -> String {
    guard !rows.isEmpty else { return "[]\n" }
    let objects = rows.map { row in
      RawJSON.object(zip(columns, row).map { RawJSON.Member(name: $0.name, value: $1) }).text
    }
    return "[\n" + objects.joined(separator: ",\n") + "\n]\n"
  }

  func text(_ format: OutputFormat, color: Bool = false) -> String {
    switch format {
    case .table: rendered(color: color)
    case .json: json()
    case .csv: csv()
    }
  }
}

/// Quoted where it holds a quote, a comma, or a line's end. Source: RFC 4180, 2.
func csvField(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: { $0 == "\"" || $0 == "," || $0 == "\n" || $0 == "\r" }) else { return text }
  return "\"" + text.replacing("\"", with: "\"\"") + "\""
}

/// Text for a terminal: control characters, which could move its cursor or worse, are shown as U+FFFD.
private func visible(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
  return String(
    String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
}

/// The cells of a terminal that a text takes: one a character, two for East Asian wide ones and emoji.
func displayWidth(_ text: String) -> Int {
  if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
  return text.reduce(0) { width, character in
    guard let scalar = character.unicodeScalars.first else { return width }
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
      0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
      return width + 2
    case _ where scalar.properties.generalCategory == .format || scalar.properties.generalCategory == .nonspacingMark:
      return width
    default: return width + 1
    }
  }
}
