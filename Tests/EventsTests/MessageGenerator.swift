import Events
import TestSupport

/// Messages as fleets of devices send them, and worse: a few shapes over and over, then members in any order, white space,
/// escapes, names twice, odd numbers and times, deep and long values, and texts that are broken.
struct MessageGenerator {
  var random: SeededGenerator

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }
  mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
  mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

  // MARK: values

  mutating func space() -> String { chance(8) ? pick([" ", "\n", "\t ", "  \r\n"]) : "" }

  mutating func text() -> String {
    switch below(14) {
    case 0:
      pick([
        "", #"\n"#, #"\u0041"#, #"\ud83d\ude00"#, #"\ud800"#, #"\x"#, "é漢𝄞", #"a\"b"#, "a\u{1}b", "e\u{301}", #"\u0000"#,
        "\u{7f}",
      ])
    case 1: String(repeating: "x", count: below(60))
    case 2 where chance(2): String(repeating: "y", count: EventReader.attributeBytesMax - 2 + below(5))
    default: pick(["ams-", "device/", "reading", "k"]) + String(below(300))
    }
  }

  static let oddNumbers = [
    "-0", "0", "-0.0", "00", "01", "1.", ".5", "1e5", "1E-3", "-", "1e400", "0.1e", "+1", "1.5e3", "123456789012345678",
    "1234567890123456789", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
    "1234567890.123456789", "0.30000000000000004", "123456.7", "1234567.8", "12345678", "1234567", "123456",
    "99999999999999999.5", "0.00000000000000001", "9007199254740993.0", "-12345678901234567.5", "1.2.3", "1-2",
  ]

  mutating func number() -> String {
    switch below(12) {
    case 0: return pick(MessageGenerator.oddNumbers)
    case 1:
      var digits = chance(20) ? "-" : ""
      for _ in 0...below(20) { digits += String(below(10)) }
      guard chance(60) else { return digits }
      digits += "."
      for _ in 0...below(18) { digits += String(below(10)) }
      return digits
    default: return chance(50) ? String(Double(below(4000)) / 100) : String(below(100_000))
    }
  }

  static let oddTimes = [
    "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "2024-05-01t12:00:00z", "2024-05-01 12:00:00Z", "2024-05-01T12:00:60Z",
    "2024-05-01T12:00:61Z", "2024-05-01T24:00:00Z", "1677-09-21T00:12:43.145224192Z", "1677-09-21T00:12:43Z",
    "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775808Z", "1699-12-31T23:59:59.5Z", "0000-01-01T00:00:00Z",
    "2024-05-01T12:00:00+02:00", "2024-05-01T12:00:00.5-23:59", "2024-05-01T12:00:00.Z", "2024-05-01T12:00:00.1234567891Z",
    "2024-13-01T00:00:00Z", "2024-05-01T12:00", "2024-05-01T12:00:00", "2024/05/01T12:00:00Z", "2024-05-01T12:0:000Z",
    "2024-05-01T1::00:00Z", "20:4-05-01T12:00:00Z",
  ]

  mutating func time() -> String {
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    if chance(10) { return pick(MessageGenerator.oddTimes) }
    let date = chance(10) ? "\(1600 + below(700))-\(two(1 + below(12)))-\(two(1 + below(31)))" : "2024-05-\(two(1 + below(3)))"
    return "\(date)T\(two(below(24))):\(two(below(60))):\(two(below(60)))"
      + pick(["Z", ".123Z", ".123456Z", ".1Z", ".123456789Z", ".12345678Z"])
  }

  mutating func value(depth: Int = 0) -> String {
    switch below(depth > 5 ? 8 : 12) {
    case 4, 5: return "\"" + text() + "\""
    case 6: return pick(["true", "false", "null", "nul", "tru", "{}", "{ }", "[]", "[ ]"])
    case 8: return "[" + (0..<below(4)).map { _ in value(depth: depth + 1) }.joined(separator: "," + space()) + "]"
    case 9...11: return object(depth: depth + 1)
    default: return number()
    }
  }

  mutating func object(depth: Int) -> String {
    let names = ["value", "site", "a", "b", "temp", "", "value1", "value2", #"\u0061"#, "a very long name of a member"]
    let members = (0..<below(5)).map { _ in "\"\(pick(names))\"\(space()):\(space())\(value(depth: depth))" }
    return "{" + space() + members.joined(separator: space() + "," + space()) + space() + "}"
  }

  // MARK: events

  mutating func event() -> String { chance(75) ? reading() : anything() }

  /// One of ten shapes, mostly with its members in their order.
  private mutating func reading() -> String {
    let shape = below(10), number = below(100_000)
    var members = [
      #""id":"\#(number)""#, #""source":"device/\#(number % 30)""#, #""type":"t\#(shape % 3)""#, #""time":"\#(time())""#,
      #""sequence":\#(chance(95) ? String(number) : self.number())"#,
    ]
    members.append(shape < 6 ? #""data":{"value\#(shape)":\#(self.number()),"site":"\#(text())"}"# : #""data":\#(value())"#)
    switch shape {
    case 7: members.append(#""specversion":"\#(chance(90) ? "1.0" : "0.3")""#)
    case 8: members.append(#""region":\#(chance(80) ? "\"eu\"" : value())"#)
    case 9: members += [#""epoch":\#(below(3))"#, #""subject":"\#(text())""#]
    default: break
    }
    if chance(3) { members.append(pick(members)) }
    if chance(2) { members.remove(at: below(members.count)) }
    if chance(10) { members.shuffle(using: &random) }
    return "{" + members.joined(separator: ",") + "}"
  }

  private mutating func anything() -> String {
    var members = [
      #""source"\#(space()):\#(space())"\#(text())""#, #""type":\#(chance(95) ? "\"\(text())\"" : value())"#,
    ]
    let names = [
      "id", "time", "sequence", "epoch", "subject", "specversion", "region", "Region", "data_base64", "traceparent",
    ]
    for name in names where chance(30) {
      let string = chance(40) ? pick(["1.0", "aGFsbG8=", "5", "18446744073709551615"]) : text()
      let value = name == "time" ? "\"\(time())\"" : chance(40) ? number() : chance(80) ? "\"\(string)\"" : value()
      members.append("\"\(name)\":\(space())\(value)")
    }
    if chance(80) { members.append("\"data\":" + (chance(60) ? object(depth: 1) : value())) }
    if chance(4) {
      let depth = 58 + below(10)
      let ends = String(repeating: "}", count: depth + (chance(5) ? 1 : 0))
      members.append("\"data\":" + String(repeating: #"{"a":"#, count: depth) + "1" + ends)
    }
    if chance(60) { members.shuffle(using: &random) }
    return "{" + space() + members.joined(separator: space() + "," + space()) + space() + "}"
  }

  // MARK: messages

  /// A message in the framing, valid UTF-8; one in four is broken in a place or three.
  mutating func message(_ framing: EventReader.Framing) -> [UInt8] {
    var bytes: [UInt8]
    switch framing {
    case .single: bytes = Array(event().utf8)
    case .lines: bytes = Array((0..<below(6)).map { _ in event() }.joined(separator: "\n").utf8)
    case .json:
      let events = (0..<below(6)).map { _ in event() }
      bytes = Array(
        (chance(50) ? event() : "[" + space() + events.joined(separator: space() + "," + space()) + space() + "]").utf8)
    }
    guard chance(25) else { return bytes }
    for _ in 0...below(3) where !bytes.isEmpty { mutate(&bytes) }
    return String(validating: bytes, as: UTF8.self) == nil ? [] : bytes
  }

  private mutating func mutate(_ bytes: inout [UInt8]) {
    let tokens = Array("\"\\{}[]:,0129.eE+-tfn \u{1}".utf8)
    let place = below(bytes.count)
    switch below(4) {
    case 0: bytes[place] = pick(tokens)
    case 1: bytes.remove(at: place)
    case 2: bytes.insert(pick(tokens), at: place)
    default: bytes.removeLast(bytes.count - place)
    }
  }
}
