import Expressions

extension AggregateFunction {
  public static let variance = AggregateFunction(
    "variance", .number, exactness: exactnessOfVariance, emptyResult: "null, of one value too",
    cells: [ExactSum.self, ExactVariance.self], type: { _ in .double },
    result: { squares, sum, _ in .number(ExactVariance.value(sum: sum, squares: squares)) })

  public static let stddev = AggregateFunction(
    "stddev", .number, exactness: exactnessOfVariance, emptyResult: "null, of one value too",
    cells: [ExactSum.self, ExactVariance.self], type: { _ in .double },
    result: { squares, sum, _ in .number(ExactVariance.value(sum: sum, squares: squares)?.squareRoot()) })

  private static let exactnessOfVariance =
    "of the sample (n − 1, as SQL's `VAR_SAMP`); from exact sums, within 4 units in the last place"
}
