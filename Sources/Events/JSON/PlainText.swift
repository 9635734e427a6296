/// Values in their usual spelling, read eight or sixteen bytes at once: each function gives nil for any other spelling, whether
/// JSON allows it or not.
///
/// The text is as `JSONCursor` takes it: sixteen bytes may be read at any position up to its end.
enum PlainText {
  private static let zeros: UInt64 = 0x3030_3030_3030_3030

  // MARK: strings

  /// The first quote, backslash or control character at or after `p`.
  @inline(__always) static func end(of p: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
    var p = p
    while true {
      let bytes = UnsafeRawPointer(p).loadUnaligned(as: SIMD16<UInt8>.self)
      // Masks of bytes are joined as words: the standard library joins masks lane by lane.
      let words =
        unsafeBitCast(bytes .== SIMD16<UInt8>(repeating: 0x22), to: SIMD2<UInt64>.self)
        | unsafeBitCast(bytes .== SIMD16<UInt8>(repeating: 0x5C), to: SIMD2<UInt64>.self)
        | unsafeBitCast(bytes .< SIMD16<UInt8>(repeating: 0x20), to: SIMD2<UInt64>.self)
      if words.x != 0 { return p + words.x.trailingZeroBitCount &>> 3 }
      if words.y != 0 { return p + 8 + words.y.trailingZeroBitCount &>> 3 }
      p += 16
    }
  }

  // MARK: numbers

  /// The number of digits that the eight bytes begin with.
  @inline(__always) private static func digitCount(_ word: UInt64) -> Int {
    let digits = word ^ zeros
    // A carry leaves only a byte that is no digit, and spoils only those after it.
    let others = (digits &+ 0x7676_7676_7676_7676 | digits) & 0x8080_8080_8080_8080
    return others.trailingZeroBitCount &>> 3
  }

  /// The number that the first `count` bytes, all digits, write; `count` is 1 ... 8.
  /// Source: Daniel Lemire, "Quickly parsing eight digits", 2018.
  @inline(__always) private static func value(_ word: UInt64, _ count: Int) -> UInt64 {
    var digits = (word ^ zeros) &<< UInt64(truncatingIfNeeded: (8 &- count) &* 8)
    digits = digits &* 10 &+ digits &>> 8
    let low = (digits & 0x0000_00FF_0000_00FF) &* 0x000F_4240_0000_0064
    let high = (digits &>> 16 & 0x0000_00FF_0000_00FF) &* 0x0000_2710_0000_0001
    return (low &+ high) &>> 32
  }

  /// A run of 1 ... 16 digits at `p`, which is moved to its end; nil for any other length.
  @inline(__always) private static func digits(_ p: inout UnsafePointer<UInt8>, _ count: inout Int) -> UInt64? {
    let word = UInt64(littleEndian: UnsafeRawPointer(p).loadUnaligned(as: UInt64.self))
    let first = digitCount(word)
    if first < 8 {
      guard first > 0 else { return nil }
      count = first
      p += first
      return value(word, first)
    }
    let rest = UInt64(littleEndian: UnsafeRawPointer(p + 8).loadUnaligned(as: UInt64.self))
    let second = digitCount(rest)
    let high = value(word, 8)
    count = 8 &+ second
    p += count
    guard second > 0 else { return high }
    guard second < 8 || p.pointee &- 0x30 > 9 else { return nil }
    return high &* powersOfTen[second] &+ value(rest, second)
  }

  private static let powersOfTen: InlineArray<17, UInt64> = [
    1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000, 100_000_000_000,
    1_000_000_000_000, 10_000_000_000_000, 100_000_000_000_000, 1_000_000_000_000_000, 10_000_000_000_000_000,
  ]

  /// Whether a number of whole digits goes on.
  @inline(__always) private static func goesOn(_ byte: UInt8) -> Bool { byte == 0x2E || byte | 0x20 == 0x65 }

  /// A whole number of at most sixteen digits, without a sign. `p` is moved to its end.
  @inline(__always) static func unsigned(_ p: inout UnsafePointer<UInt8>) -> UInt64? {
    var end = p, count = 0
    guard let value = digits(&end, &count), count == 1 || p.pointee != 0x30, !goesOn(end.pointee) else { return nil }
    p = end
    return value
  }

  /// A number's value and the byte after it.
  struct Number {
    var kind: ValueKind
    var bits: UInt64
    var end: UnsafePointer<UInt8>
  }

