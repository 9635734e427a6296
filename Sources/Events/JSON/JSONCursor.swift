import Glibc

/// A reason why Penstock does not take a JSON text.
public enum JSONProblem: UInt8, Error, Sendable {
  case unexpectedEnd, unexpectedCharacter, controlCharacter, badEscape, loneSurrogate, badNumber, numberOutOfRange, tooDeep
  case trailingCharacters, duplicateMember, notUTF8

  public var text: String {
    switch self {
    case .unexpectedEnd: "the text ends too soon"
    case .unexpectedCharacter: "unexpected character"
    case .controlCharacter: "control character in a string; escape it"
    case .badEscape: "unknown escape in a string"
    case .loneSurrogate: "half of a surrogate pair in a string"
    case .badNumber: "malformed number"
    case .numberOutOfRange: "number beyond the range of a double"
    case .tooDeep: "nested deeper than \(JSONCursor.depthMax) levels"
    case .trailingCharacters: "more text after the value"
    case .duplicateMember: "a member's name is there twice"
    case .notUTF8: "bytes that are no UTF-8"
    }
  }
}

/// The fault of a JSON text, and its position.
public struct JSONError: Error, Sendable, CustomStringConvertible {
  public let problem: JSONProblem
  /// The position from the text's start.
  public let position: Int
  public var description: String { "JSON: \(problem.text) at byte \(position)" }
}

/// Reads JSON (RFC 8259) token by token out of bytes in place.
///
/// The bytes are valid UTF-8 and `JSONCursor.padding` readable zero bytes follow them: a zero is no JSON, so every scan stops at
/// the end by itself, and eight bytes may be loaded at any position before it. That makes the pointer reads here safe.
struct JSONCursor {
  static let padding = 16
  static let depthMax = 64

  var p: UnsafePointer<UInt8>
  let start: UnsafePointer<UInt8>
  let end: UnsafePointer<UInt8>

  @inline(__always) init(_ start: UnsafePointer<UInt8>, count: Int) {
    p = start
    self.start = start
    end = start + count
  }

  @inline(__always) var position: Int { p - start }

  @inline(__always) mutating func skipSpace() {
    while p.pointee <= 0x20 {
      guard p.pointee == 0x20 || p.pointee == 0x0A || p.pointee == 0x0D || p.pointee == 0x09 else { return }
      p += 1
    }
  }

  @inline(__always) mutating func take(_ byte: UInt8) -> Bool {
    guard p.pointee == byte else { return false }
    p += 1
    return true
  }

  var unexpected: JSONProblem { p >= end ? .unexpectedEnd : .unexpectedCharacter }

  // MARK: strings

