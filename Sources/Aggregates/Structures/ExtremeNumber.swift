import Events
import Expressions

/// The smallest or the largest number, exact also where an integer lies between two doubles.
///
/// One word of the row's state: a double. An integer that no double is lies in a block, and the word is then the block's handle
/// in the bits of a NaN, which is no value of an event. So states that were stored before integers were exact are read as they
/// are.
/// ```
/// word   double; or 7FF8 << 48 | unsigned << 50 | handle, canonical 1 in its place
/// tail   the integer's bits
/// ```
/// Exactness: exact; −0 is 0.
enum ExtremeNumber {
  private static let integer: UInt64 = 0x7FF8 << 48
  private static let unsigned: UInt64 = 1 << 50
  private static let handle: UInt64 = 1 << 50 - 1

  @inline(__always) static func isInteger(_ word: UInt64) -> Bool { word & integer == integer }
  static func canonical(_ word: UInt64) -> UInt64 { word & (integer | unsigned) | 1 }
  static func bits(_ word: UInt64, _ arena: borrowing StateArena) -> UInt64 { arena.block(word & handle)[StateArena.headerWords] }
  private static func kind(_ word: UInt64) -> ValueKind { word & unsigned == 0 ? .int : .uint }

  static func release(_ word: UInt64, _ arena: inout StateArena) {
    if isInteger(word) { arena.release(word & handle) }
  }

  // MARK: folding

  @inline(__always) static func fold(_ fold: CellFold, _ values: ValueVector, isLeast: Bool, _ arena: inout StateArena) -> Int {
    if values.uniformKind == .double {
      return fold.forEachNumber(values) { cell, _, value in offer(cell, value, isLeast, &arena) }
    }
    return fold.forEachValue(values) { cell, _, kind, bits in
      let value: Double
      switch kind {
      case .double:
        value = Double(bitPattern: bits)
        guard value.isFinite else { return false }
      case .int:
        value = Double(Int64(bitPattern: bits))
        guard Int64(exactly: value) == Int64(bitPattern: bits) else {
          offer(cell, .int, bits, isLeast, &arena)
          return true
        }
      case .uint:
        value = Double(bits)
        guard UInt64(exactly: value) == bits else {
          offer(cell, .uint, bits, isLeast, &arena)
          return true
        }
      case .missing, .error, .null, .bool, .string, .raw, .object, .time: return false
      }
      offer(cell, value, isLeast, &arena)
      return true
    }
  }

  /// Takes in a double.
  @inline(__always) private static func offer(
    _ state: UnsafeMutablePointer<UInt64>, _ value: Double, _ isLeast: Bool, _ arena: inout StateArena
  ) {
    let kept = Double(bitPattern: state[0])
    // False also where an integer is kept.
    if isLeast ? value >= kept : value <= kept { return }
    // Adding 0 makes −0 into 0: else which of the two zeros is kept would depend on the order.
    if !isInteger(state[0]) {
      state[0] = (value + 0).bitPattern
    } else {
      offer(state, .double, (value + 0).bitPattern, isLeast, &arena)
    }
  }

  /// Takes in any number; an integer is one that no double is.
  @inline(never) private static func offer(
    _ state: UnsafeMutablePointer<UInt64>, _ kind: ValueKind, _ bits: UInt64, _ isLeast: Bool, _ arena: inout StateArena
  ) {
    let order =
      isInteger(state[0])
      ? Order.of(kind, bits, Self.kind(state[0]), Self.bits(state[0], arena)) : Order.of(kind, bits, .double, state[0])
    guard order == (isLeast ? Order.less : Order.greater) else { return }
    release(state[0], &arena)
    guard kind != .double else {
      state[0] = bits
      return
    }
    let block = arena.allocate(0)
    arena.block(block)[StateArena.headerWords] = bits
    precondition(block <= handle, "a handle has room beside the mark")
    state[0] = integer | (kind == .uint ? unsigned : 0) | block
  }

  // MARK: canonical form

  @inline(__always) static func merge(
    _ state: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, _ tail: UnsafeBufferPointer<UInt64>, isLeast: Bool,
    _ arena: inout StateArena
  ) {
    if isInteger(other[0]) {
      offer(state, kind(other[0]), tail[0], isLeast, &arena)
    } else {
      offer(state, Double(bitPattern: other[0]), isLeast, &arena)
    }
  }

  static func isValid(_ word: UInt64, tail: UnsafeBufferPointer<UInt64>) -> Bool {
    guard isInteger(word) else { return !Double(bitPattern: word).isNaN && tail.isEmpty }
    guard tail.count == 1, word == canonical(word) else { return false }
    if kind(word) == .uint { return tail[0] > UInt64(Int64.max) && UInt64(exactly: Double(tail[0])) != tail[0] }
    let value = Int64(bitPattern: tail[0])
    return Int64(exactly: Double(value)) != value
  }

  /// Null while there is none.
  /// - Parameter isInteger: Whether the column has integers: else an integer is the nearest double.
  static func value(_ cell: CellView, isInteger: Bool) -> ResultValue {
    let word = cell.words[0]
    if self.isInteger(word) {
      if kind(word) == .uint { return isInteger ? .uint(cell.tail[0]) : .double(Double(cell.tail[0])) }
      let value = Int64(bitPattern: cell.tail[0])
      return isInteger ? .int(value) : .double(Double(value))
    }
    let value = Double(bitPattern: word)
    guard isInteger, value.isFinite else { return .number(value) }
    return Int64(exactly: value).map { .int($0) } ?? UInt64(exactly: value).map { .uint($0) } ?? .double(value)
  }
}
