extension AggregateFunction {
  /// Every aggregate, in the order of the docs. A function that takes a constant is here with an example of it.
  public static let all: [AggregateFunction] = [
    .countRows, .count, .sum, .avg, .min, .max, .variance, .stddev, .first, .last, .quantile(0.5), .countDistinct, .rate,
  ]
}
