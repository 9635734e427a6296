import Events

/// `+ - * / %`; the result replaces `a`. Ints are checked: overflow and division by zero are errors. An int beside a double
/// becomes a double first, since JSON writes both 20 and 20.5 for one field; CEL itself would call that an error.
func compute(
  _ op: BinaryOperator, _ a: inout ValueVector, _ b: ValueVector, _ rows: some RowSource, _ computed: inout ComputedStrings
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
  _ op: BinaryOperator, _ a: UnsafeMutablePointer<UInt64>, _ b: UnsafePointer<UInt64>, _ count: Int
) {
  switch op {
  case .add: for row in 0..<count { a[row] = (Double(bitPattern: a[row]) + Double(bitPattern: b[row])).bitPattern }
  case .subtract: for row in 0..<count { a[row] = (Double(bitPattern: a[row]) - Double(bitPattern: b[row])).bitPattern }
  case .multiply: for row in 0..<count { a[row] = (Double(bitPattern: a[row]) * Double(bitPattern: b[row])).bitPattern }
  case .divide: for row in 0..<count { a[row] = (Double(bitPattern: a[row]) / Double(bitPattern: b[row])).bitPattern }
  default: preconditionFailure("\(op.rawValue) does not take doubles")
  }
}

@inline(__always) private func number(
  _ op: BinaryOperator, _ aKind: ValueKind, _ aBits: UInt64, _ bKind: ValueKind, _ bBits: UInt64
) -> (kind: ValueKind, bits: UInt64) {
  let x: Double
  let y: Double
  switch (aKind, bKind) {
  case (.int, .int): return integer(op, Int64(bitPattern: aBits), Int64(bitPattern: bBits))
  case (.double, .double): (x, y) = (Double(bitPattern: aBits), Double(bitPattern: bBits))
  case (.int, .double): (x, y) = (Double(Int64(bitPattern: aBits)), Double(bitPattern: bBits))
  case (.double, .int): (x, y) = (Double(bitPattern: aBits), Double(Int64(bitPattern: bBits)))
  default: return (.error, 0)
  }
  switch op {
  case .add: return (.double, (x + y).bitPattern)
  case .subtract: return (.double, (x - y).bitPattern)
  case .multiply: return (.double, (x * y).bitPattern)
  case .divide: return (.double, (x / y).bitPattern)
  default: return (.error, 0)
  }
}

@inline(__always) private func integer(_ op: BinaryOperator, _ x: Int64, _ y: Int64) -> (kind: ValueKind, bits: UInt64) {
  let result: (partialValue: Int64, overflow: Bool)
  switch op {
  case .add: result = x.addingReportingOverflow(y)
  case .subtract: result = x.subtractingReportingOverflow(y)
  case .multiply: result = x.multipliedReportingOverflow(by: y)
  case .divide: result = x.dividedReportingOverflow(by: y)
  case .remainder: result = x.remainderReportingOverflow(dividingBy: y)
  default: return (.error, 0)
  }
  return result.overflow ? (.error, 0) : (.int, UInt64(bitPattern: result.partialValue))
}

func negateNumbers(_ a: inout ValueVector) {
  let count = a.count
  let uniform = a.uniformKind
  var failed = 0
  _ = a.withColumns { kinds, bits in
    for row in 0..<count {
      switch kinds[row] {
      case .double: bits[row] ^= 1 << 63
      case .int where bits[row] != 1 << 63: bits[row] = 0 &- bits[row]
      default:
        kinds[row] = .error
        failed &+= 1
      }
    }
  }
  a.uniformKind = failed == 0 ? uniform : nil
}
