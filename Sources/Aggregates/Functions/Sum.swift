import Events
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

extension ExactSum: StateCell {
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
