import Events
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

extension ExactVariance: StateCell {
  static var tailWordsMax: Int { wideWords }

  static func fold(_ fold: CellFold, _ values: ValueVector, _ arena: inout StateArena) -> Int {
    fold.forEachNumber(values) { cell, _, value in add(cell, value, &arena) }
  }

  static func tailWords(_ state: UnsafePointer<UInt64>) -> Int {
    state[3] < flag ? 0 : Int(truncatingIfNeeded: state[0])
  }

  static func appendTail(
    of state: UnsafePointer<UInt64>, _ arena: borrowing StateArena, to output: inout [UInt64], at place: Int
  ) {
    guard state[3] >= flag else { return }
    let (row, isWide) = canonical(state, arena)
    (output[place], output[place + 1], output[place + 2], output[place + 3]) = row
    guard isWide else { return }
    output.append(contentsOf: UnsafeBufferPointer(start: arena.block(state[0]) + StateArena.headerWords, count: wideWords))
  }

  static func release(_ state: UnsafePointer<UInt64>, _ arena: inout StateArena) {
    if state[3] >= flag { arena.release(state[0]) }
  }
}
