import Events
import TestSupport
import Testing

@testable import Expressions

/// One event, twice, so that both the uniform and the mixed loops are seen: row 0 is the event, row 1 has nothing at all.
private let event: KeyValuePairs<String, TableRows.Cell> = [
  "source": .string("station/EWR"), "type": .string("weather.observed"), "time": .time(1_356_998_400_000_000_000),
  "sequence": .int(7), "data.temp": .double(39.5), "data.whole": .int(20), "data.site": .string("Newark é"),
  "data.none": .null, "data.yes": .bool(true), "data.no": .bool(false), "data.list": .raw("[1,2]"), "data.empty": .raw("{}"),
  "data.big": .raw("18446744073709551616"), "data.huge": .raw("-1e999"), "data.at": .object, "data.at.lat": .double(40.5),
  "data.min": .int(.min), "data.max": .int(.max), "data.zero": .int(0), "data.negzero": .double(-0.0),
  "data.near": .int(9_007_199_254_740_993), "data": .object,
]

private func outcome(_ text: String, mixed: Bool) throws -> Outcome {
  var rows = TableRows(rowCount: mixed ? 2 : 1, sharesCodes: !mixed)
  for (name, cell) in event { rows[name] = mixed ? [cell, .missing] : [cell] }
  return outcomes(try Expression(parsing: text), rows)[0]
}

private let yes: [String] = [
  // equality
  "1 == 1", "1 != 2", "1 == 1.0", "1.0 == 1", #""a" == 'a'"#, "null == null", "true == true", #"!(1 == "a")"#, #"1 != "a""#,
  "null != 1", "null != false", #"null != """#, "data.none == null", "data.temp != null", "data.list != null", "data.list != 1",
  "data.at != null", "data.at != 5", "data.list != \"x\"", "1u == 1", "0x10 == 16", "-0x10 == -16", ".5 == 0.5", "1e3 == 1000",
  "9007199254740993 != 9007199254740992.0", "data.near != 9007199254740992.0", "data.near > 9007199254740992.0",
  "9007199254740992.0 < data.near", "data.max < 9223372036854775808.0", "data.max != 9223372036854775808.0",
  "data.min == -9223372036854775808.0", "data.min == -9223372036854775808", "data.min >= -9223372036854775808.0",
  "data.negzero == 0", "data.negzero == 0.0", "data.big == 18446744073709551616.0", "data.big > data.max", "data.whole == 20u",
  // order
  "1 < 2", "2 > 1", "1 <= 1", "1 >= 1.0", "1 < 1.5", "-1 > -1.5", "1.5 > 1", "false < true", "true >= false", #""a" < "b""#,
  #""a" < "aa""#, #""Z" < "a""#, #""\uffff" < "\U0001F600""#, #"data.site >= "Newark""#, #"source < "stbtion""#,
  #"time >= timestamp("2013-01-01T00:00:00Z")"#, #"time < timestamp("2013-01-01T01:00:00+00:30")"#,
  #"timestamp("2013-01-01T00:00:00Z") == time"#, #"timestamp("2012-12-31T23:59:59.999999999Z") < time"#,
  // logic; errors absorbed by the deciding side, on either side
  "true && true", "false || true", "!false", "!!true", "true || data.absent == 1", "data.absent == 1 || true",
  "!(false && data.absent == 1)", "!(data.absent == 1 && false)", "data.yes", "data.yes && !data.no", "true || data.temp",
  "!(data.site && false)", "data.yes || 1 / 0 == 1", "1 / 0 == 1 || data.yes",
  // in
  "1 in [1, 2]", "1.0 in [1]", "data.whole in [20.0]", #"type in ["x", "weather.observed"]"#, "!(1 in [])", "data.none in [null]",
  #"!(1 in ["1", null, true])"#, "data.list in [1] == false", "data.whole in [-1, 20,]", "-1 in [-1]",
  #"time in [timestamp("2013-01-01T00:00:00Z")]"#,
  // has
  "has(data.temp)", "has(data.none)", "!has(data.absent)", "has(data.at.lat)", "!has(data.at.lon)", "has(data.at)", "has(source)",
  "!has(subject)", "!has(data.empty.x)", "has(data.list)", "has(data[\"temp\"])", "has(data)",
  // arithmetic
  "1 + 2 == 3", "1 - 2 == -1", "2 * 3 == 6", "7 / 2 == 3", "-7 / 2 == -3", "7 % 3 == 1", "-7 % 3 == -1", "7 % -3 == 1",
  "1.0 / 0.0 > 1e308", "data.temp + 0.5 == 40.0", "data.whole + 0.5 == 20.5", "data.temp * 2 == 79", "2 + data.temp == 41.5",
  "-data.temp == -39.5", "-(data.whole) == -20", "2 + 3 * 4 == 14", "(2 + 3) * 4 == 20", "10 - 4 - 3 == 3", "24 / 4 / 2 == 3",
  #""a" + "b" == "ab""#, #"data.site + "!" == "Newark é!""#, #""<" + data.site + ">" == "<Newark é>""#,
  #"data.site + data.site == "Newark éNewark é""#, "0.0 / 0.0 != 0.0 / 0.0", "!(0.0 / 0.0 == 0.0 / 0.0)", "!(0.0 / 0.0 < 1.0)",
  "!(1 > 0.0 / 0.0)", "data.max - 1 < data.max", "-data.max - 1 == data.min", "data.big + 1.0 == 18446744073709551616.0",
  // strings
  #"source.startsWith("station/")"#, #"!source.startsWith("tation")"#, #"source.endsWith("EWR")"#, #"source.contains("ion/E")"#,
  #"source.contains("")"#, #"source.startsWith("")"#, #"!source.contains("station/EWRx")"#, "size(data.site) == 8",
  "data.site.size() == 8", #"size("") == 0"#, #"size("é😀") == 2"#, #"data.site.contains(data.site)"#,
  #"("a" + source).endsWith(source)"#,
  #""\x41\u00e9\101\n" == "AéA\n""#, #"r"\n" == "\\n""#, #"R'a"b' == 'a"b'"#, "\"\"\"a\"b\nc\"\"\" == \"a\\\"b\\nc\"",
  #"'''it's''' == "it's""#,
  // conditional
  "data.yes ? true : false", "(data.no ? 1 : 2) == 2", "true ? true : data.absent == 1", "false ? data.absent == 1 : true",
  "data.whole > 10 ? data.temp > 39 : false", "false ? false : true ? true : false",
  "true // the rest is silence", "\n true \t",
]

