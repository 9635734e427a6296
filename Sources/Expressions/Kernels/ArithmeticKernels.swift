import Events

/// `+ - * / %`; the result takes the place of `a`. Ints are checked: overflow and division by zero are errors. An int beside a
/// double becomes a double first, since JSON writes both 20 and 20.5 for one field; CEL itself would call that an error. Beside a
/// uint, ints are computed with exactly, and what is beyond 64 bits is an error.
func compute(
  _ op: ArithmeticOperator, _ a: inout ValueVector, _ b: ValueVector, _ rows: some RowSource, _ computed: inout ComputedStrings
) {
  let count = a.count
  if a.uniformKind == .double, b.uniformKind == .double, op != .remainder {
    _ = a.withColumns { _, aBits in
      b.withColumns { _, bBits in computeDoubles(op, aBits, bBits, count) }
    }
    return
  }
  var failed = 0
  var ints = 0
  var doubles = 0
  _ = a.withColumns { aKinds, aBits in
    b.withColumns { bKinds, bBits in
      for row in 0..<count {
        var result: (kind: ValueKind, bits: UInt64) = (.error, 0)
        if aKinds[row] == .string, bKinds[row] == .string {
          if op == .add, let code = computed.add(Int(aBits[row]), Int(bBits[row]), rows) {
            result = (.string, UInt64(code))
          }
        } else {
          result = number(op, aKinds[row], aBits[row], bKinds[row], bBits[row])
        }
        aKinds[row] = result.kind
        aBits[row] = result.bits
        failed &+= result.kind == .error ? 1 : 0
        ints &+= result.kind == .int ? 1 : 0
        doubles &+= result.kind == .double ? 1 : 0
      }
    }
  }
  a.uniformKind = ints == count ? .int : doubles == count ? .double : failed == count ? .error : nil
}

private func computeDoubles(
  _ op: ArithmeticOperator, _ a: UnsafeMutablePointer<UInt64>, _ b: UnsafePointer<UInt64>, _ count: Int
) {
  switch op {
  case .add: for row in 0..<count { a[row] = (Double(bitPattern: a[row]) + Double(bitPattern: b[row])).bitPattern }
  case .subtract: for row in 0..<count { a[row] = (Double(bitPattern: a[row]) - Double(bitPattern: b[row])).bitPattern }
  case .multiply: for row in 0..<count { a[row] = (Double(bitPattern: a[row]) * Double(bitPattern: b[row])).bitPattern }
  case .divide: for row in 0..<count { a[row] = (Double(bitPattern: a[row]) / Double(bitPattern: b[row])).bitPattern }
  case .remainder: preconditionFailure("% does not take doubles")
  }
}

@inline(__always) private func number(
  _ op: ArithmeticOperator, _ aKind: ValueKind, _ aBits: UInt64, _ bKind: ValueKind, _ bBits: UInt64
) -> (kind: ValueKind, bits: UInt64) {
  let x: Double
  let y: Double
  switch (aKind, bKind) {
  case (.int, .int):
    return integer(op, Int64(bitPattern: aBits), Int64(bitPattern: bBits)).map { (.int, UInt64(bitPattern: $0)) } ?? (.error, 0)
  case (.int, .uint): return wide(op, Int128(Int64(bitPattern: aBits)), Int128(bBits))
  case (.uint, .int): return wide(op, Int128(aBits), Int128(Int64(bitPattern: bBits)))
  case (.uint, .uint): return wide(op, Int128(aBits), Int128(bBits))
  case (.uint, .double): (x, y) = (Double(aBits), Double(bitPattern: bBits))
  case (.double, .uint): (x, y) = (Double(bitPattern: aBits), Double(bBits))
  case (.double, .double): (x, y) = (Double(bitPattern: aBits), Double(bitPattern: bBits))
  case (.int, .double): (x, y) = (Double(Int64(bitPattern: aBits)), Double(bitPattern: bBits))
  case (.double, .int): (x, y) = (Double(bitPattern: aBits), Double(Int64(bitPattern: bBits)))
  case (.int, _), (.uint, _), (.double, _), (.missing, _), (.error, _), (.null, _), (.bool, _), (.string, _), (.raw, _),
    (.object, _), (.time, _):
    return (.error, 0)
  }
  switch op {
  case .add: return (.double, (x + y).bitPattern)
  case .subtract: return (.double, (x - y).bitPattern)
  case .multiply: return (.double, (x * y).bitPattern)
  case .divide: return (.double, (x / y).bitPattern)
  case .remainder: return (.error, 0)
  }
}

@inline(__always) private func integer<I: FixedWidthInteger>(_ op: ArithmeticOperator, _ x: I, _ y: I) -> I? {
  let result: (partialValue: I, overflow: Bool)
  switch op {
  case .add: result = x.addingReportingOverflow(y)
  case .subtract: result = x.subtractingReportingOverflow(y)
  case .multiply: result = x.multipliedReportingOverflow(by: y)
  case .divide: result = x.dividedReportingOverflow(by: y)
  case .remainder: result = x.remainderReportingOverflow(dividingBy: y)
  }
  return result.overflow ? nil : result.partialValue
}

/// At least one of the two is beyond Int64.
private func wide(_ op: ArithmeticOperator, _ x: Int128, _ y: Int128) -> (kind: ValueKind, bits: UInt64) {
  guard let result = integer(op, x, y) else { return (.error, 0) }
  if let small = Int64(exactly: result) { return (.int, UInt64(bitPattern: small)) }
  return UInt64(exactly: result).map { (.uint, $0) } ?? (.error, 0)
}

func negateNumbers(_ a: inout ValueVector) {
  let count = a.count
  let uniform = a.uniformKind
  var failed = 0
  var changed = 0
  _ = a.withColumns { kinds, bits in
    for row in 0..<count {
      switch kinds[row] {
      case .double: bits[row] ^= 1 << 63
      case .int where bits[row] != 1 << 63: bits[row] = 0 &- bits[row]
      // 2^63, of which the negative is an int.
      case .uint where bits[row] == 1 << 63:
        kinds[row] = .int
        changed &+= 1
      case .int, .uint, .missing, .error, .null, .bool, .string, .raw, .object, .time:
        kinds[row] = .error
        failed &+= 1
      }
    }
  }
  a.uniformKind = failed == 0 && changed == 0 ? uniform : nil
}
