import Events
import TestSupport
import Testing

@testable import Expressions

/// An evaluator of one row at a time, written from the CEL specification and sharing nothing with the vectorised one but the
/// tree.
private struct Reference {
  let nodes: [ExpressionNode]
  let row: [ValuePath: ResultValue]

  /// Nil is an error.
  func value(_ index: Int) -> ResultValue? {
    switch nodes[index].kind {
    case .literal(let value): return value
    case .path(let path): return row[path]
    case .has(let path): return .bool(row[path] != nil)
    case .not(let a):
      guard case .bool(let x)? = value(a) else { return nil }
      return .bool(!x)
    case .negate(let a):
      switch value(a) {
      case .int(let x)? where x != .min: return .int(-x)
      case .uint(1 << 63)?: return .int(.min)
      case .double(let x)?: return .double(-x)
      default: return nil
      }
    case .binary(.and, let a, let b): return join(value(a), value(b), deciding: false)
    case .binary(.or, let a, let b): return join(value(a), value(b), deciding: true)
    case .binary(let op, let a, let b):
      guard let x = value(a), let y = value(b) else { return nil }
      return op.isComparison ? compare(op, x, y).map { .bool($0) } : compute(op, x, y)
    case .member(let a, let list):
      guard let x = value(a) else { return nil }
      return .bool(list.contains { isEqual(x, $0) })
    case .conditional(let a, let b, let c):
      guard case .bool(let x)? = value(a) else { return nil }
      return value(x ? b : c)
    case .method(let method, let a, let b):
      guard case .string(let x)? = value(a), case .string(let y)? = value(b) else { return nil }
      let text = Array(x.utf8)
      let part = Array(y.utf8)
      switch method {
      case .startsWith: return .bool(text.starts(with: part))
      case .endsWith: return .bool(text.reversed().starts(with: part.reversed()))
      case .contains: return .bool((0...text.count).contains { text[$0...].starts(with: part) })
      }
    case .size(let a):
      guard case .string(let x)? = value(a) else { return nil }
      return .int(Int64(x.unicodeScalars.count))
    }
  }

  private func join(_ a: ResultValue?, _ b: ResultValue?, deciding: Bool) -> ResultValue? {
    if a == .bool(deciding) || b == .bool(deciding) { return .bool(deciding) }
    guard case .bool? = a, case .bool? = b else { return nil }
    return .bool(!deciding)
  }

  private func isEqual(_ a: ResultValue, _ b: ResultValue) -> Bool {
    switch (a, b) {
    case (.int(let x), .double(let y)), (.double(let y), .int(let x)): return Int64(exactly: y) == x
    case (.uint(let x), .double(let y)), (.double(let y), .uint(let x)): return UInt64(exactly: y) == x
    case (.double(let x), .double(let y)): return x == y
    case (.string(let x), .string(let y)): return Array(x.utf8) == Array(y.utf8)
    default: return a == b
    }
  }

  private func compare(_ op: BinaryOperator, _ a: ResultValue, _ b: ResultValue) -> Bool? {
    if op == .equal { return isEqual(a, b) }
    if op == .notEqual { return !isEqual(a, b) }
    let isLess: Bool
    switch (a, b) {
    case (.double(let x), .double(let y)) where x.isNaN || y.isNaN: return false
    case (.int, .double(let y)) where y.isNaN: return false
    case (.uint, .double(let y)) where y.isNaN: return false
    case (.double(let x), .int) where x.isNaN: return false
    case (.double(let x), .uint) where x.isNaN: return false
    case (.bool, .bool), (.string, .string), (.time, .time), (.int, .int), (.double, .double), (.int, .double), (.double, .int),
      (.uint, .uint), (.uint, .int), (.int, .uint), (.uint, .double), (.double, .uint):
      isLess = a < b
    default: return nil
    }
    switch op {
    case .less: return isLess
    case .lessOrEqual: return isLess || isEqual(a, b)
    case .greater: return !isLess && !isEqual(a, b)
    default: return !isLess
    }
  }

