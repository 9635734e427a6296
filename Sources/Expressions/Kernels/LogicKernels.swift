import Events

/// `&&` (deciding 0) and `||` (deciding 1): a side that decides absorbs the other's error.
func joinBooleans(_ a: inout ValueVector, _ b: ValueVector, deciding: UInt64) {
  let count = a.count
  if a.uniformKind == .bool, b.uniformKind == .bool {
    _ = a.withColumns { _, aBits in
      b.withColumns { _, bBits in
        if deciding == 0 {
          for row in 0..<count { aBits[row] &= bBits[row] }
        } else {
          for row in 0..<count { aBits[row] |= bBits[row] }
        }
      }
    }
    return
  }
  var errors = 0
  _ = a.withColumns { aKinds, aBits in
    b.withColumns { bKinds, bBits in
      for row in 0..<count {
        let isBoolA = aKinds[row] == .bool
        let isBoolB = bKinds[row] == .bool
        let isDecided = isBoolA && aBits[row] == deciding || isBoolB && bBits[row] == deciding
        let holds = isDecided || isBoolA && isBoolB
        aBits[row] = isDecided ? deciding : 1 - deciding
        aKinds[row] = holds ? .bool : .error
        errors &+= holds ? 0 : 1
      }
    }
  }
  a.uniformKind = errors == 0 ? .bool : nil
}

func invertBooleans(_ a: inout ValueVector) {
  let count = a.count
  var errors = 0
  _ = a.withColumns { kinds, bits in
    for row in 0..<count {
      let isBool = kinds[row] == .bool
      bits[row] ^= 1
      kinds[row] = isBool ? .bool : .error
      errors &+= isBool ? 0 : 1
    }
  }
  a.uniformKind = errors == 0 ? .bool : nil
}

/// `?:`; only the chosen result matters.
func selectResults(_ condition: inout ValueVector, _ then: ValueVector, _ otherwise: ValueVector) {
  let count = condition.count
  _ = condition.withColumns { kinds, bits in
    then.withColumns { thenKinds, thenBits in
      otherwise.withColumns { otherKinds, otherBits in
        for row in 0..<count {
          guard kinds[row] == .bool else {
            kinds[row] = .error
            continue
          }
          let isTrue = bits[row] != 0
          let kind = isTrue ? thenKinds[row] : otherKinds[row]
          kinds[row] = kind == .missing ? .error : kind
          bits[row] = isTrue ? thenBits[row] : otherBits[row]
        }
      }
    }
  }
  condition.uniformKind = then.uniformKind == otherwise.uniformKind && condition.uniformKind == .bool ? then.uniformKind : nil
  if condition.uniformKind == .missing { condition.uniformKind = .error }
}
