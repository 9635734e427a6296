/// The sum of squares without any rounding; with `ExactSum` and the count it gives the variance, for any order of the values.
///
/// Four words of the row's state: a whole number of 255 bits in units of 2^−160, for values between about 4·10⁻⁹ and 10¹⁴ in
/// magnitude. As soon as one does not fit, the sum moves to a block of 68 words in units of 2^−2148, which holds the squares of
/// 2^63 doubles; bit 255 then says so, and the first word is the block's handle.
///
/// The variance is the sample's, like SQL's `VAR_SAMP`: (n·Σx² − (Σx)²) / (n·(n − 1)), null for fewer than two values.
/// The numerator is computed exactly, so nothing cancels, however far from zero the values lie. Exactness: within 4
/// units in the last place. Source: that of `ExactSum`; the formula is the definition's.
enum ExactVariance: WideCell, NumberCell {
  static let unit = 160
  static let wideWords = 68
  static let wideUnit = 2148
  static let wideClass = StateArena.sizeClass(forWords: wideWords)

  /// Adds the square of a finite value.
  @inline(__always) static func add(_ state: UnsafeMutablePointer<UInt64>, _ value: Double, _ arena: inout StateArena) {
    let bits = value.bitPattern
    let exponent = Int(truncatingIfNeeded: bits &>> 52 & 0x7FF)
    let position = 2 &* (exponent &- 1075) &+ unit
    let significand = bits & (1 &<< 52 &- 1) | 1 &<< 52
    if UInt(bitPattern: position) <= 140, state[3] < flag {
      let (high, low) = significand.multipliedFullWidth(by: significand)
      let kept = (state[0], state[1], state[2], state[3])
      wideAdd(state, 4, low: low, high: high, position: position, isNegative: false)
      if state[3] < flag { return }
      (state[0], state[1], state[2], state[3]) = kept
    }
    if bits &<< 1 != 0 { addWide(state, bits, &arena) }
  }

  @inline(never) private static func addWide(_ state: UnsafeMutablePointer<UInt64>, _ bits: UInt64, _ arena: inout StateArena) {
    widen(state, &arena)
    let exponent = Int(bits >> 52 & 0x7FF)
    let significand = bits & (1 << 52 - 1) | (exponent == 0 ? 0 : 1 << 52)
    let (high, low) = significand.multipliedFullWidth(by: significand)
    wideAdd(
      arena.block(state[0]) + StateArena.headerWords, wideWords, low: low, high: high, position: 2 * (Swift.max(exponent, 1) - 1),
      isNegative: false)
  }

  private static func widen(_ state: UnsafeMutablePointer<UInt64>, _ arena: inout StateArena) {
    guard state[3] < flag else { return }
    let handle = arena.allocate(wideClass)
    addRow(state, to: arena.block(handle) + StateArena.headerWords)
    state[0] = handle
    state[1] = 0
    state[2] = 0
    state[3] = flag
  }

  private static func addRow(_ row: UnsafePointer<UInt64>, to wide: UnsafeMutablePointer<UInt64>) {
    for index in 0..<4 {
      wideAdd(wide, wideWords, low: row[index], high: 0, position: wideUnit - unit + 64 * index, isNegative: false)
    }
  }

  static func merge(
    _ state: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>,
    _ arena: inout StateArena
  ) {
    if state[3] < flag, other[3] < flag {
      let kept = (state[0], state[1], state[2], state[3])
      wideAdd(state, other, 4)
      if state[3] < flag { return }
      (state[0], state[1], state[2], state[3]) = kept
    }
    widen(state, &arena)
    let wide = arena.block(state[0]) + StateArena.headerWords
    if other[3] < flag { addRow(other, to: wide) } else { wideAdd(wide, tail.baseAddress.unsafelyUnwrapped, wideWords) }
  }

  static func canonical(
    _ state: UnsafePointer<UInt64>, _ arena: borrowing StateArena
  ) -> (row: (UInt64, UInt64, UInt64, UInt64), isWide: Bool) {
    guard state[3] >= flag else { return ((state[0], state[1], state[2], state[3]), false) }
    if let row = narrowed(arena.block(state[0]) + StateArena.headerWords) { return (row, false) }
    return ((UInt64(wideWords), 0, 0, flag), true)
  }

  static func narrowed(_ wide: UnsafePointer<UInt64>) -> (UInt64, UInt64, UInt64, UInt64)? {
    let first = (wideUnit - unit) >> 6
    let shift = UInt64((wideUnit - unit) & 63)
    for index in 0..<first where wide[index] != 0 { return nil }
    guard wide[first] & (1 << shift - 1) == 0 else { return nil }
    func word(_ index: Int) -> UInt64 { wide[first + index] >> shift | wide[first + index + 1] << (64 - shift) }
    guard word(3) < flag, wide[first + 4] >> shift == 0 else { return nil }
    for index in (first + 5)..<wideWords where wide[index] != 0 { return nil }
    return (word(0), word(1), word(2), word(3))
  }

  static func isValid(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> Bool {
    guard let base = tail.baseAddress, state[3] >= flag else { return state[3] < flag && tail.isEmpty }
    return tail.count == wideWords && state[1] == 0 && state[2] == 0 && state[3] == flag && narrowed(base) == nil
  }

  /// The variance of canonical states; nil for fewer than two values.
  static func value(sum: CellView, squares: CellView) -> Double? {
    let count = ExactSum.count(sum.words)
    guard count > 1 else { return nil }
    var (total, sumUnit) = ExactSum.number(sum.words, tail: sum.tail)
    _ = wideMagnitude(&total)
    var squared = wideProduct(total, total)
    let isWide = squares.words[3] >= flag
    var scaled = Array(isWide ? squares.tail : UnsafeBufferPointer(start: squares.words, count: words))
    scaled = wideProduct(scaled, [count])
    var squaresUnit = isWide ? wideUnit : unit
    if 2 * sumUnit < squaresUnit { squared = wideShifted(squared, by: squaresUnit - 2 * sumUnit) }
    if squaresUnit < 2 * sumUnit {
      scaled = wideShifted(scaled, by: 2 * sumUnit - squaresUnit)
      squaresUnit = 2 * sumUnit
    }
    if scaled.count < squared.count { scaled += Array(repeating: 0, count: squared.count - scaled.count) }
    let numerator = wideDifference(scaled, squared)
    // Beyond the range of doubles on the way, though perhaps not in the end: 64 bits are enough.
    guard let top = numerator.lastIndex(where: { $0 != 0 }) else { return 0 }
    let low = Swift.max(0, top - 2)
    let leading = wideDouble(Array(numerator[low...top]), unit: 0)
    let quotient = leading / Double(count) / Double(count - 1)
    return Double(sign: .plus, exponent: 64 * low - squaresUnit, significand: quotient)
  }
}
