import Events

/// `startsWith`, `endsWith`, `contains` with a literal: each string of the batch is tested once.
func testStrings(
  _ method: StringMethod, _ a: inout ValueVector, _ literal: Literal, _ rows: some RowSource, _ scratch: inout EvaluationScratch
) {
  let count = a.count
  scratch.resetNotes()
  var notes = scratch.notes
  scratch.notes = []
  let computed = scratch.computed
  var failed = 0
  literal.bytes.withUnsafeBytes { part in
    notes.withUnsafeMutableBufferPointer { notes in
      _ = a.withColumns { kinds, bits in
        for row in 0..<count {
          guard kinds[row] == .string else {
            kinds[row] = .error
            failed &+= 1
            continue
          }
          let code = Int(bits[row])
          var holds = false
          if code < notes.count, notes[code] != EvaluationScratch.unknownNote {
            holds = notes[code] != 0
          } else {
            holds = computed.withString(code, rows) { method.holds($0, part) }
            if code < notes.count { notes[code] = holds ? 1 : 0 }
          }
          bits[row] = holds ? 1 : 0
          kinds[row] = .bool
        }
      }
    }
  }
  scratch.notes = notes
  a.uniformKind = failed == 0 ? .bool : nil
}

/// The same with a different argument in each row.
func testStrings(
  _ method: StringMethod, _ a: inout ValueVector, _ b: ValueVector, _ rows: some RowSource, _ computed: ComputedStrings
) {
  let count = a.count
  var failed = 0
  _ = a.withColumns { aKinds, aBits in
    b.withColumns { bKinds, bBits in
      for row in 0..<count {
        guard aKinds[row] == .string, bKinds[row] == .string else {
          aKinds[row] = .error
          failed &+= 1
          continue
        }
        let holds = computed.withString(Int(aBits[row]), rows) { text in
          computed.withString(Int(bBits[row]), rows) { part in method.holds(text, part) }
        }
        aBits[row] = holds ? 1 : 0
        aKinds[row] = .bool
      }
    }
  }
  a.uniformKind = failed == 0 ? .bool : nil
}

/// `size()`: code points.
func measureStrings(_ a: inout ValueVector, _ rows: some RowSource, _ computed: ComputedStrings) {
  let count = a.count
  var failed = 0
  _ = a.withColumns { kinds, bits in
    for row in 0..<count {
      guard kinds[row] == .string else {
        kinds[row] = .error
        failed &+= 1
        continue
      }
      bits[row] = UInt64(computed.withString(Int(bits[row]), rows) { codePointCount($0) })
      kinds[row] = .int
    }
  }
  a.uniformKind = failed == 0 ? .int : nil
}
