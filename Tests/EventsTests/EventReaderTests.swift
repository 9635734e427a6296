import Events
import Testing

@Suite("The event reader")
struct EventReaderTests {
  /// The events taken from a message, and its rejects as (index, code).
  struct Outcome: Equatable {
    var events: [Event] = []
    var rejects: [String] = []
  }

  static let arrival = Timestamp(nanoseconds: 1_000_000_000)

  func read(_ text: String, framing: EventReader.Framing = .json, source: String? = nil) -> Outcome {
    let reader = EventReader()
    let builder = ColumnBatchBuilder(partition: PartitionID(0))
    var outcome = Outcome()
    var bytes = Array(text.utf8)
    let count = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: EventReader.padding))
    bytes.withUnsafeBytes { buffer in
      reader.begin(
        message: UnsafeRawBufferPointer(rebasing: buffer[..<count]), framing: framing, arrival: Self.arrival,
        defaultSource: source.map { Array($0.utf8) })
      while let step = reader.next() {
        switch step {
        case .event:
          if builder.isFull { outcome.events += builder.seal(reader)?.events() ?? [] }
          builder.append(reader)
        case .reject(let index, let reject):
          outcome.rejects.append("\(index.map(String.init) ?? "null") \(reject.code.rawValue)")
        }
      }
    }
    outcome.events += builder.seal(reader)?.events() ?? []
    return outcome
  }

  @Test("takes one event, with the arrival as its time when it brings none")
  func single() {
    let outcome = read(#" {"type":"t","source":"s","data":{"value":21.5,"ok":true}} "#)
    #expect(outcome.rejects == [])
    #expect(
      outcome.events == [Event(source: "s", type: "t", time: Self.arrival, data: ["value": .double(21.5), "ok": .bool(true)])])
  }

  @Test("members of one name in different objects of an array are taken, and so are names that differ in their bytes only")
  func namesInArrays() throws {
    let data = #"[{"a":1,"b":{"a":2}},{"a":3},[{"a":4}],{"caf\u00e9":5,"cafe\u0301":6}]"#
    let outcome = read(#"{"type":"t","source":"s","data":\#(data)}"#)
    #expect(outcome.rejects == [])
    #expect(outcome.events.first?.data == (try JSONValue(parsing: data)))
  }

  @Test("takes an array, an empty one too, and the connection's source as the default")
  func array() {
    #expect(read("[]") == Outcome())
    let outcome = read(#"[{"type":"t"}, {"type":"u","source":"own"} ]"#, source: "named")
    #expect(outcome.events.map(\.source) == ["named", "own"])
    #expect(outcome.rejects == [])
  }

  @Test(
    "refuses a message that is no event and says so for the message or the event",
    arguments: [
      ("", "null malformed_json"), ("nonsense", "null malformed_json"), ("{", "null malformed_json"),
      (#"{"type":"t","source":"s"} x"#, "null malformed_json"), ("1", "null invalid_event"), (#""text""#, "null invalid_event"),
      ("[", "null malformed_json"), (#"{"type":"t","source":"s",}"#, "null malformed_json"),
      (#"{"type":"t","source":"s","data":01}"#, "null malformed_json"),
      (#"{"type":"t","source":"s","data":+1}"#, "null malformed_json"),
      (#"{"type":"t","source":"s","data":.5}"#, "null malformed_json"),
      (#"{"type":"t","source":"s","data":1.}"#, "null malformed_json"),
      (#"{"type":"t","source":"s","data":1e}"#, "null malformed_json"),
      (#"{"type":"t","source":"s","data":NaN}"#, "null malformed_json"),
      (#"{"type":"t","source":"s","data":"\x"}"#, "null malformed_json"),
      ("{\"type\":\"t\",\"source\":\"s\",\"data\":\"a\nb\"}", "null malformed_json"),
      (#"{"type":"t"}"#, "0 missing_source"), (#"{"source":"s"}"#, "0 missing_type"), ("{}", "0 missing_source"),
      (#"{"type":1,"source":"s"}"#, "0 invalid_type"), (#"{"type":"t","source":["s"]}"#, "0 invalid_source"),
      (#"{"type":"t","source":""}"#, "0 invalid_source"), (#"{"type":"t","source":"s","id":7}"#, "0 invalid_id"),
      (#"{"type":"t","source":"s","time":"yesterday"}"#, "0 invalid_time"),
      (#"{"type":"t","source":"s","time":12}"#, "0 invalid_time"),
      (#"{"type":"t","source":"s","time":"2013-02-29T00:00:00Z"}"#, "0 invalid_time"),
      (#"{"type":"t","source":"s","sequence":-1}"#, "0 invalid_sequence"),
      (#"{"type":"t","source":"s","sequence":1.5}"#, "0 invalid_sequence"),
      (#"{"type":"t","source":"s","sequence":18446744073709551616}"#, "0 invalid_sequence"),
      (#"{"type":"t","source":"s","epoch":"x"}"#, "0 invalid_epoch"),
      (#"{"type":"t","source":"s","data":[{"a":1,"a":2}]}"#, "0 duplicate_member"),
      (#"{"type":"t","source":"s","data":{"l":[1,[{"b":{"a":1,"\u0061":2}}]]}}"#, "0 duplicate_member"),
      (#"{"type":"t","source":"s","data_base64":"=AAA"}"#, "0 invalid_data"),
      (#"{"type":"t","source":"s","data_base64":"===="}"#, "0 invalid_data"),
      (#"{"type":"t","source":"s","data_base64":"AB=="}"#, "0 invalid_data"),
      (#"{"type":"t","source":"s","specversion":"0.3"}"#, "0 invalid_specversion"),
      (#"{"type":"t","source":"s","Region":"x"}"#, "0 invalid_attribute"),
      (#"{"type":"t","source":"s","region":{"a":1}}"#, "0 invalid_attribute"),
      (#"{"type":"t","source":"s","region":1.5}"#, "0 invalid_attribute"),
      (#"{"type":"t","source":"s","data":1,"data_base64":"aGFsbG8="}"#, "0 invalid_data"),
      (#"{"type":"t","source":"s","data_base64":"a b"}"#, "0 invalid_data"),
      (#"{"type":"t","source":"s","type":"u"}"#, "0 duplicate_member"),
      (#"{"type":"t","source":"s","data":{"a":1,"\u0061":2}}"#, "0 duplicate_member"),
      (#"{"type":"t","source":"s","data":1e400}"#, "0 number_out_of_range"),
      (#"{"type":"t","source":"s","data":"\ud800"}"#, "0 invalid_string"),
      (#"{"type":"t","source":"s","data":"\udc00\ud800"}"#, "0 invalid_string"),
      (#"{"type":"t","source":"s","data":["\ud800x"]}"#, "0 invalid_string"),
    ])
  func rejects(text: String, expected: String) {
    let outcome = read(text)
    #expect(outcome.events == [])
    #expect(outcome.rejects == [expected])
  }

  @Test("bounds nesting, members and strings; each costs only its own event")
  func bounds() {
    let good = #"{"type":"t","source":"s","data":{"n":1}}"#
    let deep = String(repeating: "[", count: 100_000)
    let cases: [(String, String)] = [
      (String(repeating: #"{"a":"#, count: 70) + "1" + String(repeating: "}", count: 70), "1 too_deep"),
      ("[" + String(repeating: "[", count: 70) + String(repeating: "]", count: 70) + "]", "1 too_deep"),
      ("{" + (0..<5000).map { "\"m\($0)\":\($0)" }.joined(separator: ",") + "}", "1 too_many_members"),
      ("\"" + String(repeating: "x", count: 1 << 20) + "\"", "1 string_too_long"),
      (String(repeating: "9", count: 400), "1 number_out_of_range"),
    ]
    for (data, expected) in cases {
      let outcome = read("[\(good),{\"type\":\"t\",\"source\":\"s\",\"data\":\(data)},\(good)]")
      #expect(outcome.rejects == [expected])
      #expect(outcome.events.count == 2, "\(expected)")
    }
    #expect(read(#"{"type":"t","source":"s","data":"# + deep).rejects == ["0 too_deep"])
    #expect(read(#"{"type":"t","source":""# + String(repeating: "s", count: 9000) + "\"}").rejects == ["0 string_too_long"])
  }

  @Test("goes on after a malformed event in an array")
  func resynchronises() {
    let good = #"{"type":"t","source":"s"}"#
    let outcome = read("[\(good),{\"type\":bad, \"s\":\"}]\"},7,\(good)]")
    #expect(outcome.events.count == 2)
    #expect(outcome.rejects == ["1 malformed_json", "2 invalid_event"])
    let cut = read("[\(good),{\"type\":\"t\",\"sour")
    #expect(cut.events.count == 1)
    #expect(cut.rejects == ["1 malformed_json"])
  }

  @Test("reads lines, passing over empty ones, each for itself")
  func lines() {
    let outcome = read(
      "{\"type\":\"t\",\"source\":\"s\"}\r\n\n  \n{\"type\":\"t\"}\nnope\n{\"type\":\"u\",\"source\":\"s\"}", framing: .lines)
    #expect(outcome.events.map(\.type) == ["t", "u"])
    #expect(outcome.rejects == ["1 missing_source", "2 malformed_json"])
    #expect(read("{\"type\":\"t\",\n\"source\":\"s\"}", framing: .lines).rejects.count == 2)
    #expect(read("", framing: .lines) == Outcome())
  }

  @Test("keeps integers beyond 64 bits, and numbers as exact as a double")
  func numbers() {
    let outcome = read(
      #"{"type":"t","source":"s","sequence":"18446744073709551615","data":[{"a":1}],"x":9223372036854775807}"#)
    #expect(outcome.events.first?.sequence == .max)
    #expect(outcome.events.first?.attributes["x"] == .int(.max))
    let numbers = read(
      #"{"type":"t","source":"s","data":{"a":18446744073709551616,"b":10.357019999999999,"c":-9223372036854775808,"d":1E+2,"e":0.1e1,"f":123456789012345678901234567890.5}}"#
    )
    #expect(
      numbers.events.first?.data
        == [
          "a": .number("18446744073709551616"), "b": .double(10.357019999999999), "c": .int(.min), "d": .double(100),
          "e": .double(1), "f": .double(123456789012345678901234567890.5),
        ])
  }

  @Test("reads whatever the event writer writes, in any member order", arguments: 0..<40)
  func shuffled(seed: UInt64) throws {
    var generator = EventGenerator(seed: seed)
    let events = (0..<20).map { _ in generator.event() }
    let texts = try events.map { event -> String in
      var bytes: [UInt8] = []
      event.writeJSON(to: &bytes)
      guard case .object(let members) = try JSONValue(parsing: bytes) else { return "" }
      let shuffled = members.shuffled(using: &generator.random)
      return "{ " + shuffled.map { "\(JSONValue.string($0.name).text) :\n\($0.value.text)" }.joined(separator: " ,") + "\t}"
    }
    let outcome = read("[" + texts.joined(separator: ",") + "]")
    #expect(outcome.rejects == [], "seed \(seed)")
    #expect(outcome.events == events, "seed \(seed)")
  }

  @Test("never traps on mutated messages", arguments: 0..<20)
  func mutations(seed: UInt64) {
    var generator = EventGenerator(seed: seed)
    var text: [UInt8] = [0x5B]
    for index in 0..<4 {
      if index > 0 { text.append(0x2C) }
      generator.event().writeJSON(to: &text)
    }
    text.append(0x5D)
    let tokens = Array("\"\\{}[]:,0129.eE+-truefalsn u".utf8)
    for _ in 0..<300 {
      var mutated = text
      for _ in 0..<Int.random(in: 1...3, using: &generator.random) {
        let at = mutated.indices.randomElement(using: &generator.random) ?? 0
        switch Int.random(in: 0..<3, using: &generator.random) {
        case 0: mutated[at] = tokens.randomElement(using: &generator.random) ?? 0
        case 1: mutated.remove(at: at)
        default: mutated.insert(tokens.randomElement(using: &generator.random) ?? 0, at: at)
        }
      }
      let outcome = read(String(decoding: mutated, as: UTF8.self))
      #expect(outcome.events.count + outcome.rejects.count >= 1, "seed \(seed)")
    }
  }
}
