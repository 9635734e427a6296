import Expressions

/// The functions of aggregates. docs/views.md gives each one's exactness.
public enum AggregateFunction: Sendable, Hashable {
  /// `count()`: events. Exact.
  case countRows
  /// `count(x)`: events in which x is there and not null. Exact.
  case count
  /// The exact sum, rounded once; see `ExactSum`.
  case sum
  /// The exact sum, rounded once, over the exact count.
  case avg
  case min
  case max
  /// The sample's variance, over n − 1; see `ExactVariance`.
  case variance
  /// The square root of `variance`.
  case stddev
  /// The value with the smallest event time; see `TimedValue`. Exact.
  case first
  /// The value with the largest event time; see `TimedValue`. Exact.
  case last
  /// The value at `q` of the sorted values, 0...1: relative error at most 1 %; see `QuantileSketch`.
  case quantile(Double)
  /// Distinct values: exact up to 1,024, then standard error 0.81 %; see `DistinctSketch`.
  case countDistinct
  /// Increase of a counter per second; see `CounterRate`.
  case rate

  public var name: String {
    switch self {
    case .countRows, .count: "count"
    case .sum: "sum"
    case .avg: "avg"
    case .min: "min"
    case .max: "max"
    case .variance: "variance"
    case .stddev: "stddev"
    case .first: "first"
    case .last: "last"
    case .quantile: "quantile"
    case .countDistinct: "count_distinct"
    case .rate: "rate"
    }
  }

  public var resultType: ColumnType {
    switch self {
    case .countRows, .count, .countDistinct: .int64
    case .sum, .avg, .min, .max, .variance, .stddev, .quantile, .rate: .double
    case .first, .last: .any
    }
  }

  /// Whether the argument must be a number; else it is any JSON scalar.
  package var takesNumbers: Bool {
    switch self {
    case .countRows, .count, .countDistinct, .first, .last: false
    case .sum, .avg, .min, .max, .variance, .stddev, .quantile, .rate: true
    }
  }

  package static let names = [
    "count", "sum", "avg", "min", "max", "stddev", "variance", "first", "last", "quantile", "count_distinct", "rate",
  ]

  /// The function of this name; nil when there is none.
  /// - Parameter quantile: The second argument of `quantile`.
  package init?(name: String, quantile: Double?) {
    switch name {
    case "count": self = .count
    case "sum": self = .sum
    case "avg": self = .avg
    case "min": self = .min
    case "max": self = .max
    case "variance": self = .variance
    case "stddev": self = .stddev
    case "first": self = .first
    case "last": self = .last
    case "count_distinct": self = .countDistinct
    case "rate": self = .rate
    case "quantile":
      guard let quantile else { return nil }
      self = .quantile(quantile)
    default: return nil
    }
  }
}
