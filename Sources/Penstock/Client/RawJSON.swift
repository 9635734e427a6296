/// A JSON text as a service sent it: members keep their order, numbers their spelling, so that a command prints exactly
/// the answer.
indirect enum RawJSON: Hashable, Sendable {
  case null
  case bool(Bool)
  /// As spelled.
  case number(String)
  case string(String)
  case array([RawJSON])
  case object([Member])

  struct Member: Hashable, Sendable {
    var name: String
    var value: RawJSON
  }

  /// The first member with that name; nil where there is none, or this is no object.
  subscript(_ name: String) -> RawJSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  var string: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  var array: [RawJSON]? {
    guard case .array(let elements) = self else { return nil }
    return elements
  }

  var isNull: Bool { self == .null }

  /// The text for a table's or a CSV's cell: strings without quotes, null as nothing, the rest as JSON.
  var cell: String {
    switch self {
    case .null: ""
    case .string(let text): text
    case .bool, .number, .array, .object: text
    }
  }

  var text: String {
    var out = ""
    write(to: &out)
    return out
  }

  func write(to out: inout String) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .number(let spelling): out += spelling
    case .string(let text): writeJSONString(text, to: &out)
    case .array(let elements):
      out += "["
      for (index, element) in elements.enumerated() {
        if index > 0 { out += "," }
        element.write(to: &out)
      }
      out += "]"
    case .object(let members):
      out += "{"
      for (index, member) in members.enumerated() {
        if index > 0 { out += "," }
        writeJSONString(member.name, to: &out)
        out += ":"
        member.value.write(to: &out)
      }
      out += "}"
    }
  }
}

/// Appends `text` as a JSON string, quotes included.
func writeJSONString(_ text: String, to out: inout String) {
  out += "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": out += "\\\""
    case "\\": out += "\\\\"
    case "\n": out += "\\n"
    case "\r": out += "\\r"
    case "\t": out += "\\t"
    case _ where scalar.value < 0x20:
      let hex = String(scalar.value, radix: 16)
      out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
    default: out.unicodeScalars.append(scalar)
    }
  }
  out += "\""
}

struct RawJSONError: Error, Hashable, CustomStringConvertible {
  var position: Int
  var detail: String
  var description: String { "not JSON: \(detail) at byte \(position)" }
}

extension RawJSON {
  static let depthMax = 128

  /// - Throws: `RawJSONError` with the position, also where arrays and objects nest deeper than `depthMax`.
  init(parsing bytes: some Collection<UInt8>) throws(RawJSONError) {
    var reader = RawJSONReader(bytes: Array(bytes))
    self = try reader.document()
  }
}

private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

private struct RawJSONReader {
  let bytes: [UInt8]
  var position = 0

  mutating func document() throws(RawJSONError) -> RawJSON {
    let value = try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw failure("something follows the value") }
    return value
  }

  private func failure(_ detail: String) -> RawJSONError { RawJSONError(position: position, detail: detail) }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) throws(RawJSONError) -> RawJSON {
    guard depth <= RawJSON.depthMax else { throw failure("nested deeper than \(RawJSON.depthMax)") }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case nil: throw failure("the text ends")
    case let byte? where byte == UInt8(ascii: "-") || isDigit(byte): return try number()
    default: throw failure("unexpected character")
    }
  }

  private mutating func word(_ word: StaticString, _ value: RawJSON) throws(RawJSONError) -> RawJSON {
    let text = Array("\(word)".utf8)
    guard bytes.count - position >= text.count, Array(bytes[position..<position + text.count]) == text else {
      throw failure("unexpected character")
    }
    position += text.count
    return value
  }

  private mutating func digits() throws(RawJSONError) {
    let start = position
    while let byte = next, isDigit(byte) { position += 1 }
    guard position > start else { throw failure("expected a digit") }
  }

  private mutating func number() throws(RawJSONError) -> RawJSON {
    let start = position
    _ = take(UInt8(ascii: "-"))
    if !take(UInt8(ascii: "0")) { try digits() }
    if take(UInt8(ascii: ".")) { try digits() }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    return .number(String(decoding: bytes[start..<position], as: UTF8.self))
  }

  private mutating func string() throws(RawJSONError) -> String {
    position += 1
    var out: [UInt8] = []
    while true {
      guard let byte = next else { throw failure("the text ends in a string") }
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: out, as: UTF8.self) else { throw failure("a string is not UTF-8") }
        return text
      case UInt8(ascii: "\\"): try escape(into: &out)
      case 0..<0x20: throw failure("control character in a string")
      default: out.append(byte)
      }
    }
  }

  private mutating func escape(into out: inout [UInt8]) throws(RawJSONError) {
    guard let byte = next else { throw failure("the text ends in a string") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
    case UInt8(ascii: "b"): out.append(8)
    case UInt8(ascii: "f"): out.append(12)
    case UInt8(ascii: "n"): out.append(10)
    case UInt8(ascii: "r"): out.append(13)
    case UInt8(ascii: "t"): out.append(9)
    case UInt8(ascii: "u"):
      var code = try hex4()
      if (0xD800..<0xDC00).contains(code), take(UInt8(ascii: "\\")) {
        guard take(UInt8(ascii: "u")) else { throw failure("half of a surrogate pair") }
        let low = try hex4()
        guard (0xDC00..<0xE000).contains(low) else { throw failure("half of a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("half of a surrogate pair") }
      out.append(contentsOf: Array(Character(scalar).utf8))
    default: throw failure("unknown escape")
    }
  }

  private mutating func hex4() throws(RawJSONError) -> UInt32 {
    guard bytes.count - position >= 4 else { throw failure("the text ends in a string") }
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue, bytes[position] < 0x80 else {
        throw failure("expected a hexadecimal digit")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }

  private mutating func array(depth: Int) throws(RawJSONError) -> RawJSON {
    position += 1
    var elements: [RawJSON] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array([]) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if take(UInt8(ascii: "]")) { return .array(elements) }
      guard take(UInt8(ascii: ",")) else { throw failure("expected ',' or ']'") }
    }
  }

  private mutating func object(depth: Int) throws(RawJSONError) -> RawJSON {
    position += 1
    var members: [RawJSON.Member] = []
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object([]) }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw failure("expected a member's name") }
      let name = try string()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw failure("expected ':'") }
      members.append(RawJSON.Member(name: name, value: try value(depth: depth + 1)))
      skipSpace()
      if take(UInt8(ascii: "}")) { return .object(members) }
      guard take(UInt8(ascii: ",")) else { throw failure("expected ',' or '}'") }
    }
  }
}
