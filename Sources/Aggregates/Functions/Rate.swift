import Events
import Expressions

extension AggregateFunction {
  /// Increase of a counter per second; see `CounterRate`.
  public static let rate = AggregateFunction(
    "rate", .counter, exactness: "see below", emptyResult: "null, of fewer than two times too", cells: [CounterRate.self],
    type: { _ in .double }, result: { cell, _, _ in .number(CounterRate.value(tail: cell.tail)) })
}

extension CounterRate: BlockCell {
  static func fold(_ fold: CellFold, _ values: ValueVector, _ arena: inout StateArena) -> Int {
    fold.forEachNumber(values) { cell, row, value in add(cell, time: fold.batch.times[row], value: value, &arena) }
  }
}
