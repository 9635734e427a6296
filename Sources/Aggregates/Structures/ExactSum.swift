/// A sum of doubles without any rounding, so neither the order of the values nor their split leaves a trace.
///
/// Four words of the row's state: a whole number of 192 bits, two's complement, in units of 2^−96, and the count of values.
/// Values between about 6·10⁻¹⁴ and 4·10²⁵ in magnitude (and smaller ones with few bits) go there with three additions. As soon
/// as one does not fit, the sum moves to a block of 34 words in units of 2^−1074, which holds any sum of 2^63 doubles; bit 63 of
/// the count then says so, and the first word is the block's handle. In canonical form a sum that fits lies in the row, wherever
/// it was gathered.
///
/// Exactness: the result is the exact sum, rounded once to the nearest double; null beyond their range. Source: the long
/// accumulator of U. Kulisch, "Computer Arithmetic and Validity", 2008; R. Neal, "Fast exact summation using small and large
/// superaccumulators", 2015.
enum ExactSum: WideCell, NumberCell {
  static let unit = 96
  static let wideWords = 34
  static let wideUnit = 1074
  /// The most values that a sum counts; merged sums stay at it, so that a damaged count never reaches the flag.
  private static let countMax: UInt64 = 1 << 62
  static let wideClass = StateArena.sizeClass(forWords: wideWords)

  /// Adds a finite value.
  @inline(__always) static func add(_ state: UnsafeMutablePointer<UInt64>, _ value: Double, _ arena: inout StateArena) {
    if !addToRow(state, value.bitPattern) { addWide(state, value.bitPattern, &arena) }
    state[3] &+= 1
  }

  /// - Returns: False, with nothing changed, when the value does not fit.
  @inline(__always) private static func addToRow(_ state: UnsafeMutablePointer<UInt64>, _ bits: UInt64) -> Bool {
    let exponent = Int(truncatingIfNeeded: bits &>> 52 & 0x7FF)
    let position = exponent &- (1075 - unit)
    guard UInt(bitPattern: position) <= 128, state[3] < flag else { return bits &<< 1 == 0 }
    let significand = bits & (1 &<< 52 &- 1) | 1 &<< 52
    let shift = UInt64(truncatingIfNeeded: position & 63)
    let negative = bits &>> 63
    let mask = 0 &- negative
    let low = significand &<< shift ^ mask
    let high = (significand &>> 1) &>> (63 &- shift) ^ mask
    let a0 = state[0], a1 = state[1], a2 = state[2]
    var r0 = a0, r1 = a1
    let r2: UInt64, top: UInt64
    switch position &>> 6 {
    case 0:
      let (s0, o0) = a0.addingReportingOverflow(low)
      let (t0, p0) = s0.addingReportingOverflow(negative)
      let (s1, o1) = a1.addingReportingOverflow(high)
      let (t1, p1) = s1.addingReportingOverflow(o0 || p0 ? 1 : 0)
      r0 = t0
      r1 = t1
      top = mask
      r2 = a2 &+ mask &+ (o1 || p1 ? 1 : 0)
    case 1:
      let (s1, o1) = a1.addingReportingOverflow(low)
      let (t1, p1) = s1.addingReportingOverflow(negative)
      r1 = t1
      top = high
      r2 = a2 &+ high &+ (o1 || p1 ? 1 : 0)
    default:
      top = low
      r2 = a2 &+ low &+ negative
    }
    guard (a2 ^ r2) & (top ^ r2) &>> 63 == 0 else { return false }
    state[0] = r0
    state[1] = r1
    state[2] = r2
    return true
  }

  @inline(never) private static func addWide(_ state: UnsafeMutablePointer<UInt64>, _ bits: UInt64, _ arena: inout StateArena) {
    let exponent = Int(bits >> 52 & 0x7FF)
    let significand = bits & (1 << 52 - 1) | (exponent == 0 ? 0 : 1 << 52)
    // Few bits, all of them in the row's range: 2^−60, say.
    let position = Swift.max(exponent, 1) - (1075 - unit)
    if position < 0, -position <= significand.trailingZeroBitCount, state[3] < flag {
      if wideAdd(state, 3, low: significand >> UInt64(-position), high: 0, position: 0, isNegative: bits >> 63 == 1) { return }
      wideAdd(state, 3, low: significand >> UInt64(-position), high: 0, position: 0, isNegative: bits >> 63 == 0)
    }
    widen(state, &arena)
    wideAdd(
      arena.block(state[0]) + StateArena.headerWords, wideWords, low: significand, high: 0, position: Swift.max(exponent, 1) - 1,
      isNegative: bits >> 63 == 1)
  }

