/// Cuts an expression's text into tokens, by the CEL specification's lexical rules.
struct ExpressionLexer {
  private let text: String
  private let bytes: [UInt8]
  private var at = 0

  init(_ text: String) {
    self.text = text
    bytes = Array(text.utf8)
  }

  /// All tokens, the last one `.end`.
  static func tokens(of text: String) throws(ExpressionError) -> [ExpressionToken] {
    var lexer = ExpressionLexer(text)
    var tokens: [ExpressionToken] = []
    repeat { tokens.append(try lexer.next()) } while tokens[tokens.count - 1].kind != .end
    return tokens
  }

  static let unsignedHint = "beyond 9223372036854775807 a whole number has the suffix u, such as 9223372036854775808u"

  private func byte(_ ahead: Int = 0) -> UInt8 { at + ahead < bytes.count ? bytes[at + ahead] : 0 }

  private func failure(_ message: String, at position: Int) -> ExpressionError {
    ExpressionError(message, in: text, at: position)
  }

  private mutating func next() throws(ExpressionError) -> ExpressionToken {
    skipBlanks()
    let start = at
    func token(_ kind: ExpressionToken.Kind) -> ExpressionToken { ExpressionToken(kind: kind, start: start, end: at) }
    guard at < bytes.count else { return token(.end) }
    let first = byte()
    if first == 0x22 || first == 0x27 { return token(.string(try string(isRaw: false))) }
    if first | 0x20 == 0x72, byte(1) == 0x22 || byte(1) == 0x27 {
      at += 1
      return token(.string(try string(isRaw: true)))
    }
    if first | 0x20 == 0x62, byte(1) == 0x22 || byte(1) == 0x27 {
      throw failure("bytes literals are not in this subset: use a string, without the b", at: start)
    }
    if first.isLetter {
      while byte().isLetter || byte().isDigit { at += 1 }
      return token(.identifier(String(decoding: bytes[start..<at], as: UTF8.self)))
    }
    if first == 0x60 { return token(.quoted(try quotedName())) }
    if first.isDigit || first == 0x2E && byte(1).isDigit { return token(try number()) }
    let two = at + 1 < bytes.count ? String(decoding: bytes[at..<at + 2], as: UTF8.self) : ""
    if ["==", "!=", "<=", ">=", "&&", "||"].contains(two) {
      at += 2
      return token(.symbol(two))
    }
    if "<>!+-*/%?:.,()[]".utf8.contains(first) {
      at += 1
      return token(.symbol(String(UnicodeScalar(first))))
    }
    switch first {
    case 0x3D: throw failure("expected '==' to compare, found '='", at: start)
    case 0x26: throw failure("expected '&&', found '&'", at: start)
    case 0x7C: throw failure("expected '||', found '|'", at: start)
    case 0x7B, 0x7D: throw failure("maps and messages are not in this subset", at: start)
    default:
      let rest = String(decoding: bytes[at...].prefix(4), as: UTF8.self)
      throw failure("'\(rest.first.map(String.init) ?? "")' means nothing in an expression", at: start)
    }
  }

  private mutating func skipBlanks() {
    while at < bytes.count {
      if [0x20, 0x09, 0x0A, 0x0C, 0x0D].contains(bytes[at]) {
        at += 1
      } else if bytes[at] == 0x2F, byte(1) == 0x2F {
        while at < bytes.count, bytes[at] != 0x0A { at += 1 }
      } else {
        return
      }
    }
  }

  private mutating func quotedName() throws(ExpressionError) -> String {
    let start = at
    at += 1
    while at < bytes.count, bytes[at] != 0x60, bytes[at] >= 0x20 { at += 1 }
    guard byte() == 0x60 else { throw failure("the name that begins here has no closing backtick", at: start) }
    guard at > start + 1 else { throw failure("there is no name between the backticks", at: start) }
    at += 1
    return String(decoding: bytes[start + 1..<at - 1], as: UTF8.self)
  }

