import Testing

@testable import Penstock

@Suite struct OutputTests {
  private func sample() -> Table {
    var table = Table([Table.Column("source"), Table.Column("temp", isNumber: true), Table.Column("note")])
    table.append([.string("station/EWR"), .number("38.4"), .string("clear")])
    table.append([.string("Zürich"), .number("-1"), .null])
    table.append([.string("東京"), .number("100.25"), .string("a,\"b\"")])
    return table
  }

  @Test("a table lines up, numbers to the right, without trailing spaces")
  func aligned() {
    #expect(
      sample().rendered() == """
        source         temp  note
        station/EWR    38.4  clear
        Zürich           -1
        東京         100.25  a,"b"

        """)
  }

  @Test("colour is in the heading, and only where asked for")
  func color() {
    #expect(sample().rendered(color: true).hasPrefix("\u{1B}[1msource         temp  note\u{1B}[0m\n"))
    #expect(!sample().rendered().contains("\u{1B}"))
  }

  @Test("control characters do not reach the terminal")
  func controls() {
    var table = Table([Table.Column("a"), Table.Column("b")])
    table.append([.string("x\u{1B}[2Jy\nz"), .string("\u{9B}")])
    #expect(table.rendered() == "a         b\nx\u{FFFD}[2Jy\u{FFFD}z  \u{FFFD}\n")
  }

  @Test("CSV quotes as RFC 4180 says")
  func csv() {
    #expect(
      sample().csv() == "source,temp,note\r\nstation/EWR,38.4,clear\r\nZürich,-1,\r\n東京,100.25,\"a,\"\"b\"\"\"\r\n")
    #expect(csvField("a\nb") == "\"a\nb\"")
    #expect(csvField("a\r\nb") == "\"a\r\nb\"")
    #expect(csvField("plain") == "plain")
  }

  @Test("JSON keeps each value's type")
  func jsonOutput() throws {
    let parsed = try json(sample().json())
    #expect(parsed.array?.count == 3)
    #expect(parsed.array?[0]["temp"] == .number("38.4"))
    #expect(parsed.array?[1]["note"] == .null)
    #expect(Table([Table.Column("a")]).json() == "[]\n")
  }

  @Test("a progress bar says how far, how fast and how long; and keeps to its line")
  func progress() {
    let bar = ProgressBar("send", total: 26_115, unit: "events", isDrawn: false)
    #expect(
      bar.line(done: 10_446, elapsed: .milliseconds(200), columns: 100)
        == "send  [########------------]  40%  10,446 of 26,115 events  52,230/s  0:01 left")
    #expect(bar.line(done: 26_115, elapsed: .seconds(1), columns: 100).contains("[####################]  100%"))
    #expect(bar.line(done: 1, elapsed: .zero, columns: 20).count == 19)
    let endless = ProgressBar("send", total: nil, unit: "events", isDrawn: false)
    #expect(endless.line(done: 5000, elapsed: .seconds(2), columns: 100) == "send  5,000 events  2,500/s")
  }

  @Test(
    "thousands are set off", arguments: [(0, "0"), (999, "999"), (1000, "1,000"), (-26_115, "-26,115"), (1_234_567, "1,234,567")])
  func thousands(number: Int, text: String) {
    #expect(grouped(number) == text)
  }
}

@Suite struct RawJSONTests {
  @Test(
    "what is read is written the same: order, spelling and all",
    arguments: [
      #"{"b":1,"a":2,"b":3}"#, "[1.0,1e5,-0,18446744073709551616,0.1]", #"["\"\\\n\u0001é😀"]"#, "null", "true", "[]", "{}",
      #""""#,
    ])
  func roundTrip(text: String) throws {
    #expect(try json(text).text == text)
  }

  @Test("escapes are read", arguments: [(#""\u00e9\ud83d\ude00\/\b\f""#, "é😀/\u{8}\u{C}"), (#""a\tb""#, "a\tb")])
  func escapes(text: String, expected: String) throws {
    #expect(try json(text) == .string(expected))
  }

  @Test(
    "what is no JSON is refused",
    arguments: [
      "", "[", "{", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "01", "1.", "-", "1e", "+1", ".5", "nul", "truee", "\"",
      "\"\\x\"", "\"\\ud800\"",
      "\"\\udc00\"", "\"\\u12\"", "\"\n\"", "1 2", "[1 2]", "'a'", "\"\\ud83d\\u0041\"",
    ])
  func refused(text: String) {
    #expect(throws: RawJSONError.self) { try json(text) }
  }

  @Test("every cut of a document is refused")
  func everyCut() throws {
    let text = Array(#"{"rows":[{"a":1.5,"b":"é\n"},null,true],"c":{}}"#.utf8)
    for length in 0..<text.count {
      #expect(throws: RawJSONError.self, "cut at \(length)") { try RawJSON(parsing: text[..<length]) }
    }
    #expect(throws: Never.self) { try RawJSON(parsing: text) }
  }

  @Test("nesting is bounded")
  func depth() {
    #expect(throws: Never.self) { try json(String(repeating: "[", count: 128) + String(repeating: "]", count: 128)) }
    #expect(throws: RawJSONError.self) { try json(String(repeating: "[", count: 1_000_000)) }
  }
}
