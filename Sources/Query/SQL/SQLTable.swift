import Aggregates
import Events
import Expressions
import Views

/// A view as a statement sees it: bounds of the rows that the statement may need and, once read, those rows.
///
/// Belongs to one `SQLSession`, and so to one thread at a time.
final class SQLTable {
  let definition: ViewDefinition
  let generation: Int
  let schema: ViewSchema
  /// Every plan that SQLite was offered for a scan; SQLite names the one it took by number.
  private(set) var plans: [SQLPlan] = []
  /// The rows that all of the statement's scans together need; nil while it scans the view nowhere.
  private(set) var wanted: SQLBounds?
  private(set) var rows: SQLRows?
  /// SQLite asks it about the statement, and about the table's own declaration.
  weak var guardian: SQLGuardian?

  init(_ definition: ViewDefinition, generation: Int) {
    self.definition = definition
    self.generation = generation
    schema = definition.schema
  }

  /// - Returns: The plan's number.
  func offer(_ plan: SQLPlan) -> Int {
    plans.append(plan)
    return plans.count - 1
  }

  /// Adds one scan of the statement, by the plan that SQLite took for it.
  func want(plan number: Int) {
    guard plans.indices.contains(number) else { return }
    wanted = wanted.map { $0.union(plans[number].bounds) } ?? plans[number].bounds
  }

  func load(_ rows: PartialRows, finality: Finality) {
    self.rows = SQLRows(rows, finality: finality, table: self)
  }

  /// Whether a time of a row may have a fraction of a second.
  var hasFractions: Bool {
    !definition.window.isAligned(to: 1_000_000_000) || hasEventTimes
  }

  /// Keys and aggregates whose values are events' times: `last(time)`.
  private var hasEventTimes: Bool { schema.columns.contains { $0.role != .window && $0.type == .timestamp } }

  func isTime(_ column: Int) -> Bool { schema.columns.indices.contains(column) && schema.columns[column].type == .timestamp }

  /// The columns' declaration for SQLite.
  ///
  /// The first word of a type is `ColumnType`'s name for it, and the second gives it the affinity under which SQLite
  /// compares values unchanged: TEXT for text, none for columns of any kind.
  var declaration: String { "CREATE TABLE x(\(columnDeclarations))" }

  var columnDeclarations: String {
    let columns = schema.columns.map { column in
      let type =
        switch column.type {
        case .timestamp: "TIMESTAMP TEXT COLLATE \(SQLTime.collation)"
        case .boolean: "BOOLEAN INT"
        case .int64: "INT64"
        case .uint64: "UINT64"
        case .double: "DOUBLE"
        case .string: "STRING TEXT"
        case .null, .any: "ANY BLOB"
        }
      // Names are letters, digits and _, but may be keywords.
      return "\"\(column.name)\" \(type)"
    }
    return columns.joined(separator: ", ")
  }
}

/// A view's merged rows, as a table's.
final class SQLRows {
  /// The rows that are put into an index between two looks at the clock.
  private static let indexStretch = 1024

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

  /// - Parameter keys: The row's keys, decoded once for all its columns.
  func value(row: Int, column: Int, keys: [ResultValue]) -> ResultValue {
    switch column {
    case 0: return .time(Timestamp(nanoseconds: rows.windowStarts[row]))
    case 1: return .time(Timestamp(nanoseconds: rows.windowEnds[row]))
    case 2: return .bool(finality.isFinal(row, of: rows))
    case ..<(3 + keyCount): return column - 3 < keys.count ? keys[column - 3] : .null
    default: return rows.withState(row) { layout.value(of: column - 3 - keyCount, in: $0) }
    }
  }

  /// Rows whose columns may equal these values: all that do, and perhaps some that do not.
  /// - Parameter mayContinue: Called from time to time while an index is made.
  /// - Returns: Nil when it may not go on.
  func rows(where columns: [Int], are values: [SQLBucket], while mayContinue: () -> Bool) -> [Int]? {
    if let index = indexes[columns] { return index[values] ?? [] }
    var index: [[SQLBucket]: [Int]] = [:]
    for row in 0..<rows.count {
      guard row % SQLRows.indexStretch > 0 || mayContinue() else { return nil }
      let keys = columns.contains { $0 >= 3 } ? rows.keys(row) : []
      index[columns.map { SQLBucket(value(row: row, column: $0, keys: keys)) }, default: []].append(row)
    }
    indexes[columns] = index
    return index[values] ?? []
  }
}

/// The common bucket of values that SQLite may find equal: a text that reads as a number shares its bucket with that
/// number, since affinity may turn one into the other, and a time with its instant.
enum SQLBucket: Hashable {
  case null
  case bool(Bool)
  case number(Double)
  case time(Int64)
  case text([UInt8])
  /// Bytes that no view has.
  case other

  init(_ value: ResultValue) {
    switch value {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .number(Double(value))
    case .uint(let value): self = .number(Double(value))
    case .double(let value): self = .number(value)
    case .time(let value): self = .time(value.nanoseconds)
    case .string(let text): self.init(text: text)
    }
  }

  init(text: String) {
    let trimmed = text.utf8.drop { [0x20, 0x09, 0x0A, 0x0B, 0x0C, 0x0D].contains($0) }
    if let first = trimmed.first, (0x30...0x39).contains(first) || [0x2B, 0x2D, 0x2E].contains(first),
      let number = Double(
        String(decoding: trimmed.filter { ![0x20, 0x09, 0x0A, 0x0B, 0x0C, 0x0D].contains($0) }, as: UTF8.self)), number.isFinite
    {
      self = .number(number)
    } else {
      self = .text(Array(text.utf8))
    }
  }
}

/// The form of a boolean in SQL, in a column of any kind: SQLite has no booleans, and as a number `true` would be one value with
/// 1.
///
/// Two blobs, `1` and `0`: different from every number and text, and yet true and false in conditions. The function `bool` makes
/// them.
enum SQLBoolean {
  static func byte(_ value: Bool) -> UInt8 { value ? 0x31 : 0x30 }

  static func value(_ blob: UnsafeRawBufferPointer) -> Bool? {
    guard blob.count == 1 else { return nil }
    return blob[0] == 0x31 ? true : blob[0] == 0x30 ? false : nil
  }
}