  private func compute(_ op: BinaryOperator, _ x: Int128, _ y: Int128) -> ResultValue? {
    let result: Int128
    switch op {
    case .add: result = x + y
    case .subtract: result = x - y
    case .multiply:
      let (product, overflow) = x.multipliedReportingOverflow(by: y)
      if overflow { return nil }
      result = product
    default:
      guard y != 0 else { return nil }
      result = op == .divide ? x / y : x % y
    }
    return Int64(exactly: result).map { .int($0) } ?? UInt64(exactly: result).map { .uint($0) }
  }

  private func compute(_ op: BinaryOperator, _ a: ResultValue, _ b: ResultValue) -> ResultValue? {
    switch (a, b) {
    case (.string(let x), .string(let y)): return op == .add ? .string(x + y) : nil
    case (.int(let x), .int(let y)):
      // In 128 bits nothing overflows.
      let wide: Int128
      switch op {
      case .add: wide = Int128(x) + Int128(y)
      case .subtract: wide = Int128(x) - Int128(y)
      case .multiply: wide = Int128(x) * Int128(y)
      case .divide:
        guard y != 0 else { return nil }
        wide = Int128(x) / Int128(y)
      default:
        guard y != 0, !(x == .min && y == -1) else { return nil }
        wide = Int128(x) % Int128(y)
      }
      return Int64(exactly: wide).map { .int($0) }
    case (.uint(let x), .int(let y)): return compute(op, Int128(x), Int128(y))
    case (.int(let x), .uint(let y)): return compute(op, Int128(x), Int128(y))
    case (.uint(let x), .uint(let y)): return compute(op, Int128(x), Int128(y))
    case (.uint(let x), .double(let y)): return compute(op, .double(Double(x)), .double(y))
    case (.double(let x), .uint(let y)): return compute(op, .double(x), .double(Double(y)))
    case (.int(let x), .double(let y)): return compute(op, .double(Double(x)), .double(y))
    case (.double(let x), .int(let y)): return compute(op, .double(x), .double(Double(y)))
    case (.double(let x), .double(let y)):
      switch op {
      case .add: return .double(x + y)
      case .subtract: return .double(x - y)
      case .multiply: return .double(x * y)
      case .divide: return .double(x / y)
      default: return nil
      }
    default: return nil
    }
  }
}

private func randomText(_ depth: Int, _ random: inout SeededGenerator) -> String {
  let leaves = [
    "data.a", "data.b", "data.c", "data.d", "source", "time", "1", "0", "-1", "2.5", "0.0", "9223372036854775807",
    "9223372036854775809u",
    "9007199254740993",
    "9007199254740992.0", "\"\"", "\"a\"", "\"ab\"", "\"é\"", "null", "true", "false", "timestamp(\"2013-01-01T00:00:00Z\")",
    "has(data.a)", "has(data.b)", "has(data.x)",
  ]
  guard depth > 0 else {
    // Mostly fields, whose type no check at load knows: it refuses most of what literals alone make.
    return leaves[Int.random(in: 0..<(Bool.random(using: &random) ? 4 : leaves.count), using: &random)]
  }
  func part() -> String { randomText(depth - 1, &random) }
  switch Int.random(in: 0..<20, using: &random) {
  case 0...4: return "(\(part()) && \(part()))"
  case 5...8: return "(\(part()) || \(part()))"
  case 9...12:
    let op = ["==", "!=", "<", "<=", ">", ">="].randomElement(using: &random)!
    return "(\(part()) \(op) \(part()))"
  case 13...14:
    let op = ["+", "-", "*", "/", "%"].randomElement(using: &random)!
    return "(\(part()) \(op) \(part()))"
  case 15: return "!(\(part()))"
  case 16: return "-(\(part()))"
  case 17: return "((\(part())) ? (\(part())) : (\(part())))"
  case 18: return "(\(part()) in [1, 2.5, \"a\", null, false])"
  default:
    let method = ["startsWith", "endsWith", "contains"].randomElement(using: &random)!
    return Bool.random(using: &random) ? "(\(part())).\(method)(\(part()))" : "size(\(part()))"
  }
}

