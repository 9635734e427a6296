/// The type of a result's column, or of an expression.
public enum ColumnType: String, Sendable, Hashable {
  /// An RFC 3339 time in JSON.
  case timestamp
  case boolean
  case int64
  /// Integers from 0 to 2^64 − 1: `sequence` and `epoch`.
  case uint64
  case double
  case string
  /// Only ever null.
  case null
  /// Any JSON scalar: the rows decide. Key columns below `data` have this type.
  case any

  package var noun: String {
    switch self {
    case .timestamp: "time"
    case .boolean: "condition"
    case .int64, .uint64, .double: "number"
    case .string: "string"
    case .null: "null"
    case .any: "value"
    }
  }

  package var isNumber: Bool { isInteger || self == .double }
  package var isInteger: Bool { self == .int64 || self == .uint64 }
}
