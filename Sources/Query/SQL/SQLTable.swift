import Events
import Views

/// A view as a statement sees it: which of its rows the statement may need, and, once read, those rows.
///
/// Belongs to one `SQLSession`, and so to one thread at a time.
final class SQLTable {
  let definition: ViewDefinition
  let generation: Int
  let schema: ViewSchema
  /// Rows that all of the statement's scans together may need; nil while it names the view nowhere.
  private(set) var wanted: SQLBounds?
  private(set) var rows: SQLRows?
  /// Asked by SQLite about the statement, and about what the table itself declares.
  weak var guardian: SQLGuardian?

  init(_ definition: ViewDefinition, generation: Int) {
    self.definition = definition
    self.generation = generation
    schema = definition.schema
  }

  /// One scan's bounds, of which a plan that is chosen later may be made.
  func want(_ bounds: SQLBounds) {
    wanted = wanted.map { $0.union(bounds) } ?? bounds
  }

  func load(_ rows: PartialRows, finality: Finality) {
    self.rows = SQLRows(rows, finality: finality, table: self)
  }

  /// What SQLite is told of the columns.
  ///
  /// The first word of a type is what `ColumnType` calls it, and the second gives it the affinity under which SQLite compares values as
  /// they are: TEXT for text, none for what may be anything.
  var declaration: String {
    let columns = schema.columns.map { column in
      let type =
        switch column.type {
        case .timestamp: "TIMESTAMP TEXT COLLATE \(SQLTime.collation)"
        case .boolean: "BOOLEAN INT"
        case .int64: "INT64"
        case .double: "DOUBLE"
        case .string: "STRING TEXT"
        case .null, .any: "ANY BLOB"
        }
      // Names are letters, digits and _, but may be keywords.
      return "\"\(column.name)\" \(type)"
    }
    return "CREATE TABLE x(\(columns.joined(separator: ", ")))"
  }
}

/// Which rows of a view a scan needs.
struct SQLBounds: Hashable {
  /// On `window_start`, inclusive; nanoseconds.
  var from: Int64?
  /// Exclusive.
  var to: Int64?
  /// Key columns that equal a text, by name.
  var keys: [UTF8Text: UTF8Text] = [:]

  /// Bounds that hold the rows of both.
  func union(_ other: SQLBounds) -> SQLBounds {
    var result = SQLBounds()
    if let a = from, let b = other.from { result.from = min(a, b) }
    if let a = to, let b = other.to { result.to = max(a, b) }
    result.keys = keys.filter { other.keys[$0.key] == $0.value }
    return result
  }

  /// The bounds leave nothing.
  var isEmpty: Bool { if let from, let to { from >= to } else { false } }

  /// `source == "a" && site == "b"`
  func condition(_ schema: ViewSchema) -> Expression? {
    guard !keys.isEmpty else { return nil }
    let terms = keys.sorted { $0.key < $1.key }.map { name, text in "\(name) == \(JSONValue.string(text.string).text)" }
    // A key that is named like a word of the language, or a text it cannot spell, is left for SQLite to compare.
    return try? Expression(parsing: terms.joined(separator: " && "), scope: .columns(schema.keys))
  }
}

/// A view's merged rows, as a table's.
final class SQLRows {
  let rows: PartialRows
  private let finality: Finality
  private let layout: StateLayout
  private let keyCount: Int
  /// Row numbers by the buckets of some columns' values; made when a join first looks for them.
  private var indexes: [[Int]: [[SQLBucket]: [Int]]] = [:]

  init(_ rows: PartialRows, finality: Finality, table: SQLTable) {
    self.rows = rows
    self.finality = finality
    layout = table.definition.layout
    keyCount = table.definition.keys.count
  }

  /// - Parameter keys: The row's, decoded once for all its columns.
  func value(row: Int, column: Int, keys: [ResultValue]) -> ResultValue {
    switch column {
    case 0: return .time(Timestamp(nanoseconds: rows.windowStarts[row]))
    case 1: return .time(Timestamp(nanoseconds: rows.windowEnds[row]))
    case 2: return .bool(finality.isFinal(row, of: rows))
    case ..<(3 + keyCount): return column - 3 < keys.count ? keys[column - 3] : .null
    default: return rows.withState(row) { layout.value(of: column - 3 - keyCount, in: $0) }
    }
  }

  /// Rows of which these columns may equal these values: all that do, and perhaps some that do not.
  func rows(where columns: [Int], are values: [SQLBucket]) -> [Int] {
    if indexes[columns] == nil {
      var index: [[SQLBucket]: [Int]] = [:]
      for row in 0..<rows.count {
        let keys = columns.contains { $0 >= 3 } ? rows.keys(row) : []
        index[columns.map { SQLBucket(value(row: row, column: $0, keys: keys)) }, default: []].append(row)
      }
      indexes[columns] = index
    }
    return indexes[columns]?[values] ?? []
  }
}

/// What values that SQLite may find equal have in common: a text that reads as a number goes with that number, since affinity may turn one into
/// the other, and a time with its instant.
enum SQLBucket: Hashable {
  case null
  case number(Double)
  case time(Int64)
  case text(UTF8Text)

  init(_ value: ResultValue) {
    switch value {
    case .null: self = .null
    case .bool(let value): self = .number(value ? 1 : 0)
    case .int(let value): self = .number(Double(value))
    case .double(let value): self = .number(value)
    case .time(let value): self = .time(value.nanoseconds)
    case .string(let text): self.init(text: text)
    }
  }

  init(text: String) {
    let trimmed = text.drop { $0 == " " || $0 == "\t" || $0 == "\n" }
    if let time = SQLTime.nanoseconds(text) {
      self = .time(time)
    } else if let first = trimmed.utf8.first, (0x30...0x39).contains(first) || [0x2B, 0x2D, 0x2E].contains(first),
      let number = Double(trimmed.filter { $0 != " " })
    {
      self = .number(number)
    } else {
      self = .text(UTF8Text(text))
    }
  }
}

/// How times compare in SQL: as instants, whatever their offset or digits, and dates as their first one. What is no time compares as text.
enum SQLTime {
  static let collation = "penstock_time"

  static func nanoseconds(_ text: String) -> Int64? {
    // Most texts are none: look before parsing.
    let bytes = text.utf8
    guard bytes.count >= 10, let first = bytes.first, (0x30...0x39).contains(first) else { return nil }
    return Timestamp(rfc3339: bytes.count == 10 ? text + "T00:00:00Z" : text)?.nanoseconds
  }

  static func order(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int32 {
    if a.elementsEqual(b) { return 0 }
    if let x = nanoseconds(String(decoding: a, as: UTF8.self)), let y = nanoseconds(String(decoding: b, as: UTF8.self)) {
      return x < y ? -1 : x > y ? 1 : 0
    }
    return a.lexicographicallyPrecedes(b) ? -1 : 1
  }
}
