import Testing

@testable import PenstockClient

@Suite("A client's reading of JSON text")
struct TextTests {
  private func scan(_ text: String) -> EventFacts? {
    var text = text
    return text.withUTF8 { EventFacts(UnsafeRawBufferPointer($0)) }
  }

  @Test("source, sequence and epoch are found at the top level, wherever they stand")
  func found() throws {
    let text = #" {"data":{"source":"no","sequence":1},"sequence":18446744073709551615,"é":[1,{}],"epoch" : 3 ,"source":"a/b"} "#
    let facts = try #require(scan(text))
    let bytes = Array(text.utf8)
    #expect(String(decoding: bytes[facts.source], as: UTF8.self) == "a/b")
    #expect((facts.sequence, facts.epoch) == (.max, 3))
  }

  @Test("a source written with escapes goes the same way as the same one written plainly")
  func escaped() throws {
    #expect(try #require(scan(#"{"source":"\u0061\/b"}"#)).sourceHash == #require(scan(#"{"source":"a/b"}"#)).sourceHash)
    #expect(try #require(scan(#"{"source":"\u0061\/b"}"#)).source.isEmpty)
  }

  @Test(
    "what is not one well-formed object is told",
    arguments: [
      "", " ", "17", "[]", "{", "}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{"a":01}"#, #"{"a":1.}"#, #"{"a":-}"#, #"{"a":1e}"#,
      #"{"a":"\x"}"#, #"{"a":"\u12g4"}"#, "{\"a\":\"\n\"}", #"{"a":1}{"b":2}"#, #"{"a":1} x"#, #"{"a":tru}"#, #"{"a":NaN}"#,
      #"{"sequence":}"#, #"{"source":"#,
      "{\"a\":" + String(repeating: "[", count: 600) + String(repeating: "]", count: 600) + "}",
    ])
  func malformed(text: String) { #expect(scan(text) == nil) }

  @Test(
    "what is well formed is taken, be it a good event or not",
    arguments: [
      "{}", #"{"a":[1,-0.5e+3,null,true,false,"\"\\\/\b\f\n\r\t\u00e9",{"b":[]}]}"#, #"{"sequence":-1}"#, #"{"sequence":"7"}"#,
      #"{"sequence":18446744073709551616}"#, #"{"source":7}"#,
    ])
  func wellFormed(text: String) throws { #expect(try #require(scan(text)).sequence == nil) }

  @Test("a cut of a well-formed event at any byte is malformed")
  func cut() {
    let text = Array(#"{"source":"s","sequence":12,"data":{"v":[1.5e3,"é\u00e9",true,null]}}"#.utf8)
    for length in 0..<text.count {
      let isTaken = text.withUnsafeBytes { EventFacts(UnsafeRawBufferPointer(rebasing: $0[..<length])) != nil }
      #expect(!isTaken, "cut at \(length)")
    }
  }

  @Test("what the server says is understood, members in any order")
  func server() {
    func read(_ text: String) -> ServerMessage? {
      var text = text
      return text.withUTF8 { ServerMessage(UnsafeRawBufferPointer($0)) }
    }
    let welcome =
      #"{"resume":{"a \"b\"":{"sequence":18446744073709551615,"epoch":2}},"limits":{"unacked_messages":7,"message_bytes":9},"#
      + #""heartbeat":"30s","kind":"welcome"}"#
    #expect(
      read(welcome)
        == .welcome(
          .init(
            heartbeatMilliseconds: 30_000, messageBytesMax: 9, unackedMessagesMax: 7,
            resume: ["a \"b\"": ResumePosition(epoch: 2, sequence: .max)])))
    #expect(
      read(#"{"kind":"ack","messages":12,"appended":1180,"duplicates":20,"rejected":1,"offsets":{"0":118,"3":90}}"#)
        == .ack(.init(messages: 12, appended: 1180, duplicates: 20, rejected: 1, offsets: [(0, 118), (3, 90)])))
    #expect(
      read(#"{"kind":"reject","message":13,"event":null,"code":"x","detail":"\u00e9"}"#)
        == .reject(.init(message: 13, event: nil, code: "x", detail: "é")))
    #expect(read(#"{"kind":"news"}"#) == .other)
    #expect(read(#"{"kind":"ack""#) == nil)
  }
}
