import Events
import Expressions

extension AggregateFunction {
  public static let countDistinct = AggregateFunction(
    "count_distinct", .scalar, exactness: "exact up to 1,024 values, then standard error 0.81 %", emptyResult: "0",
    cells: [DistinctSketch.self], type: { _ in .int64 }, result: { cell, _, _ in .int(DistinctSketch.count(tail: cell.tail)) })
}

extension DistinctSketch: BlockCell {
  static var tailWordsMax: Int { denseWords }

  static func fold(_ fold: CellFold, _ values: ValueVector, _ arena: inout StateArena) -> Int {
    fold.forEachValue(values) { cell, _, kind, bits in
      guard let hash = hash(kind, bits, fold.strings) else { return false }
      add(cell, hash: hash, &arena)
      return true
    }
  }
}
