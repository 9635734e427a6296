import Events
import TestSupport
import Testing

@testable import Expressions

private func canonical(_ text: String) throws -> String { try Expression(parsing: text).canonicalText }

@Test(
  "the canonical text keeps the meaning and drops what does not matter",
  arguments: [
    ("type=='a'", #"type == "a""#), ("((1+2))*3 == 9", "(1 + 2) * 3 == 9"), ("1+2*3==7", "1 + 2 * 3 == 7"),
    ("1-(2-3) == 2", "1 - (2 - 3) == 2"), ("(1-2)-3 == -4", "1 - 2 - 3 == -4"),
    ("data.a||data.b&&data.c", "data.a || data.b && data.c"),
    ("(data.a||data.b)&&data.c", "(data.a || data.b) && data.c"), ("!(data.a&&data.b)", "!(data.a && data.b)"),
    ("!!data.a", "!!data.a"),
    ("--data.a > 0", "-(-(data.a)) > 0"), ("-(1) == -1", "-(1) == -1"), ("- -1 == 1", "-(-1) == 1"),
    (#"data["a"]["b c"].d == 1"#, #"data.a["b c"].d == 1"#), (#"data["true"]"#, #"data["true"]"#),
    ("has( data.a )", "has(data.a)"),
    ("data.a in [1,-2.5,'x',null,]", #"data.a in [1, -2.5, "x", null]"#),
    ("(data.a in [1]) in [true]", "data.a in [1] in [true]"),
    ("data.a ? data.b : data.c ? 1 : 2", "data.a ? data.b : data.c ? 1 : 2"),
    ("(data.a ? true : false) ? data.b : 1", "(data.a ? true : false) ? data.b : 1"), ("data.a.size() == 1", "size(data.a) == 1"),
    (#"data.a.contains("\n\"\\")"#, #"data.a.contains("\n\"\\")"#),
    (#"(data.a + "x").startsWith("y")"#, #"(data.a + "x").startsWith("y")"#),
    (#"time > timestamp("2013-01-01T01:00:00+01:00")"#, #"time > timestamp("2013-01-01T00:00:00Z")"#),
    ("`in`==1 && `for`==2", "`in` == 1 && `for` == 2"), ("`source` == `type`", "source == type"),
    ("data.`a b`.`in` == 1", #"data["a b"]["in"] == 1"#),
    ("has(`true`) && `1st` == 2", "has(`true`) && `1st` == 2"),
    ("data.for.if == 1", "data.for.if == 1"), ("1e3 == 0x10", "1000.0 == 16"),
    ("data.a\n  // why\n && data.b", "data.a && data.b"),
  ])
func canonicalForms(text: String, expected: String) throws {
  #expect(try canonical(text) == expected)
  #expect(try canonical(expected) == expected)
  #expect(try Expression(parsing: text).nodes.map(\.kind) == Expression(parsing: expected).nodes.map(\.kind))
}

@Test("the paths an expression reads are named once, in order")
func pathsRead() throws {
  let expression = try Expression(parsing: #"data.b > 1 && has(data.a) && data.b < 5 && source.startsWith("x")"#)
  #expect(expression.paths == [.data(["b"]), .data(["a"]), .attribute("source")])
  #expect(expression.path == nil)
  #expect(try Expression(parsing: "(data.x.y)").path == .data(["x", "y"]))
}

@Test(
  "what does not parse is refused with the place and what was expected",
  arguments: [
    ("type = \"x\"", 5, "expected '=='"), ("", 0, "empty"), ("   ", 0, "empty"), ("1 +", 3, "expected a value"),
    ("(1", 2, "expected ')'"),
    ("1)", 1, "expected an operator or the end, found ')'"), ("data.", 5, "member's name"), ("data.true", 5, "write [\"true\"]"),
    ("data[0]", 5, "as a string"), ("data[\"a\"", 8, "expected ']'"), ("source.x", 7, "only data has members"),
    ("\"abc", 0, "has no end"), ("'a\nb'", 0, "no end on its line"), (#""\q""#, 1, "no such escape"),
    (#""\ud800""#, 1, "no Unicode"),
    (#""\x4""#, 1, "2 hexadecimal"), (#""\08""#, 1, "octal"), ("1.e", 2, "only data has members"), ("12ab", 2, "found 'a'"),
    ("1e", 2, "exponent"), ("9223372036854775808", 0, "suffix u"), ("99999999999999999999", 0, "beyond 64 bits"),
    ("18446744073709551616u", 0, "beyond 64 bits"), ("9223372036854775809", 0, "suffix u"), ("1e999", 0, "beyond a double"),
    ("0x", 2, "hexadecimal"),
    ("a & b", 2, "'&&'"),
    ("a | b", 2, "'||'"), ("{}", 0, "maps"), ("#", 0, "means nothing"), ("é", 0, "'é' means nothing"), ("b\"x\"", 0, "bytes"),
    ("!-data.a", 1, "do not mix"), ("-!data.a", 1, "do not mix"), ("[1]", 0, "after 'in'"),
    ("data.a in data.b", 10, "expected a list"),
    ("data.a in [data.b]", 11, "literal in the list"), ("data.a in [1 2]", 13, "',' or ']'"),
    ("data.a in [-\"x\"]", 12, "a number after '-'"),
    ("has(1)", 0, "has() takes a field"), ("has(data.a == 1)", 0, "has() takes a field"),
    ("sise(data.a)", 0, "did you mean size"),
    ("data.a.startswith(\"x\")", 7, "did you mean startsWith"), ("data.a.matches(\"x\")", 7, "not in this subset"),
    ("int(data.a) == 1", 0, "not in this subset"), ("startsWith(data.a)", 0, "is a method"),
    ("timestamp(1)", 10, "string literal"),
    ("timestamp(\"yesterday\")", 10, "RFC 3339"), ("temp_avg > 1", 0, "did you mean data.temp_avg"), ("for", 0, "reserved"),
    ("data.a ? 1", 10, "expected ':'"), ("data.a == ", 10, "found the end"), ("data.a b", 7, "expected an operator"),
  ])
func refusals(text: String, position: Int, message: String) throws {
  let error = #expect(throws: ExpressionError.self) { try Expression(parsing: text) }
  #expect(error?.position == position, "\(error?.description ?? "")")
  #expect(error?.message.contains(message) == true, "\(error?.description ?? "")")
}

@Test(
  "what cannot succeed on any row is refused at load",
  arguments: [
    "\"a\" - 1", "1 && true", "!1", "!\"x\"", "-\"x\"", "-true", "true + 1", "1 + \"a\"", "null + 1", "1.5 % 2", "data.a % 2.0",
    "1 < \"a\"",
    "null < 1", "true < 1", "source < 1", "time > \"2013-01-01T00:00:00Z\"", "time == \"2013-01-01T00:00:00Z\"", "time - 1",
    "time + time",
    "1.size()", "size(1)", "(1).startsWith(\"a\")", "source.startsWith(1)", "sequence.contains(\"1\")", "1 ? 2 : 3",
    "source && true",
    "1 < 2 < 3", "source - \"x\"", "data.a * \"x\"",
  ])
func typeErrors(text: String) {
  #expect(throws: ExpressionError.self) { try Expression(parsing: text) }
}

@Test(
  "a condition that is never true or false is refused", arguments: ["1 + 2", "source", "\"x\"", "time", "null", "data.a + 1.0"])
func notConditions(text: String) throws {
  let expression = try Expression(parsing: text)
  #expect(throws: ExpressionError.self) { try expression.requireBoolean() }
}

@Test("the error draws a caret under the place, in lines and behind wide characters too")
func caret() {
  let error = #expect(throws: ExpressionError.self) { try Expression(parsing: "data.a &&\n\t'é' = 1") }
  #expect(error?.line == 2)
  #expect(error?.column == 6)
  #expect(error?.description == "expected '==' to compare, found '='\n  \t'é' = 1\n  \t    ^")
}

@Test("over result rows, names are columns and nothing else")
func columnScope() throws {
  let columns: [(name: String, type: ColumnType)] = [
    ("window_start", .timestamp), ("station", .string), ("temp_avg", .double), ("data", .any),
  ]
  let scope = ExpressionScope.columns(columns)
  _ = try Expression(parsing: "temp_avg > 5 && station == \"x\" && data == 1", scope: scope)
  for (text, message) in [
    ("staton == \"x\"", "did you mean station?"), ("station < 5", "cannot order"), ("data.x == 1", "only data has members"),
    ("zzzzzzzz == 1", "expected one of window_start"),
  ] {
    let error = #expect(throws: ExpressionError.self) { try Expression(parsing: text, scope: scope) }
    #expect(error?.message.contains(message) == true, "\(error?.description ?? "")")
  }
}

@Test("size and nesting are bounded")
func bounds() throws {
  func nested(_ depth: Int) -> String { String(repeating: "(", count: depth) + "1" + String(repeating: ")", count: depth) }
  _ = try Expression(parsing: nested(ExpressionParser.depthMax - 1))
  for text in [
    nested(ExpressionParser.depthMax), nested(2000), String(repeating: "!", count: 4000) + "true",
    String(repeating: "-", count: 4000) + "1",
    String(repeating: "true?true:", count: 400) + "true", "data" + String(repeating: ".a", count: 17),
    (0..<300).map { "\($0) == 1" }.joined(separator: "||"), "1 in [" + (0..<300).map(String.init).joined(separator: ",") + "]",
    "\"" + String(repeating: "x", count: 5000) + "\"",
  ] {
    #expect(throws: ExpressionError.self, "\(text.prefix(40))…") { try Expression(parsing: text) }
  }
  let chain = try Expression(parsing: (0..<100).map { "data.a == \($0)" }.joined(separator: "||"))
  #expect(chain.program.stackDepth == 2)
  let rows = TableRows(["data.a": [.int(99), .int(100)]])
  #expect(outcomes(chain, rows) == [.bool(true), .bool(false)])
}

@Test("random text neither traps nor parses into something that does not read back", arguments: [1, 2, 3] as [UInt64])
func randomText(seed: UInt64) throws {
  var random = SeededGenerator(seed: seed)
  let parts = [
    "data", ".a", ".b", "[\"x\"]", "source", "1", "2.5", "\"s\"", "'", "\"", "\\", "(", ")", "&&", "||", "!", "-", "+", "*", "/",
    "%", "==",
    "<", ">=", "in", "[1,2]", "?", ":", "has(", "size(", ".size()", ".contains(", "null", "true", " ", "timestamp(", ",", "é",
    "0x", "1e",
  ]
  let rows = TableRows([
    "data.a": [.int(1), .missing], "data.b": [.string("s"), .null], "source": [.string("s"), .string("t")],
  ])
  var parsed = 0
  for _ in 0..<5000 {
    let text = (0..<Int.random(in: 1...9, using: &random)).map { _ in parts.randomElement(using: &random)! }.joined()
    guard let expression = try? Expression(parsing: text) else { continue }
    parsed += 1
    let again = try Expression(parsing: expression.canonicalText)
    #expect(again.canonicalText == expression.canonicalText, "seed \(seed): \(text)")
    #expect(outcomes(again, rows) == outcomes(expression, rows), "seed \(seed): \(text)")
  }
  // Else the test would say nothing.
  #expect(parsed > 100, "seed \(seed)")
}

@Test("an expression that could not be read back from its own spelling is refused at load, not when its view is read again")
func beyondBoundsInFull() {
  // Each operator gains two spaces; each sign gains brackets, which nest.
  let long = Array(repeating: "data.abcdefghijklmnopqrstuvw==1", count: 120).joined(separator: "&&")
  #expect(long.utf8.count <= 4096)
  for text in [long, "data.x >= " + String(repeating: "-", count: 24) + "3"] {
    let error = #expect(throws: ExpressionError.self) { try Expression(parsing: text) }
    #expect(error?.message.contains("written out in full") == true)
  }
}
