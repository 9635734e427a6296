import Events
import Expressions

extension AggregateFunction {
  public static let min = AggregateFunction(
    "min", .number, exactness: exactnessOfExtreme, cells: [Least.self], type: typeOfExtreme,
    result: { cell, _, type in ExtremeNumber.value(cell, isInteger: type.isInteger) })

  public static let max = AggregateFunction(
    "max", .number, exactness: exactnessOfExtreme, cells: [Greatest.self], type: typeOfExtreme,
    result: { cell, _, type in ExtremeNumber.value(cell, isInteger: type.isInteger) })

  private static let exactnessOfExtreme =
    "exact of `sequence`, `epoch` and `size(…)`, and an integer; of all else the nearest double, −0 as 0"
  private static let typeOfExtreme: @Sendable (ColumnType) -> ColumnType = { $0.isInteger ? $0 : .double }
}

enum Least: ExtremeCell {
  static var isLeast: Bool { true }
}

enum Greatest: ExtremeCell {
  static var isLeast: Bool { false }
}

/// See `ExtremeNumber`.
protocol ExtremeCell: StateCell {
  static var isLeast: Bool { get }
}

extension ExtremeCell {
  static var words: Int { 1 }
  static var tailWordsMax: Int { 1 }
  /// +∞ (least) or −∞ (greatest) while there is none.
  static var initialWord: UInt64 { (isLeast ? Double.infinity : -Double.infinity).bitPattern }

  @inline(__always) static func fold(_ fold: CellFold, _ values: ValueVector, _ arena: inout StateArena) -> Int {
    ExtremeNumber.fold(fold, values, isLeast: isLeast, &arena)
  }

  static func merge(
    _ state: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>,
    _ arena: inout StateArena
  ) { ExtremeNumber.merge(state, other, tail, isLeast: isLeast, &arena) }

  static func tailWords(_ state: UnsafePointer<UInt64>) -> Int { ExtremeNumber.isInteger(state[0]) ? 1 : 0 }

  static func appendTail(
    of state: UnsafePointer<UInt64>, _ arena: borrowing StateArena, to output: inout [UInt64], at place: Int
  ) {
    guard ExtremeNumber.isInteger(state[0]) else { return }
    output.append(ExtremeNumber.bits(state[0], arena))
    output[place] = ExtremeNumber.canonical(state[0])
  }

  static func release(_ state: UnsafePointer<UInt64>, _ arena: inout StateArena) { ExtremeNumber.release(state[0], &arena) }

  static func isValid(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> Bool {
    ExtremeNumber.isValid(state[0], tail: tail)
  }
}
