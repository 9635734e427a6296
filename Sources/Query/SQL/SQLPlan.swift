import CSQLite
import Events
import Expressions
import Views

/// One way to scan a view that SQLite was offered: the columns looked up by an index, and the rows needed from the store.
///
/// Every condition that a plan uses is one of its arguments, so SQLite knows the plan's dependencies before the scan
/// begins, and takes no plan where a condition does not hold, as in an outer join over the rows of its left side.
struct SQLPlan {
  /// The columns whose values are given for each scan, in the order of the arguments.
  var columns: [Int] = []
  /// The bounds by conditions with constants.
  var bounds = SQLBounds()
}

/// The rows of a view that a scan needs.
struct SQLBounds: Hashable {
  /// On `window_start`, inclusive; nanoseconds.
  private(set) var from: Int64?
  /// Exclusive.
  private(set) var to: Int64?
  /// The UTF-8 of texts that key columns equal, by the column's name.
  private(set) var keys: [UTF8Text: [UInt8]] = [:]

  /// Bounds that include the rows of both.
  func union(_ other: SQLBounds) -> SQLBounds {
    var result = SQLBounds()
    if let a = from, let b = other.from { result.from = min(a, b) }
    if let a = to, let b = other.to { result.to = max(a, b) }
    result.keys = keys.filter { other.keys[$0.key] == $0.value }
    return result
  }

  /// Whether these bounds include the rows of the others.
  func contains(_ other: SQLBounds) -> Bool { union(other) == self }

  /// Whether no row lies within the bounds.
  var isEmpty: Bool { if let from, let to { from >= to } else { false } }

  /// `source == "a" && site == "b"`
  func condition(_ schema: ViewSchema) -> Expression? {
    guard !keys.isEmpty else { return nil }
    let terms = keys.sorted { $0.key < $1.key }.map { name, text in
      "\(ValuePath.attribute(name.string).expressionText) == \(JSONValue.string(String(decoding: text, as: UTF8.self)).text)"
    }
    // A text that the language cannot spell is left for SQLite to compare.
    return try? Expression(parsing: terms.joined(separator: " && "), scope: schema.keys.scope)
  }

  /// Narrows the bounds by a condition between a column and a constant text.
  /// - Returns: Whether the condition bounds the rows to read.
  mutating func narrow(_ column: Int, _ operation: Int32, _ text: [UInt8], _ schema: ViewSchema) -> Bool {
    if column == 0 {
      guard let time = text.withUnsafeBytes({ SQLTime.nanoseconds($0) }) else { return false }
      let next = time == .max ? time : time + 1
      switch operation {
      case SQLITE_INDEX_CONSTRAINT_EQ:
        from = max(from ?? .min, time)
        if time < .max { to = min(to ?? .max, next) }
      case SQLITE_INDEX_CONSTRAINT_GE: from = max(from ?? .min, time)
      case SQLITE_INDEX_CONSTRAINT_GT: from = max(from ?? .min, next)
      case SQLITE_INDEX_CONSTRAINT_LT: to = min(to ?? .max, time)
      case SQLITE_INDEX_CONSTRAINT_LE: if time < .max { to = min(to ?? .max, next) }
      default: return false
      }
      return true
    }
    guard operation == SQLITE_INDEX_CONSTRAINT_EQ, schema.columns.indices.contains(column),
      case let column = schema.columns[column],
      column.role == .key, column.type == .string
    else { return false }
    keys[UTF8Text(column.name)] = text
    return true
  }
}