  /// A string's bytes: in the text itself or, when it has escapes, still to be unescaped.
  struct StringToken {
    var start: UnsafePointer<UInt8>
    var count: Int
    var isEscaped: Bool
    @inline(__always) var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }
  }

  /// Reads a string whose opening quote has been taken; checks escapes too.
  @inline(__always) mutating func string() throws(JSONProblem) -> StringToken {
    let first = p
    p = JSONCursor.endOfPlainRun(p)
    if p.pointee == 0x22 {
      let token = StringToken(start: first, count: p - first, isEscaped: false)
      p += 1
      return token
    }
    return try escapedString(from: first)
  }

  @inline(never) private mutating func escapedString(from first: UnsafePointer<UInt8>) throws(JSONProblem) -> StringToken {
    while true {
      p = JSONCursor.endOfPlainRun(p)
      switch p.pointee {
      case 0x22:
        let token = StringToken(start: first, count: p - first, isEscaped: true)
        p += 1
        return token
      case 0x5C:
        switch p[1] {
        case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: p += 2
        case 0x75:
          guard let unit = JSONCursor.hex4(p + 2) else { throw .badEscape }
          p += 6
          if unit & 0xFC00 == 0xD800 {
            guard p.pointee == 0x5C, p[1] == 0x75, let low = JSONCursor.hex4(p + 2), low & 0xFC00 == 0xDC00 else {
              throw .loneSurrogate
            }
            p += 6
          } else if unit & 0xFC00 == 0xDC00 {
            throw .loneSurrogate
          }
        default: throw .badEscape
        }
      default: throw p >= end ? .unexpectedEnd : .controlCharacter
      }
    }
  }

  /// The first quote, backslash or control character at or after `from`: eight bytes at a time.
  /// Source of the byte tests: Sean Eron Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n".
  @inline(__always) private static func endOfPlainRun(_ from: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
    var p = from
    let ones: UInt64 = 0x0101_0101_0101_0101, highs: UInt64 = 0x8080_8080_8080_8080
    while true {
      let word = UnsafeRawPointer(p).loadUnaligned(as: UInt64.self)
      let quote = word ^ (ones &* 0x22), backslash = word ^ (ones &* 0x5C)
      let hits =
        ((quote &- ones) & ~quote | (backslash &- ones) & ~backslash | (word &- ones &* 0x20) & ~word) & highs
      if hits != 0 { return p + hits.trailingZeroBitCount &>> 3 }
      p += 8
    }
  }

  private static func hex4(_ p: UnsafePointer<UInt8>) -> UInt32? {
    var value: UInt32 = 0
    for i in 0..<4 {
      let c = p[i]
      switch c {
      case 0x30...0x39: value = value << 4 | UInt32(c - 0x30)
      case 0x41...0x46: value = value << 4 | UInt32(c - 0x37)
      case 0x61...0x66: value = value << 4 | UInt32(c - 0x57)
      default: return nil
      }
    }
    return value
  }

  /// Writes the unescaped string of a checked token.
  /// - Parameter output: Room for `token.count` bytes; unescaping never makes a string longer.
  /// - Returns: The bytes written.
  static func unescape(_ token: StringToken, into output: UnsafeMutablePointer<UInt8>) -> Int {
    var p = token.start
    let end = p + token.count
    var out = output
    while p < end {
      guard p.pointee == 0x5C else {
        out.pointee = p.pointee
        out += 1
        p += 1
        continue
      }
      switch p[1] {
      case 0x62: out.pointee = 0x08
      case 0x66: out.pointee = 0x0C
      case 0x6E: out.pointee = 0x0A
      case 0x72: out.pointee = 0x0D
      case 0x74: out.pointee = 0x09
      case 0x75:
        var scalar = hex4(p + 2) ?? 0xFFFD
        p += 6
        if scalar & 0xFC00 == 0xD800 {
          scalar = 0x10000 + (scalar & 0x3FF) << 10 + ((hex4(p + 2) ?? 0) & 0x3FF)
          p += 6
        }
        switch scalar {
        case 0..<0x80:
          out.pointee = UInt8(scalar)
          out += 1
        case 0x80..<0x800:
          out[0] = UInt8(0xC0 | scalar >> 6)
          out[1] = UInt8(0x80 | scalar & 0x3F)
          out += 2
        case 0x800..<0x10000:
          out[0] = UInt8(0xE0 | scalar >> 12)
          out[1] = UInt8(0x80 | scalar >> 6 & 0x3F)
          out[2] = UInt8(0x80 | scalar & 0x3F)
          out += 3
        default:
          out[0] = UInt8(0xF0 | scalar >> 18)
          out[1] = UInt8(0x80 | scalar >> 12 & 0x3F)
          out[2] = UInt8(0x80 | scalar >> 6 & 0x3F)
          out[3] = UInt8(0x80 | scalar & 0x3F)
          out += 4
        }
        continue
      default: out.pointee = p[1]
      }
      out += 1
      p += 2
    }
    return out - output
  }

  // MARK: numbers

  enum Number {
    case int(Int64)
    case double(Double)
    /// An integer beyond 64 bits, within a double's range.
    case beyond(UnsafePointer<UInt8>, count: Int)
  }

  /// Reads a number at `p`.
  @inline(__always) mutating func number() throws(JSONProblem) -> Number {
    let first = p
    let isNegative = take(0x2D)
    let digitsStart = p
    var mantissa: UInt64 = 0
    while case let digit = p.pointee &- 0x30, digit <= 9 {
      mantissa = mantissa &* 10 &+ UInt64(digit)
      p += 1
    }
    let integerDigits = p - digitsStart
    guard integerDigits > 0 else { throw p >= end ? .unexpectedEnd : .badNumber }
    guard integerDigits == 1 || digitsStart.pointee != 0x30 else { throw .badNumber }
    if p.pointee != 0x2E && p.pointee | 0x20 != 0x65 {
      if integerDigits <= 18 {
        let value = Int64(bitPattern: mantissa)
        return .int(isNegative ? 0 &- value : value)
      }
      return try longInteger(from: first, isNegative: isNegative)
    }
    var exponent = 0
    var digits = integerDigits
    if take(0x2E) {
      let fractionStart = p
      while case let digit = p.pointee &- 0x30, digit <= 9 {
        mantissa = mantissa &* 10 &+ UInt64(digit)
        p += 1
      }
      let fractionDigits = p - fractionStart
      guard fractionDigits > 0 else { throw p >= end ? .unexpectedEnd : .badNumber }
      digits += fractionDigits
      exponent = -fractionDigits
    }
    if p.pointee | 0x20 == 0x65 {
      p += 1
      let exponentIsNegative = p.pointee == 0x2D
      if p.pointee == 0x2D || p.pointee == 0x2B { p += 1 }
      let exponentStart = p
      var written = 0
      while case let digit = p.pointee &- 0x30, digit <= 9 {
        if written < 100_000 { written = written * 10 + Int(digit) }
        p += 1
      }
      guard p > exponentStart else { throw p >= end ? .unexpectedEnd : .badNumber }
      exponent += exponentIsNegative ? -written : written
    }
    // Clinger's fast path: both factors are exact doubles, so one rounding gives the nearest.
    if digits <= 19, mantissa <= 1 << 53, exponent >= -22, exponent <= 22 {
      let magnitude =
        exponent < 0
        ? Double(mantissa) / JSONCursor.powersOfTen[-exponent] : Double(mantissa) * JSONCursor.powersOfTen[exponent]
      return .double(isNegative ? -magnitude : magnitude)
    }
    return try slowDouble(from: first)
  }

  static let powersOfTen: InlineArray<23, Double> = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
  ]

  /// The text has been checked, and what follows it cannot continue a number, so strtod reads exactly the token.
  @inline(never) private func slowDouble(from first: UnsafePointer<UInt8>) throws(JSONProblem) -> Number {
    let value = first.withMemoryRebound(to: CChar.self, capacity: p - first) { strtod($0, nil) }
    guard value.isFinite else { throw .numberOutOfRange }
    return .double(value)
  }

  @inline(never) private func longInteger(from first: UnsafePointer<UInt8>, isNegative: Bool) throws(JSONProblem) -> Number {
    var value: Int64 = 0
    var digit = isNegative ? first + 1 : first
    while digit < p {
      let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
      let ones = Int64(digit.pointee &- 0x30)
      let (next, overflowAgain) = isNegative ? scaled.subtractingReportingOverflow(ones) : scaled.addingReportingOverflow(ones)
      if overflow || overflowAgain {
        _ = try slowDouble(from: first)
        return .beyond(first, count: p - first)
      }
      value = next
      digit += 1
    }
    return .int(value)
  }

  // MARK: whole values

  enum Literal { case null, yes, no }

  /// Takes `true`, `false` or `null` whose first letter is at `p`.
  @inline(__always) mutating func literal() throws(JSONProblem) -> Literal {
    let word = UInt32(littleEndian: UnsafeRawPointer(p).loadUnaligned(as: UInt32.self))
    switch word {
    case 0x6575_7274:  // true
      p += 4
      return .yes
    case 0x6C6C_756E:  // null
      p += 4
      return .null
    case 0x736C_6166 where p[4] == 0x65:  // false
      p += 5
      return .no
    default: throw unexpected
    }
  }

  /// Checks and skips one value of any kind.
  mutating func skipValue(depth: Int) throws(JSONProblem) {
    skipSpace()
    switch p.pointee {
    case 0x22:
      p += 1
      _ = try string()
    case 0x7B:
      guard depth < JSONCursor.depthMax else { throw .tooDeep }
      p += 1
      skipSpace()
      if take(0x7D) { return }
      repeat {
        skipSpace()
        guard take(0x22) else { throw unexpected }
        _ = try string()
        skipSpace()
        guard take(0x3A) else { throw unexpected }
        try skipValue(depth: depth + 1)
        skipSpace()
      } while take(0x2C)
      guard take(0x7D) else { throw unexpected }
    case 0x5B:
      guard depth < JSONCursor.depthMax else { throw .tooDeep }
      p += 1
      skipSpace()
      if take(0x5D) { return }
      repeat {
        try skipValue(depth: depth + 1)
        skipSpace()
      } while take(0x2C)
      guard take(0x5D) else { throw unexpected }
    case 0x2D, 0x30...0x39: _ = try number()
    default: _ = try literal()
    }
  }

  /// After a syntax error inside the array element that starts at `elementStart`: finds the element's end by its brackets, so
  /// that the next one can be read.
  /// - Returns: Whether `p` now is at the `,` or `]` after the element; false when its end cannot be found.
  mutating func resynchronise(after elementStart: UnsafePointer<UInt8>) -> Bool {
    p = elementStart
    var depth = 0
    while p < end {
      switch p.pointee {
      case 0x22:
        p += 1
        while p < end, p.pointee != 0x22 {
          guard p.pointee >= 0x20 else { return false }
          p += p.pointee == 0x5C ? 2 : 1
        }
        guard p < end else { return false }
        p += 1
      case 0x7B, 0x5B:
        depth += 1
        p += 1
      case 0x7D, 0x5D:
        if depth == 0 { return p.pointee == 0x5D }
        depth -= 1
        p += 1
        if depth == 0 {
          skipSpace()
          return p.pointee == 0x2C || p.pointee == 0x5D
        }
      case 0x2C where depth == 0: return true
      default: p += 1
      }
    }
    return false
  }
}