  private static func widen(_ state: UnsafeMutablePointer<UInt64>, _ arena: inout StateArena) {
    guard state[3] < flag else { return }
    let handle = arena.allocate(wideClass)
    let wide = arena.block(handle) + StateArena.headerWords
    addRow(state, to: wide)
    assert(narrowed(wide).map { $0 == (state[0], state[1], state[2]) } ?? false, "the same number in either place")
    state[0] = handle
    state[1] = 0
    state[2] = 0
    state[3] |= flag
  }

  private static func addRow(_ row: UnsafePointer<UInt64>, to wide: UnsafeMutablePointer<UInt64>) {
    var magnitude = [row[0], row[1], row[2]]
    let isNegative = wideMagnitude(&magnitude)
    for index in 0..<3 where magnitude[index] != 0 {
      wideAdd(
        wide, wideWords, low: magnitude[index], high: 0, position: wideUnit - unit + 64 * index, isNegative: isNegative)
    }
  }

  static func merge(
    _ state: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>,
    _ arena: inout StateArena
  ) {
    let count = other[3] & ~flag
    defer { state[3] = (state[3] & flag) | min((state[3] & ~flag) &+ count, countMax) }
    if state[3] < flag, other[3] < flag {
      let (r0, o0) = state[0].addingReportingOverflow(other[0])
      let (s1, o1) = state[1].addingReportingOverflow(other[1])
      let (r1, p1) = s1.addingReportingOverflow(o0 ? 1 : 0)
      let r2 = state[2] &+ other[2] &+ (o1 || p1 ? 1 : 0)
      if (state[2] ^ r2) & (other[2] ^ r2) >> 63 == 0 {
        state[0] = r0
        state[1] = r1
        state[2] = r2
        return
      }
    }
    widen(state, &arena)
    let wide = arena.block(state[0]) + StateArena.headerWords
    assert(other[3] < flag || tail.count >= wideWords, "a wide row brings its words")
    if other[3] < flag { addRow(other, to: wide) } else { wideAdd(wide, tail.baseAddress.unsafelyUnwrapped, wideWords) }
  }

  static func canonical(
    _ state: UnsafePointer<UInt64>, _ arena: borrowing StateArena
  ) -> (row: (UInt64, UInt64, UInt64, UInt64), isWide: Bool) {
    guard state[3] >= flag else { return ((state[0], state[1], state[2], state[3]), false) }
    let wide = arena.block(state[0]) + StateArena.headerWords
    if let row = narrowed(UnsafePointer(wide)) { return ((row.0, row.1, row.2, state[3] & ~flag), false) }
    return ((UInt64(wideWords), 0, 0, state[3]), true)
  }

  /// The sum in the row's units; nil when it does not fit.
  static func narrowed(_ wide: UnsafePointer<UInt64>) -> (UInt64, UInt64, UInt64)? {
    let first = (wideUnit - unit) >> 6
    let shift = UInt64((wideUnit - unit) & 63)
    for index in 0..<first where wide[index] != 0 { return nil }
    guard wide[first] & (1 << shift - 1) == 0 else { return nil }
    func word(_ index: Int) -> UInt64 {
      wide[first + index] >> shift | wide[first + index + 1] << (64 - shift)
    }
    let row = (word(0), word(1), word(2))
    let fill: UInt64 = row.2 >> 63 == 1 ? .max : 0
    guard Int64(bitPattern: wide[first + 3]) >> Int64(shift) == Int64(bitPattern: fill) else { return nil }
    for index in (first + 4)..<wideWords where wide[index] != fill { return nil }
    return row
  }

  /// Values that were added.
  static func count(_ state: UnsafePointer<UInt64>) -> UInt64 { state[3] & ~flag }

  /// The sum's two's complement words and their unit, from canonical form.
  static func number(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> (words: [UInt64], unit: Int) {
    state[3] < flag
      ? ([state[0], state[1], state[2]], unit) : (Array(tail), wideUnit)
  }

  /// The value of a canonical state; infinite beyond the range of doubles.
  static func value(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> Double {
    var (words, unit) = number(state, tail: tail)
    let isNegative = wideMagnitude(&words)
    let value = wideDouble(words, unit: unit)
    return isNegative ? -value : value
  }

  static func isValid(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> Bool {
    guard state[3] & ~flag <= countMax else { return false }
    guard let base = tail.baseAddress, state[3] >= flag else { return state[3] < flag && tail.isEmpty }
    return tail.count == wideWords && state[1] == 0 && state[2] == 0 && narrowed(base) == nil
  }
}
