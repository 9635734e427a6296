import Expressions

extension AggregateFunction {
  public static let sum = AggregateFunction(
    "sum", .number, exactness: "the exact sum, rounded once", cells: [ExactSum.self], type: { _ in .double },
    result: { cell, _, _ in ExactSum.count(cell.words) > 0 ? .number(ExactSum.value(cell.words, tail: cell.tail)) : .null })

  public static let avg = AggregateFunction(
    "avg", .number, exactness: "the exact sum, rounded, over the exact count", cells: [ExactSum.self], type: { _ in .double },
    result: { cell, _, _ in
      let count = ExactSum.count(cell.words)
      return count > 0 ? .number(ExactSum.value(cell.words, tail: cell.tail) / Double(count)) : .null
    })
}
