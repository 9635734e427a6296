import Expressions

extension AggregateFunction {
  /// - Parameter q: 0...1.
  public static func quantile(_ q: Double) -> AggregateFunction {
    AggregateFunction(
      "quantile", .number,
      exactness: "relative error at most 1 % of the value at rank q · (n − 1); the smallest and largest value are exact",
      constant: q, constants: (bounds: 0...1, name: "q", meaning: "which quantile of it", example: "0.95"),
      made: { quantile($0) }, cells: [QuantileSketch.self],
      type: { _ in .double }, result: { cell, _, _ in .number(QuantileSketch.quantile(q, tail: cell.tail)) })
  }
}
