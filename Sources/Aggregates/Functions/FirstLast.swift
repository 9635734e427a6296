import Events
import Expressions

extension AggregateFunction {
  /// The value with the smallest event time; see `TimedValue`.
  public static let first = AggregateFunction(
    "first", .scalar, exactness: exactnessOfTimed, cells: [FirstValue.self], type: { $0 },
    result: { cell, _, _ in TimedValue.value(cell.words, tail: cell.tail) })

  /// The value with the largest event time; see `TimedValue`.
  public static let last = AggregateFunction(
    "last", .scalar, exactness: exactnessOfTimed, cells: [LastValue.self], type: { $0 },
    result: { cell, _, _ in TimedValue.value(cell.words, tail: cell.tail) })

  private static let exactnessOfTimed = "exact: by event time, ties by offset; strings of at most 64 KiB"
}

enum FirstValue: TimedCell {
  static var isLast: Bool { false }
}

enum LastValue: TimedCell {
  static var isLast: Bool { true }
}

protocol TimedCell: StateCell {
  static var isLast: Bool { get }
}

extension TimedCell {
  static var words: Int { TimedValue.words }
  static var tailWordsMax: Int { TimedValue.stringBytesMax / 8 }

  @inline(__always) static func fold(_ fold: CellFold, _ values: ValueVector, _ arena: inout StateArena) -> Int {
    let first = UInt64(bitPattern: fold.batch.baseOffset.rawValue) &+ 1
    let isLast = isLast
    return fold.forEachValue(values) { cell, row, kind, bits in
      if kind == .double, !Double(bitPattern: bits).isFinite { return false }
      let time = fold.batch.times[row]
      let offset = first &+ UInt64(row)
      guard TimedValue.isBetter(cell, time: time, offset: offset, isLast: isLast) else { return true }
      guard kind == .string else {
        TimedValue.set(cell, time: time, offset: offset, kind: kind, bits: bits, string: nil, &arena)
        return true
      }
      var isShort = true
      fold.strings(Int(truncatingIfNeeded: bits)) { text in
        isShort = text.count <= TimedValue.stringBytesMax
        if isShort { TimedValue.set(cell, time: time, offset: offset, kind: .string, bits: 0, string: text, &arena) }
      }
      return isShort
    }
  }

  static func merge(
    _ state: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>,
    _ arena: inout StateArena
  ) { TimedValue.merge(state, other, tail: tail, isLast: isLast, &arena) }

  static func isValid(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> Bool {
    TimedValue.isValid(state, tail: tail)
  }

  static func tailWords(_ state: UnsafePointer<UInt64>) -> Int { Int(truncatingIfNeeded: state[4]) }

  static func appendTail(
    of state: UnsafePointer<UInt64>, _ arena: borrowing StateArena, to output: inout [UInt64], at place: Int
  ) {
    guard state[4] != 0 else { return }
    let count = TimedValue.tailWords(state)
    output.append(contentsOf: UnsafeBufferPointer(start: arena.block(state[4]) + StateArena.headerWords, count: count))
    output[place + 4] = UInt64(count)
  }

  static func release(_ state: UnsafePointer<UInt64>, _ arena: inout StateArena) {
    if state[4] != 0 { arena.release(state[4]) }
  }
}