  private mutating func number() throws(ExpressionError) -> ExpressionToken.Kind {
    let start = at
    var isDouble = false
    var radix = 10
    var digits = start
    if byte() == 0x30, byte(1) | 0x20 == 0x78 {
      radix = 16
      at += 2
      digits = at
      while byte().hexValue != nil { at += 1 }
      guard at > digits else { throw failure("expected hexadecimal digits after 0x", at: at) }
    } else {
      while byte().isDigit { at += 1 }
      if byte() == 0x2E, byte(1).isDigit {
        isDouble = true
        at += 1
        while byte().isDigit { at += 1 }
      }
      if byte() | 0x20 == 0x65 {
        let sign = byte(1) == 0x2B || byte(1) == 0x2D ? 1 : 0
        guard byte(1 + sign).isDigit else { throw failure("expected digits after the exponent's e", at: at + 1 + sign) }
        isDouble = true
        at += 2 + sign
        while byte().isDigit { at += 1 }
      }
    }
    let literal = String(decoding: bytes[digits..<at], as: UTF8.self)
    if isDouble {
      guard let value = Double(literal), value.isFinite else { throw failure("\(literal) is beyond a double", at: start) }
      try refuseLetter()
      return .double(value)
    }
    guard let value = UInt64(literal, radix: radix) else {
      throw failure("the number is beyond 64 bits: use a double, such as 1e20", at: start)
    }
    let isUnsigned = byte() | 0x20 == 0x75
    if isUnsigned { at += 1 }
    guard isUnsigned || value <= 1 << 63 else { throw failure(ExpressionLexer.unsignedHint, at: start) }
    try refuseLetter()
    return isUnsigned && value >= 1 << 63 ? .uint(value) : .int(value)
  }

  /// `12ab` is neither a number nor a name.
  private func refuseLetter() throws(ExpressionError) {
    guard byte().isLetter || byte().isDigit else { return }
    throw failure("expected an operator after the number, found '\(String(UnicodeScalar(byte())))'", at: at)
  }

  private mutating func string(isRaw: Bool) throws(ExpressionError) -> String {
    let start = at
    let quote = byte()
    let isTriple = byte(1) == quote && byte(2) == quote
    at += isTriple ? 3 : 1
    var result: [UInt8] = []
    while true {
      guard at < bytes.count else { throw failure("the string that begins here has no end", at: start) }
      let next = byte()
      if next == quote, !isTriple || byte(1) == quote && byte(2) == quote {
        at += isTriple ? 3 : 1
        return String(decoding: result, as: UTF8.self)
      }
      if !isTriple, next == 0x0A || next == 0x0D {
        throw failure("the string that begins here has no end on its line", at: start)
      }
      if next == 0x5C, !isRaw {
        result.append(contentsOf: try escape().utf8)
      } else {
        result.append(next)
        at += 1
      }
    }
  }

  private mutating func escape() throws(ExpressionError) -> String {
    let start = at
    let letter = byte(1)
    at += 2
    let simple: [UInt8: String] = [
      0x61: "\u{7}", 0x62: "\u{8}", 0x66: "\u{C}", 0x6E: "\n", 0x72: "\r", 0x74: "\t", 0x76: "\u{B}",
      0x5C: "\\", 0x3F: "?", 0x22: "\"", 0x27: "'", 0x60: "`",
    ]
    if let character = simple[letter] { return character }
    var value: UInt32 = 0
    switch letter {
    case 0x78, 0x58: value = try hexadecimal(2, escape: start)
    case 0x75: value = try hexadecimal(4, escape: start)
    case 0x55: value = try hexadecimal(8, escape: start)
    case 0x30...0x33:
      at -= 1
      for _ in 0..<3 {
        guard (0x30...0x37).contains(byte()) else {
          throw failure("expected three octal digits, as in \\101", at: start)
        }
        value = value * 8 + UInt32(byte() - 0x30)
        at += 1
      }
    default: throw failure("no such escape; a backslash itself is written \\\\ or in a raw string, r\"…\"", at: start)
    }
    guard let scalar = UnicodeScalar(value) else { throw failure("the escape names no Unicode character", at: start) }
    return String(Character(scalar))
  }

  private mutating func hexadecimal(_ count: Int, escape start: Int) throws(ExpressionError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let digit = byte().hexValue else { throw failure("expected \(count) hexadecimal digits", at: start) }
      value = value << 4 | UInt32(digit)
      at += 1
    }
    return value
  }
}

extension UInt8 {
  /// A letter of an identifier: A–Z, a–z, underscore.
  fileprivate var isLetter: Bool { (0x61...0x7A).contains(self | 0x20) || self == 0x5F }
  fileprivate var isDigit: Bool { (0x30...0x39).contains(self) }
  fileprivate var hexValue: UInt8? {
    switch self {
    case 0x30...0x39: self - 0x30
    case 0x41...0x46: self - 0x37
    case 0x61...0x66: self - 0x57
    default: nil
    }
  }
}
