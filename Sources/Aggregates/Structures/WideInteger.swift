// Whole numbers of many 64-bit words, the lowest first, in two's complement where they have a sign. Leaf functions over memory.

/// Adds ±(high, low) · 2^position.
/// - Returns: False when the sum has no room; the number is then wrong, as after an overflow.
@discardableResult
func wideAdd(
  _ words: UnsafeMutablePointer<UInt64>, _ count: Int, low: UInt64, high: UInt64, position: Int, isNegative: Bool
) -> Bool {
  let first = position >> 6
  let shift = UInt64(truncatingIfNeeded: position & 63)
  let part0 = low &<< shift
  let part1 = shift == 0 ? high : high &<< shift | low &>> (64 &- shift)
  let part2 = shift == 0 ? 0 : high &>> (64 &- shift)
  let mask: UInt64 = isNegative ? .max : 0
  var carry: UInt64 = isNegative ? 1 : 0
  var addend: UInt64 = 0
  var before: UInt64 = 0
  for index in first..<count {
    let part: UInt64 =
      switch index - first {
      case 0: part0
      case 1: part1
      case 2: part2
      default: 0
      }
    addend = part ^ mask
    before = words[index]
    let (partial, overflow) = before.addingReportingOverflow(addend)
    let (sum, again) = partial.addingReportingOverflow(carry)
    words[index] = sum
    carry = overflow || again ? 1 : 0
  }
  return (before ^ words[count - 1]) & (addend ^ words[count - 1]) & 1 << 63 == 0
}

/// Adds another number of as many words. A carry out of the last word is lost.
func wideAdd(_ words: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, _ count: Int) {
  var carry: UInt64 = 0
  for index in 0..<count {
    let (s, o) = words[index].addingReportingOverflow(other[index])
    let (t, p) = s.addingReportingOverflow(carry)
    words[index] = t
    carry = o || p ? 1 : 0
  }
}

/// Negates a two's complement number.
func wideNegate(_ words: inout [UInt64]) {
  var carry: UInt64 = 1
  for index in words.indices {
    let (sum, overflow) = (~words[index]).addingReportingOverflow(carry)
    words[index] = sum
    carry = overflow ? 1 : 0
  }
}

/// Takes the magnitude of a two's complement number.
/// - Returns: Whether it was negative.
func wideMagnitude(_ words: inout [UInt64]) -> Bool {
  guard let top = words.last, top >> 63 == 1 else { return false }
  wideNegate(&words)
  return true
}

func wideProduct(_ a: [UInt64], _ b: [UInt64]) -> [UInt64] {
  var result = [UInt64](repeating: 0, count: a.count + b.count)
  for i in a.indices where a[i] != 0 {
    var carry: UInt64 = 0
    for j in b.indices {
      let (high, low) = a[i].multipliedFullWidth(by: b[j])
      let (s, o) = result[i + j].addingReportingOverflow(low)
      let (t, p) = s.addingReportingOverflow(carry)
      result[i + j] = t
      carry = high &+ (o ? 1 : 0) &+ (p ? 1 : 0)
    }
    result[i + b.count] = carry
  }
  return result
}

/// `a − b` of magnitudes; a ≥ b.
func wideDifference(_ a: [UInt64], _ b: [UInt64]) -> [UInt64] {
  var result = a
  var borrow: UInt64 = 0
  for index in result.indices {
    let (s, o) = result[index].subtractingReportingOverflow(index < b.count ? b[index] : 0)
    let (t, p) = s.subtractingReportingOverflow(borrow)
    result[index] = t
    borrow = o || p ? 1 : 0
  }
  return result
}

/// A magnitude moved up by whole words and bits.
func wideShifted(_ words: [UInt64], by bits: Int) -> [UInt64] {
  let whole = bits >> 6
  let shift = UInt64(bits & 63)
  var result = [UInt64](repeating: 0, count: words.count + whole + 1)
  for index in words.indices {
    result[index + whole] |= words[index] << shift
    if shift > 0 { result[index + whole + 1] |= words[index] >> (64 - shift) }
  }
  return result
}

/// Magnitude · 2^−unit as the nearest double, ties to even; infinite beyond the range.
func wideDouble(_ magnitude: [UInt64], unit: Int) -> Double {
  guard let top = magnitude.lastIndex(where: { $0 != 0 }) else { return 0 }
  let length = top * 64 + 64 - magnitude[top].leadingZeroBitCount
  // A double's last place: 53 bits of the number, but nothing below 2^−1074.
  let lowest = Swift.max(length - 53, unit - 1074)
  guard lowest > 0 else {
    // Every bit has room.
    var value = 0.0
    for index in stride(from: top, through: 0, by: -1) { value = value * 0x1p64 + Double(magnitude[index]) }
    return scaled(value, by: -unit)
  }
  func bit(_ position: Int) -> Bool { magnitude[position >> 6] >> UInt64(position & 63) & 1 == 1 }
  let word = lowest >> 6
  let shift = UInt64(lowest & 63)
  var kept = word <= top ? magnitude[word] >> shift : 0
  if shift > 0, word + 1 <= top { kept |= magnitude[word + 1] << (64 - shift) }
  let half = lowest - 1
  if half < length, bit(half) {
    var isAboveHalf = magnitude[half >> 6] & ((1 << UInt64(half & 63)) - 1) != 0
    for index in 0..<(half >> 6) where magnitude[index] != 0 { isAboveHalf = true }
    if isAboveHalf || kept & 1 == 1 { kept += 1 }
  }
  return scaled(Double(kept), by: lowest - unit)
}

/// `value · 2^exponent`, exact where the result is a double.
private func scaled(_ value: Double, by exponent: Int) -> Double {
  Double(sign: .plus, exponent: exponent, significand: value)
}
