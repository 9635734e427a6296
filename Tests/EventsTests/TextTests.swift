import Testing

@testable import Events

/// One name in two spellings, which Swift takes for one: é as one scalar, and as e with an accent.
private let composed = "caf\u{E9}", decomposed = "cafe\u{301}"

@Suite("Text that users send")
struct TextTests {
  @Test("canonically equal texts are two, to comparing, hashing and sorting")
  func spellings() {
    #expect(composed == decomposed, "Swift's own comparison is why there is another")
    #expect(!composed.hasSameBytes(as: decomposed) && composed.hasSameBytes(as: "caf\u{E9}"[...]))
    #expect(UTF8Text(composed) != UTF8Text(decomposed))
    #expect(Set([UTF8Text(composed), UTF8Text(decomposed), UTF8Text(composed)]).count == 2)
    #expect([UTF8Text("\u{E9}"), "f", "e\u{301}", "e", ""].sorted().map(\.string.utf8.count) == [0, 1, 3, 1, 2])
    #expect(UTF8Text("") == "" && !"".hasSameBytes(as: "a"))
  }

  @Test("values, members, paths and events of two spellings are unequal")
  func values() {
    #expect(JSONValue.string(composed) != .string(decomposed))
    var object = JSONObject()
    object[composed] = .int(1)
    object[decomposed] = .int(2)
    #expect(object.count == 2 && object[composed] == .int(1) && object[decomposed] == .int(2))
    var other = JSONObject()
    other[decomposed] = .int(2)
    #expect(object != other)
    other[composed] = .int(1)
    #expect(object == other && object.hashValue == other.hashValue)
    #expect(Set<ValuePath>([.data([composed]), .data([decomposed]), .attribute(composed), .attribute(decomposed)]).count == 4)
    let time = Timestamp(nanoseconds: 0)
    #expect(Event(source: composed, type: "t", time: time) != Event(source: decomposed, type: "t", time: time))
  }

  @Test("an event with members of two spellings comes back with both, and so does its line")
  func members() throws {
    let data = try JSONValue(
      parsing:
        #"{"\#(composed)":1,"x":{"\#(decomposed)":2,"\#(composed)":3},"\#(decomposed)":4,"l":[{"\#(composed)":5,"\#(decomposed)":6}]}"#
    )
    let event = Event(source: composed, type: "t", time: Timestamp(nanoseconds: 0), data: data)
    let batch = ColumnBatch(events: [event], partition: PartitionID(0))
    #expect(batch.events() == [event])
    var writer = EventLineWriter()
    #expect(writer.append(batch, 0..<1) == 1)
    #expect(try JSONValue(parsing: writer.withBytes { Array($0) })["data"] == data)
  }

  @Test("JSON of bytes that are no UTF-8 is refused, where they are")
  func repaired() {
    let texts: [(bytes: [UInt8], position: Int)] = [
      ([0x22, 0x64, 0xFF, 0x22], 2), ([0x22, 0xC3, 0xA9, 0xFE, 0x22], 3), ([0x22, 0xC3], 1),
    ]
    for text in texts {
      do throws(JSONError) {
        _ = try JSONValue(parsing: text.bytes)
        Issue.record("taken: \(text.bytes)")
      } catch {
        #expect(error.problem == .notUTF8 && error.position == text.position)
      }
    }
  }

  @Test(
    "percent-encoded text is decoded",
    arguments: [
      ("a%20b", "a b"), ("%C3%A9", "é"), ("%c3%a9", "é"), ("a+b", "a+b"), ("", ""), ("%25FF", "%FF"), ("é", "é"),
      ("%00", "\u{0}"),
    ])
  func decoded(text: String, meaning: String) {
    #expect(PercentText.decode(text).map { UTF8Text($0) } == UTF8Text(meaning))
    #expect(PercentText.decode(PercentText.encode(meaning)).map { UTF8Text($0) } == UTF8Text(meaning))
  }

  @Test(
    "what is no percent-encoded UTF-8 is refused, and so are bytes that a reader has repaired",
    arguments: ["d%FF", "%FE", "%+5", "%", "%4", "%zz", "% 5", "%-1", "a%C3", "%C3%28", "%ED%A0%80", "d\u{FFFD}", "%F5%80%80%80"])
  func refused(text: String) { #expect(PercentText.decode(text) == nil) }

  @Test("a plus is a space in queries only, and U+FFFD is taken where it is encoded")
  func plus() {
    #expect(PercentText.decode("a+b%2B", plusIsSpace: true) == "a b+")
    #expect(PercentText.decode("%EF%BF%BD") == "\u{FFFD}")
  }

  @Test("base64 is what an encoder gives, of every length")
  func base64() {
    func isWellFormed(_ text: String) -> Bool { Array(text.utf8).withUnsafeBytes { Base64Text.isWellFormed($0) } }
    for text in ["", "AA==", "AAA=", "AAAA", "+/+/", "/w==", "//8=", "QUJDRA=="] { #expect(isWellFormed(text), "\(text)") }
    for text in [
      "=AAA", "====", "A===", "AA=A", "==AA", "A", "AA", "AAA", "AA==AAAA", "AB==", "AAB=", "AA=", "-_-_", "AAA\n", "AA AA==A",
      "A=A=",
    ] { #expect(!isWellFormed(text), "\(text)") }
  }
}
