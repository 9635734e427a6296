import Events

/// The number of rows that a condition chose.
public struct Selection: Sendable, Hashable {
  /// Rows for which it was true.
  public var matched = 0
  /// Rows for which it was an error or no truth value: they do not match.
  public var errors = 0

  public init(matched: Int = 0, errors: Int = 0) {
    self.matched = matched
    self.errors = errors
  }
}

extension Expression {
  /// Computes one value a row.
  ///
  /// A row on which the expression fails becomes `.error`; `.missing` and `.object` come only from an expression that is a bare
  /// path. String codes from the row source's count upwards are computed strings: read them with
  /// `EvaluationScratch.withString`.
  /// - Parameters:
  ///   - rows: The rows to compute over.
  ///   - scratch: Memory used from call to call; its computed strings last until the next call.
  ///   - result: Its storage is reused; on return it has `rows.rowCount` rows.
  /// - Complexity: A loop over the rows for each operator; no allocation for a row.
  public func evaluate(over rows: some RowSource, using scratch: inout EvaluationScratch, into result: inout ValueVector) {
    if program.instructions.count == 1, case .load = program.instructions[0] {
      scratch.begin(stackDepth: 0, sourceStringCount: rows.stringCount)
      rows.load(program.paths[0], into: &result)
      readBigNumbers(&result, rows)
    } else {
      scratch.begin(stackDepth: program.stackDepth, sourceStringCount: rows.stringCount)
      run(rows, &scratch)
      swap(&result, &scratch.registers[0])
    }
    precondition(result.count == rows.rowCount, "a row source fills one value a row")
  }

  /// Evaluates a condition: `mask[row]` becomes 1 where it is true, else 0.
  /// - Parameters:
  ///   - rows: The rows to compute over.
  ///   - scratch: Memory used from call to call.
  ///   - mask: Resized to `rows.rowCount`.
  public func select(from rows: some RowSource, using scratch: inout EvaluationScratch, into mask: inout [UInt8]) -> Selection {
    var values = ValueVector()
    // The result's storage returns to the scratch afterwards, so that nothing is allocated for the next batch.
    if !scratch.registers.isEmpty { values = scratch.take(0) }
    evaluate(over: rows, using: &scratch, into: &values)
    defer { if !scratch.registers.isEmpty { scratch.put(values, 0) } }
    let count = values.count
    if mask.count != count { mask = Array(repeating: 0, count: count) }
    return mask.withUnsafeMutableBufferPointer { mask in
      var selection = Selection()
      values.kinds.withUnsafeBufferPointer { kinds in
        values.bits.withUnsafeBufferPointer { bits in
          for row in 0..<count {
            // No branch: a processor cannot predict which rows match. A bool's bits are 0 or 1.
            let isBool: UInt64 = kinds[row] == .bool ? 1 : 0
            let isTrue = isBool & bits[row]
            mask[row] = UInt8(truncatingIfNeeded: isTrue)
            selection.matched &+= Int(truncatingIfNeeded: isTrue)
            selection.errors &+= Int(truncatingIfNeeded: 1 &- isBool)
          }
        }
      }
      return selection
    }
  }

  private func run(_ rows: some RowSource, _ scratch: inout EvaluationScratch) {
    let count = rows.rowCount
    var top = -1
    for instruction in program.instructions {
      switch instruction {
      case .load(let path):
        top += 1
        rows.load(program.paths[path], into: &scratch.registers[top])
        readBigNumbers(&scratch.registers[top], rows)
      case .has(let path):
        top += 1
        loadPresence(program.paths[path], rows, into: &scratch.registers[top])
      case .constant(let index):
        top += 1
        let literal = program.literals[index]
        var bits = literal.bits
        if literal.kind == .string {
          let code = literal.bytes.withUnsafeBytes { scratch.computed.add($0) }
          bits = UInt64(code ?? 0)  // at most 4 KiB of literals: always room
        }
        scratch.registers[top].fill(literal.kind, bits, count: count)
      case .compareLiteral(let table, let index):
        var a = scratch.take(top)
        compare(&a, with: program.literals[index], table, rows, &scratch)
        scratch.put(a, top)
      case .compare(let table):
        top -= 1
        var a = scratch.take(top)
        let b = scratch.take(top + 1)
        compare(&a, with: b, table, rows, scratch.computed)
        scratch.put(a, top)
        scratch.put(b, top + 1)
      case .member(let list):
        var a = scratch.take(top)
        findMembers(&a, program.lists[list], rows, &scratch)
        scratch.put(a, top)
      case .and, .or:
        top -= 1
        var a = scratch.take(top)
        if case .and = instruction { joinBooleans(&a, scratch.registers[top + 1], deciding: 0) }
        if case .or = instruction { joinBooleans(&a, scratch.registers[top + 1], deciding: 1) }
        scratch.put(a, top)
      case .not: invertBooleans(&scratch.registers[top])
      case .negate: negateNumbers(&scratch.registers[top])
      case .arithmetic(let op):
        top -= 1
        var a = scratch.take(top)
        let b = scratch.take(top + 1)
        compute(op, &a, b, rows, &scratch.computed)
        scratch.put(a, top)
        scratch.put(b, top + 1)
      case .methodLiteral(let method, let index):
        var a = scratch.take(top)
        testStrings(method, &a, program.literals[index], rows, &scratch)
        scratch.put(a, top)
      case .method(let method):
        top -= 1
        var a = scratch.take(top)
        let b = scratch.take(top + 1)
        testStrings(method, &a, b, rows, scratch.computed)
        scratch.put(a, top)
        scratch.put(b, top + 1)
      case .size:
        var a = scratch.take(top)
        measureStrings(&a, rows, scratch.computed)
        scratch.put(a, top)
      case .select:
        top -= 2
        var condition = scratch.take(top)
        selectResults(&condition, scratch.registers[top + 1], scratch.registers[top + 2])
        scratch.put(condition, top)
      }
    }
  }
}