private let errors: [String] = [
  "data.absent == 1", "data.absent", "data.absent != null", "data.at.lon == 1", "subject == null", "data.absent in [1]",
  "1 < data.site", "data.site < 1", "data.none < 1", "data.yes < 1", "data.list < data.list", "data.list == data.list",
  "data.at == data.list", "data.at == data.at", "data.huge == 1", "data.huge in [1]", "data.at < 1", "data.temp < data.site",
  "time < data.temp", "data.max + 1", "data.min - 1", "data.max * 2", "-data.min", "data.min / -1", "data.min % -1",
  "1 / data.zero",
  "1 % data.zero", "data.whole / 0", "data.temp % 2", "data.site - 1", "data.site + 1", "data.none + 1", "data.yes + 1",
  "data.temp + data.absent", "!data.temp", "!data.absent", "data.temp && true", "true && data.temp", "data.absent == 1 || false",
  "false || data.absent == 1", "true && data.absent == 1", "data.absent == 1 && true", "data.temp ? 1 : 2",
  "true ? data.absent : 1",
  "data.temp.startsWith(\"3\")", "data.temp.size()", "size(data.list)", "data.site.contains(data.temp)", "has(data.temp.x)",
  "has(data.none.x)", "has(data.list.x)", "has(data.absent.x)", "-data.site", "data.absent.size()", "data.at + 1",
]

@Test("the rules of the CEL specification hold", arguments: yes, [false, true])
func conditionHolds(_ text: String, mixed: Bool) throws {
  #expect(try outcome(text, mixed: mixed) == .bool(true))
}

@Test("what CEL calls an error is one, and nothing absorbs it", arguments: errors, [false, true])
func conditionFails(_ text: String, mixed: Bool) throws {
  let result = try outcome(text, mixed: mixed)
  #expect(result == .failed || (text == "data.absent" && result == .missing))
}

@Test("a condition chooses only rows where it is true, and counts those where it is no truth value")
func selection() throws {
  let rows = TableRows(["data.x": [.int(1), .int(5), .null, .missing, .string("a"), .double(9.5), .bool(true)]])
  var scratch = EvaluationScratch()
  var mask: [UInt8] = []
  #expect(
    try Expression(parsing: "data.x > 4").select(from: rows, using: &scratch, into: &mask) == Selection(matched: 2, errors: 4))
  #expect(mask == [0, 1, 0, 0, 0, 1, 0])
  #expect(try Expression(parsing: "data.x").select(from: rows, using: &scratch, into: &mask) == Selection(matched: 1, errors: 6))
  #expect(mask == [0, 0, 0, 0, 0, 0, 1])
  #expect(try Expression(parsing: "true").select(from: rows, using: &scratch, into: &mask) == Selection(matched: 7, errors: 0))
  let none = TableRows(rowCount: 0)
  #expect(try Expression(parsing: "data.x > 4").select(from: none, using: &scratch, into: &mask) == Selection())
  #expect(mask == [])
}

@Test("a bare path keeps missing apart from errors, and an integer beyond 64 bits reads as the nearest double")
func barePath() throws {
  let rows = TableRows(["data.x": [.missing, .null, .raw("18446744073709551616"), .raw("[1]"), .object, .raw("-1e400")]])
  #expect(
    outcomes(try Expression(parsing: "data.x"), rows)
      == [.missing, .value(.null), .value(.double(18_446_744_073_709_551_616)), .raw("[1]"), .object, .failed])
}

