/// The aggregates of this version. docs/views.md says how exact each is.
public enum AggregateFunction: Sendable, Hashable, CaseIterable {
  /// `count()`: events.
  case countRows
  /// `count(x)`: events for which x is there and not null.
  case count
  case sum
  case avg
  case min
  case max

  public var name: String {
    switch self {
    case .countRows, .count: "count"
    case .sum: "sum"
    case .avg: "avg"
    case .min: "min"
    case .max: "max"
    }
  }

  public var resultType: ColumnType {
    switch self {
    case .countRows, .count: .int64
    case .sum, .avg, .min, .max: .double
    }
  }

  static let builtNames = ["count", "sum", "avg", "min", "max"]
  /// In the contract, not in this version.
  static let laterNames = ["stddev", "variance", "first", "last", "quantile", "count_distinct", "rate"]
}