@Test("random expressions over random rows agree with an evaluator of one row at a time", arguments: 1...8 as ClosedRange<UInt64>)
func agreesWithReference(seed: UInt64) throws {
  var random = SeededGenerator(seed: seed)
  let cells: [TableRows.Cell] = [
    .missing, .null, .bool(true), .bool(false), .int(0), .int(1), .int(.max), .int(.min), .int(9_007_199_254_740_993),
    .uint(1 << 63),
    .uint(1 << 63 + 1), .uint(.max), .double(0x1p63), .double(0x1p64), .double(0),
    .double(-0.0), .double(1), .double(2.5), .double(9_007_199_254_740_992), .double(-1e300), .string(""), .string("a"),
    .string("ab"),
    .string("é"), .time(1_356_998_400_000_000_000), .time(0),
  ]
  let names = ["data.a", "data.b", "data.c", "data.d", "source", "time"]
  var compared = 0
  var failures = 0
  for _ in 0..<500 {
    let text = randomText(Int.random(in: 1...4, using: &random), &random)
    guard let expression = try? Expression(parsing: text) else { continue }
    let count = Int.random(in: 1...6, using: &random)
    var rows = TableRows(rowCount: count, sharesCodes: Bool.random(using: &random))
    rows["data"] = Array(repeating: .object, count: count)
    var table: [[TableRows.Cell]] = []
    for (index, name) in names.enumerated() {
      // A column of one kind now and then, for the loops that rely on it.
      let kind = cells.randomElement(using: &random)!
      let isUniform = Bool.random(using: &random)
      let column: [TableRows.Cell] = (0..<count).map { _ in
        if name == "source" { return .string(["", "a", "b"].randomElement(using: &random)!) }
        if name == "time" { return .time(Int64.random(in: 0...2, using: &random) * 1_356_998_400_000_000_000) }
        return isUniform ? kind : cells.randomElement(using: &random)!
      }
      table.append(column)
      rows[names[index]] = column
    }
    let results = outcomes(expression, rows)
    for row in 0..<count {
      var values: [ValuePath: ResultValue] = [:]
      for (index, name) in names.enumerated() {
        let path: ValuePath = name.hasPrefix("data.") ? .data([String(name.dropFirst(5))]) : .attribute(name)
        values[path] = table[index][row].value
      }
      let expected = Reference(nodes: expression.nodes, row: values).value(expression.nodes.count - 1)
      let actual = results[row]
      let isSame: Bool
      switch (expected, actual) {
      case (nil, .failed), (nil, .missing): isSame = true
      case (.double(let x)?, .value(.double(let y))): isSame = x == y || x.isNaN && y.isNaN
      case (let x?, .value(let y)): isSame = x == y
      default: isSame = false
      }
      #expect(isSame, "seed \(seed): \(text) over \(values): \(actual), expected \(expected.map { "\($0)" } ?? "an error")")
      compared += 1
      failures += expected == nil ? 1 : 0
    }
  }
  // Else the test would be comparing nothing, or nothing but errors.
  #expect(compared > 250 && failures < compared * 9 / 10, "seed \(seed): \(compared) compared, \(failures) errors")
}

extension TableRows.Cell {
  /// Nil for a missing field.
  fileprivate var value: ResultValue? {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .int(let value): .int(value)
    case .uint(let value): .uint(value)
    case .double(let value): .double(value)
    case .string(let value): .string(value)
    case .time(let value): .time(Timestamp(nanoseconds: value))
    case .missing, .object, .raw: nil
    }
  }
}
