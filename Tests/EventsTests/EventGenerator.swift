import Events
import TestSupport

/// Events with every JSON type in every place CloudEvents allows.
struct EventGenerator {
  var random: SeededGenerator

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

  mutating func text(_ lengths: ClosedRange<Int> = 0...20) -> String {
    let alphabet: [Character] = [
      "a", "b", "\"", "\\", "/", "\n", "\u{1}", "é", "漢", "𝄞", "\u{7f}", " ", "0", "\u{FFFD}", "e\u{301}",
    ]
    return String((0..<Int.random(in: lengths, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "x" })
  }

  mutating func number() -> JSONValue {
    switch Int.random(in: 0..<9, using: &random) {
    case 0: .int(Int64.random(in: .min ... .max, using: &random))
    case 1: .int([Int64.min, .max, 0, -1, 255, 256, 65_535, 65_536].randomElement(using: &random) ?? 0)
    case 2: .int(Int64.random(in: -300...300, using: &random))
    case 3: .number("1844674407370955161\(Int.random(in: 6...9, using: &random))000")
    case 4: .number("-98765432109876543210")
    case 5: .double(Double.random(in: -1e6...1e6, using: &random))
    case 6:
      .double(
        [0.1, -0.0, 5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, 1e22, 1e23].randomElement(using: &random) ?? 0)
    case 7: .double(Double(bitPattern: UInt64.random(in: 0..<0x7FF0_0000_0000_0000, using: &random)))
    default: .double(Double(Int.random(in: -4000...4000, using: &random)) / 100)
    }
  }

  mutating func value(depth: Int = 0) -> JSONValue {
    switch Int.random(in: 0..<(depth < 4 ? 9 : 6), using: &random) {
    case 0: return .null
    case 1: return .bool(chance(50))
    case 2, 3: return number()
    case 4, 5: return .string(text())
    case 6: return .array((0..<Int.random(in: 0...3, using: &random)).map { _ in value(depth: depth + 1) })
    default:
      var members = JSONObject()
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        members[chance(80) ? ["temp", "site", "a", "b", ""].randomElement(using: &random) ?? "" : text()] = value(
          depth: depth + 1)
      }
      return .object(members)
    }
  }

  mutating func event() -> Event {
    var event = Event(
      source: chance(80) ? "station/\(Int.random(in: 0...5, using: &random))" : text(1...30),
      type: chance(90) ? "weather.observed" : text(1...10),
      time: Timestamp(
        nanoseconds: chance(50)
          ? Int64.random(in: 0...1_000_000, using: &random) * 60_000_000_000
          : Int64.random(in: -9_000_000_000_000_000_000...9_000_000_000_000_000_000, using: &random)))
    if chance(70) { event.id = text(1...12) }
    if chance(30) { event.subject = text(1...8) }
    if chance(60) { event.sequence = chance(90) ? UInt64.random(in: 0...1000, using: &random) : .max }
    if chance(20) { event.epoch = UInt64.random(in: 0...(.max), using: &random) }
    if chance(20) { event.attributes["region"] = .string(text()) }
    if chance(10) { event.attributes["flag"] = .bool(chance(50)) }
    if chance(10) { event.attributes["hops"] = .int(Int64.random(in: .min ... .max, using: &random)) }
    if chance(85) {
      event.data = value()
    } else if chance(50) {
      event.attributes["data_base64"] = .string("aGFsbG8=")
    }
    return event
  }
}
