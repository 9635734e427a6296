import Events
import Expressions
import TestSupport
import Testing

@testable import Views

/// In ascending order, each different from the next.
private let ascending: [ResultValue] = [
  .null, .bool(false), .bool(true), .double(-.greatestFiniteMagnitude), .double(-1e300), .double(-9_223_372_036_854_777_856),
  .int(.min),
  .int(.min + 1), .int(.min + 1023), .int(-9_007_199_254_740_993), .int(-9_007_199_254_740_992), .double(-1.5), .int(-1),
  .double(-0.5),
  .double(-.leastNonzeroMagnitude), .int(0), .double(.leastNonzeroMagnitude), .double(0.5), .double(1.0.nextDown), .int(1),
  .double(1.0.nextUp), .int(2), .int(255), .int(256),
  .int(9_007_199_254_740_991), .int(9_007_199_254_740_992), .int(9_007_199_254_740_993), .int(9_007_199_254_740_994),
  .int(.max - 1024),
  .int(.max - 1), .int(.max), .uint(9_223_372_036_854_775_808),
  .uint(9_223_372_036_854_775_809), .uint(.max), .double(0x1p65), .double(1e300), .double(.greatestFiniteMagnitude),
  .time(Timestamp(nanoseconds: .min)), .time(Timestamp(nanoseconds: -1)), .time(Timestamp(nanoseconds: 0)),
  .time(Timestamp(nanoseconds: .max)), .string(""), .string("\0"), .string("\0\0"), .string("\0a"), .string("\u{1}"),
  .string("A"),
  .string("a"), .string("a\0"), .string("a\0b"), .string("aa"), .string("ab"), .string("b"), .string("é"), .string("\u{FFFF}"),
  .string("😀"),
]

@Test("the order of the bytes is the order of the values, alone and as the first of two")
func order() {
  for (i, a) in ascending.enumerated() {
    for (j, b) in ascending.enumerated() {
      let x = KeyCodec.encode([a])
      let y = KeyCodec.encode([b])
      #expect(x.lexicographicallyPrecedes(y) == (i < j), "\(a) and \(b)")
      #expect((a < b) == (i < j), "\(a) and \(b)")
      #expect(
        KeyCodec.encode([a, .string("z")]).lexicographicallyPrecedes(KeyCodec.encode([b, .null])) == (i < j),
        "\(a), z and \(b), null")
    }
  }
}

@Test("values read back; whole doubles in the range of ints as the int they equal")
func roundTrip() {
  for a in ascending {
    #expect(KeyCodec.decode(KeyCodec.encode([a])) == [a])
    for b in ascending {
      let key = KeyCodec.encode([a, b, a])
      #expect(KeyCodec.decode(key) == [a, b, a])
      let ranges = key.withUnsafeBytes { KeyCodec.ranges(in: $0) }
      #expect(ranges?.map { Array(key[$0]) } == [a, b, a].map { KeyCodec.encode([$0]) })
    }
  }
  #expect(KeyCodec.decode([]) == [])
  #expect(
    KeyCodec.decode(KeyCodec.encode([.double(1), .double(-0.0), .double(1e15)])) == [
      .int(1), .int(0), .int(1_000_000_000_000_000),
    ])
  #expect(KeyCodec.encode([.int(1)]) == KeyCodec.encode([.double(1)]))
  #expect(KeyCodec.encode([.double(.nan), .double(.infinity)]) == KeyCodec.encode([.null, .null]))
}

@Test("random ints and doubles sort as they compare", arguments: [11, 12] as [UInt64])
func randomNumbers(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  for _ in 0..<20_000 {
    func number() -> ResultValue {
      let int = Int64.random(in: .min ... .max, using: &random) >> Int64.random(in: 0..<64, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: return .double(Double(int) + (Bool.random(using: &random) ? 0 : 0.25))
      case 1: return .uint(UInt64(bitPattern: int) | 1 << 63)
      case 2: return .double(0x1p63 + Double(UInt64.random(in: 0...4, using: &random)) * 1024)
      default: return .int(int)
      }
    }
    let a = number()
    let b = number()
    let x = KeyCodec.encode([a])
    let y = KeyCodec.encode([b])
    #expect(x.lexicographicallyPrecedes(y) == (a < b), "seed \(seed): \(a) and \(b)")
    switch a {
    case .int, .uint: #expect(KeyCodec.decode(x) == [a], "seed \(seed)")
    default: break
    }
  }
}

@Test("values of a batch encode as the same result values do; what has no order counts as null")
func fromVector() {
  let cells: [TableRows.Cell] = [
    .missing, .null, .object, .raw("[1]"), .bool(true), .int(5), .double(5), .double(2.5), .string("a\0b"), .time(7),
    .raw("9223372036854775809"), .uint(.max),
  ]
  let rows = TableRows(["data.x": cells])
  var vector = ValueVector()
  rows.load(.data(["x"]), into: &vector)
  let keys = (0..<vector.count).map { row in
    var key: [UInt8] = []
    KeyCodec.append(vector.kinds[row], vector.bits[row], rows, to: &key)
    return KeyCodec.decode(key)
  }
  let expected: [[ResultValue]?] = [
    [.null], [.null], [.null], [.null], [.bool(true)], [.int(5)], [.int(5)], [.double(2.5)], [.string("a\0b")],
    [.time(Timestamp(nanoseconds: 7))], [.uint(9_223_372_036_854_775_809)], [.uint(.max)],
  ]
  #expect(keys == expected)
}

@Test("damaged bytes are refused or read as something, never trap", arguments: [21] as [UInt64])
func damaged(seed: UInt64) {
  let key = KeyCodec.encode([
    .int(.max), .string("a\0b"), .time(Timestamp(nanoseconds: 5)), .double(.greatestFiniteMagnitude), .null,
  ])
  for cut in 0..<key.count { _ = KeyCodec.decode(Array(key[..<cut])) }
  for at in key.indices {
    for byte: UInt8 in 0...255 {
      var copy = key
      copy[at] = byte
      _ = KeyCodec.decode(copy)
    }
  }
  var random = SeededGenerator(seed: seed)
  for _ in 0..<20_000 {
    let bytes = (0..<Int.random(in: 0...20, using: &random)).map { _ in UInt8.random(in: 0...7, using: &random) }
    _ = KeyCodec.decode(bytes)
  }
  #expect(KeyCodec.decode([0]) == nil)
  #expect(KeyCodec.decode([6, 0x61]) == nil)
  #expect(KeyCodec.decode([4, 0x80]) == nil)
}

@Test("JSON of values: shortest doubles, no NaN, escapes")
func json() {
  #expect(ResultValue.double(0.1).json == "0.1")
  #expect(ResultValue.double(1e21).json == "1e+21")
  #expect(ResultValue.double(.leastNonzeroMagnitude).json == "5e-324")
  #expect(ResultValue.double(.nan).json == "null")
  #expect(ResultValue.double(-.infinity).json == "null")
  #expect(ResultValue.int(.min).json == "-9223372036854775808")
  #expect(ResultValue.string("a\"\\\n\u{1}\u{8}é/").json == #""a\"\\\n\u0001\bé/""#)
  #expect(ResultValue.time(Timestamp(nanoseconds: 0)).json == #""1970-01-01T00:00:00Z""#)
}