@Test("an event without data counts as one whose data is empty when asked what it has")
func hasWithoutData() throws {
  let rows = TableRows(["data": [.missing, .null, .int(5), .raw("{}"), .raw("[]"), .string("{")]])
  #expect(
    outcomes(try Expression(parsing: "has(data.x)"), rows) == [.bool(false), .failed, .failed, .bool(false), .failed, .failed])
  #expect(outcomes(try Expression(parsing: "has(data)"), rows) == [.bool(false)] + Array(repeating: .bool(true), count: 5))
}

@Test("one scratch serves expression after expression and batches of any size")
func scratchIsReusable() throws {
  var scratch = EvaluationScratch()
  var result = ValueVector()
  for count in [0, 1, 7, 3, 100, 2] {
    var rows = TableRows(rowCount: count)
    rows["data.x"] = (0..<count).map { .string("s\($0 % 5)") }
    for text in [#"data.x == "s1""#, #"data.x + "!" == "s1!""#, #"data.x in ["s1", "s9"]"#, #"data.x.endsWith("1")"#] {
      try Expression(parsing: text).evaluate(over: rows, using: &scratch, into: &result)
      #expect(result.bits == (0..<count).map { $0 % 5 == 1 ? 1 : 0 }, "\(text) over \(count) rows")
      #expect(result.kinds.allSatisfy { $0 == .bool })
    }
  }
}

@Test("strings of one text are equal whether or not they share a code", arguments: [true, false])
func stringCodes(sharesCodes: Bool) throws {
  let names = ["a", "b", "a", "", "ab"]
  let rows = TableRows(
    ["data.x": names.map { .string($0) }, "data.y": names.reversed().map { .string($0) }], sharesCodes: sharesCodes)
  let expected = zip(names, names.reversed()).map { Outcome.bool($0 == $1) }
  #expect(outcomes(try Expression(parsing: "data.x == data.y"), rows) == expected)
  #expect(outcomes(try Expression(parsing: #"data.x == "a""#), rows) == names.map { .bool($0 == "a") })
}

@Test("the least double is above 0 and its negative below")
func leastDoubles() {
  #expect(Order.of(Int64(0), Double.leastNonzeroMagnitude) == Order.less)
  #expect(Order.of(Int64(0), -Double.leastNonzeroMagnitude) == Order.greater)
  #expect(Order.of(Int64(0), -0.0) == Order.equal)
  #expect(Order.of(Int64.max, Double.infinity) == Order.less)
  #expect(Order.of(Int64.min, -Double.infinity) == Order.greater)
  #expect(Order.of(Int64(0), Double.nan) == Order.unordered)
}

@Test("a literal beside an operator and the same literal computed agree for every pair of values and every operator")
func literalsAgree() throws {
  let literals = [
    "null", "true", "false", "0", "1", "-1", "9007199254740993", "9223372036854775807", "1.0", "9007199254740992.0",
    "0.5", "-1.5", "1e300", #""""#, #""a""#, #""b""#, #"timestamp("2013-01-01T00:00:00Z")"#,
  ]
  let rows = TableRows(["data.yes": [.bool(true), .bool(true)]])
  var compared = 0
  for a in literals {
    for b in literals {
      for op in ["==", "!=", "<", "<=", ">", ">="] {
        // Not a literal any more, so the general loop runs; `data.yes ?` also hides the type from the check at load.
        let left = "(data.yes ? \(a) : 0)"
        let right = "(data.yes ? \(b) : 0)"
        let general = outcomes(try Expression(parsing: "\(left) \(op) \(right)"), rows)
        for text in ["\(left) \(op) \(b)", "\(a) \(op) \(right)"] {
          guard let fused = try? Expression(parsing: text) else { continue }  // refused at load
          #expect(outcomes(fused, rows) == general, "\(text)")
          compared += 1
        }
      }
    }
  }
  #expect(compared > 2500)
}

@Test("comparing an int with a double is exact at every power of two")
func exactComparison() {
  for power in 0..<63 {
    for delta: Int64 in -2...2 {
      let int = (Int64(1) << power) &+ delta
      for sign: Int64 in [1, -1] {
        for double in [Double(int), Double(int).nextUp, Double(int).nextDown, Double(int) + 0.5].map({ $0 * Double(sign) }) {
          guard double == 0 || abs(double) > 0x1p-50 else { continue }  // beyond the fixed point below
          let difference = exactDifference(int * sign, double)
          let expected = difference < 0 ? Order.less : difference > 0 ? Order.greater : Order.equal
          #expect(Order.of(int * sign, double) == expected, "\(int * sign) against \(double)")
        }
      }
    }
  }
}

/// The sign of `int − double`, through 128-bit integers.
private func exactDifference(_ int: Int64, _ double: Double) -> Int {
  let scaled = Int128(int) << 54
  let whole = Int128(double.rounded(.down))
  let fraction = double - double.rounded(.down)
  let other = (whole << 54) + Int128(fraction * 0x1p54)
  return scaled < other ? -1 : scaled > other ? 1 : 0
}