  /// A number of at most sixteen digits before the point and sixteen after it, without an exponent, that is an integer or as
  /// near to a double as one division gets.
  @inline(__always) static func number(_ p: UnsafePointer<UInt8>) -> Number? {
    let isNegative = p.pointee == 0x2D
    let start = isNegative ? p + 1 : p
    let word = UInt64(littleEndian: UnsafeRawPointer(start).loadUnaligned(as: UInt64.self))
    let count = digitCount(word)
    guard count < 7, count > 0, count == 1 || word & 0xFF != 0x30 else { return longNumber(p) }
    let bits = UInt64(truncatingIfNeeded: count &* 8)
    let next = UInt8(truncatingIfNeeded: word &>> bits)
    guard next == 0x2E else {
      guard !goesOn(next) else { return nil }
      let whole = value(word, count)
      return Number(kind: .int, bits: isNegative ? 0 &- whole : whole, end: start + count)
    }
    // Without the point, digits are left.
    let before = (1 as UInt64) &<< bits &- 1
    let joined = word & before | word &>> 8 & ~before
    let digits = digitCount(joined)
    guard digits < 7, digits > count else { return longNumber(p) }
    let end = start + digits + 1
    guard end.pointee | 0x20 != 0x65 else { return nil }
    let magnitude = Double(value(joined, digits)) / JSONCursor.powersOfTen[digits &- count]
    return Number(kind: .double, bits: (isNegative ? -magnitude : magnitude).bitPattern, end: end)
  }

  @inline(never) private static func longNumber(_ p: UnsafePointer<UInt8>) -> Number? {
    let isNegative = p.pointee == 0x2D
    let first = isNegative ? p + 1 : p
    var end = first, count = 0
    guard let whole = digits(&end, &count), count == 1 || first.pointee != 0x30 else { return nil }
    guard goesOn(end.pointee) else { return Number(kind: .int, bits: isNegative ? 0 &- whole : whole, end: end) }
    guard end.pointee == 0x2E else { return nil }
    end += 1
    var fractionCount = 0
    guard let fraction = digits(&end, &fractionCount), end.pointee | 0x20 != 0x65 else { return nil }
    let mantissa = whole &* powersOfTen[fractionCount] &+ fraction
    // Clinger's fast path, as `JSONCursor.number` has it.
    guard count &+ fractionCount <= 19, mantissa <= 1 << 53 else { return nil }
    let magnitude = Double(mantissa) / JSONCursor.powersOfTen[fractionCount]
    return Number(kind: .double, bits: (isNegative ? -magnitude : magnitude).bitPattern, end: end)
  }

  // MARK: times

  /// The date of the last time, since times of one day follow one another.
  struct Day: BitwiseCopyable {
    /// Its text, up to the `T`: eight bytes and three.
    var text: (UInt64, UInt64) = (0, 0)
    /// Its midnight, UTC.
    var nanoseconds: Int64 = 0

    /// Sets the day to that at `p`; false where it is none of the years 1700 to 2200, written with a `T`.
    @inline(never) mutating func set(_ p: UnsafePointer<UInt8>) -> Bool {
      var number = 0
      for index in 0..<10 where index != 4 && index != 7 {
        guard case let digit = Int(p[index]) - 0x30, 0...9 ~= digit else { return false }
        number = number * 10 + digit
      }
      let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100)
      guard p[4] == 0x2D, p[7] == 0x2D, p[10] == 0x54, 1700...2200 ~= year, 1...12 ~= month, day >= 1,
        day <= Timestamp.daysInMonth(year: year, month: month)
      else { return false }
      let bytes = UnsafeRawPointer(p)
      text = (bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self) & Day.tail)
      nanoseconds = Int64(Timestamp.daysSinceEpoch(year: year, month: month, day: day)) * 86_400_000_000_000
      return true
    }

    fileprivate static let tail = UInt64(littleEndian: 0xFF_FFFF)

    @inline(__always) fileprivate func isAt(_ p: UnsafePointer<UInt8>) -> Bool {
      let bytes = UnsafeRawPointer(p)
      let head = bytes.loadUnaligned(as: UInt64.self) ^ text.0
      return head | (bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self) & Day.tail ^ text.1) == 0
    }
  }

  /// An RFC 3339 time in UTC with no more than nine digits after the point, and the quote after it: in nanoseconds. `p` is moved
  /// past the quote.
  @inline(__always) static func time(_ p: inout UnsafePointer<UInt8>, _ day: inout Day) -> Int64? {
    if !day.isAt(p) {
      guard day.set(p) else { return nil }
    }
    // HH:MM:SS, each byte a digit's value or, for a colon, zero.
    let clock = UInt64(littleEndian: UnsafeRawPointer(p + 11).loadUnaligned(as: UInt64.self)) ^ 0x3030_3A30_303A_3030
    guard clock & 0xF0F0_FFF0_F0FF_F0F0 | (clock &+ 0x0606_0006_0600_0606) & 0xF0F0_00F0_F000_F0F0 == 0 else { return nil }
    let pairs = clock &* 10 &+ clock &>> 8
    let hour = pairs & 0xFF, minute = pairs &>> 24 & 0xFF, second = pairs &>> 48 & 0xFF
    guard hour <= 23, minute <= 59, second <= 60 else { return nil }
    var end = p + 19
    var fraction: UInt64 = 0
    if end.pointee == 0x2E {
      end += 1
      var count = 0
      guard let digits = digits(&end, &count), count <= 9 else { return nil }
      fraction = digits &* powersOfTen[9 &- count]
    }
    guard end.pointee == 0x5A, end[1] == 0x22 else { return nil }
    p = end + 2
    return day.nanoseconds &+ Int64(bitPattern: (hour &* 3600 &+ minute &* 60 &+ second) &* 1_000_000_000 &+ fraction)
  }
}
