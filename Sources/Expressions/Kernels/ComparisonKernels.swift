import Events

/// Compares each row with a literal; the result replaces `a`.
func compare(
  _ a: inout ValueVector, with literal: Literal, _ table: ComparisonTable, _ rows: some RowSource,
  _ scratch: inout EvaluationScratch
) {
  if literal.kind == .string { return compareStrings(&a, with: literal, table, rows, &scratch) }
  let count = a.count
  let truth = table.truth
  let failure = table.failure
  var failed = 0
  let uniform = a.uniformKind
  _ = a.withColumns { kinds, bits in
    if uniform == .double, let number = literal.exactDouble {
      for row in 0..<count {
        bits[row] = table.holds(Double(bitPattern: bits[row]), number)
        kinds[row] = .bool
      }
    } else if uniform == .int || uniform == .time, literal.kind == uniform {
      let number = Int64(bitPattern: literal.bits)
      for row in 0..<count {
        bits[row] = table.holds(Int64(bitPattern: bits[row]), number)
        kinds[row] = .bool
      }
    } else {
      for row in 0..<count {
        let order = Order.of(kinds[row], bits[row], literal.kind, literal.bits)
        let isFailed = failure >> order & 1 != 0
        bits[row] = UInt64(truth >> order & 1)
        kinds[row] = isFailed ? .error : .bool
        failed &+= isFailed ? 1 : 0
      }
    }
  }
  a.uniformKind = failed == 0 ? .bool : nil
}

/// Compares each row with a string: each string of the batch at most once, then by its code.
private func compareStrings(
  _ a: inout ValueVector, with literal: Literal, _ table: ComparisonTable, _ rows: some RowSource,
  _ scratch: inout EvaluationScratch
) {
  let count = a.count
  let truth = table.truth
  let failure = table.failure
  var failed = 0
  scratch.resetNotes()
  var notes = scratch.notes
  scratch.notes = []
  let computed = scratch.computed
  literal.bytes.withUnsafeBytes { wanted in
    notes.withUnsafeMutableBufferPointer { notes in
      _ = a.withColumns { kinds, bits in
        for row in 0..<count {
          let kind = kinds[row]
          var order = kind == .missing || kind == .error ? Order.failed : Order.different
          if kind == .string {
            let code = Int(bits[row])
            if code < notes.count {
              order = notes[code]
              if order == EvaluationScratch.unknownNote {
                order = rows.withString(code) { Order.of($0, wanted) }
                notes[code] = order
              }
            } else {
              order = computed.withString(code, rows) { Order.of($0, wanted) }
            }
          }
          let isFailed = failure >> order & 1 != 0
          bits[row] = UInt64(truth >> order & 1)
          kinds[row] = isFailed ? .error : .bool
          failed &+= isFailed ? 1 : 0
        }
      }
    }
  }
  scratch.notes = notes
  a.uniformKind = failed == 0 ? .bool : nil
}

/// Compares two vectors row by row; the result replaces `a`.
func compare(
  _ a: inout ValueVector, with b: ValueVector, _ table: ComparisonTable, _ rows: some RowSource,
  _ computed: ComputedStrings
) {
  let count = a.count
  let truth = table.truth
  let failure = table.failure
  var failed = 0
  _ = a.withColumns { aKinds, aBits in
    b.withColumns { bKinds, bBits in
      for row in 0..<count {
        var order = Order.of(aKinds[row], aBits[row], bKinds[row], bBits[row])
        if order == Order.strings { order = orderOfStrings(aBits[row], bBits[row], rows, computed) }
        let isFailed = failure >> order & 1 != 0
        aBits[row] = UInt64(truth >> order & 1)
        aKinds[row] = isFailed ? .error : .bool
        failed &+= isFailed ? 1 : 0
      }
    }
  }
  a.uniformKind = failed == 0 ? .bool : nil
}

/// Two strings of different codes, which may be equal nonetheless.
private func orderOfStrings(_ a: UInt64, _ b: UInt64, _ rows: some RowSource, _ computed: ComputedStrings) -> UInt8 {
  computed.withString(Int(a), rows) { first in
    computed.withString(Int(b), rows) { second in Order.of(first, second) }
  }
}

/// `in`: equal to one of the list's values, in the sense of `==`; an error if the value is one, or if no value of the list
/// decides.
func findMembers(_ a: inout ValueVector, _ list: [Literal], _ rows: some RowSource, _ scratch: inout EvaluationScratch) {
  let count = a.count
  scratch.resetNotes()
  var notes = scratch.notes
  scratch.notes = []
  let computed = scratch.computed
  let strings = list.filter { $0.kind == .string }
  let others = list.filter { $0.kind != .string }
  var failed = 0
  notes.withUnsafeMutableBufferPointer { notes in
    _ = a.withColumns { kinds, bits in
      for row in 0..<count {
        let kind = kinds[row]
        var isMember = false
        if kind == .string {
          let code = Int(bits[row])
          if code < notes.count, notes[code] != EvaluationScratch.unknownNote {
            isMember = notes[code] != 0
          } else {
            isMember = computed.withString(code, rows) { text in
              strings.contains { $0.bytes.withUnsafeBytes { bytesEqual($0, text) } }
            }
            if code < notes.count { notes[code] = isMember ? 1 : 0 }
          }
        } else {
          for literal in others {
            let order = Order.of(kind, bits[row], literal.kind, literal.bits)
            if order == Order.equal || order == Order.bothNull {
              isMember = true
              break
            }
          }
        }
        let isFailed = kind == .missing || kind == .error
        bits[row] = isMember ? 1 : 0
        kinds[row] = isFailed ? .error : .bool
        failed &+= isFailed ? 1 : 0
      }
    }
  }
  scratch.notes = notes
  a.uniformKind = failed == 0 ? .bool : nil
}

extension Literal {
  /// The number as a double, when that is the same number.
  var exactDouble: Double? {
    switch kind {
    case .double: Double(bitPattern: bits)
    case .int: Double(exactly: Int64(bitPattern: bits))
    case .uint: Double(exactly: bits)
    case .missing, .error, .null, .bool, .string, .raw, .object, .time: nil
    }
  }
}
