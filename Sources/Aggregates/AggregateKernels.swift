import Events

// One loop over the batch's rows for each cell. The arguments of all kernels: the first row's cell, words from one row
// to the next, each row's slot (−1 for none). Each returns the number of values it could not use.

func countRows(_ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafePointer<Int32>, _ rows: Int) {
  for row in 0..<rows {
    let slot = Int(slots[row])
    if slot >= 0 { base[slot &* stride] &+= 1 }
  }
}

/// Cells of one word that need nothing else: count, min, max.
func foldCell(
  _ kind: StateLayout.CellKind, _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafeBufferPointer<Int32>,
  _ values: ValueVector
) -> Int {
  switch kind {
  case .present: return countPresent(base, stride, slots, values)
  case .min:
    return foldNumbers(base, stride, slots, values) { state, value in
      // Adding 0 makes −0 into 0: else the order would decide which of the two zeros is kept.
      let value = value + 0
      if value < Double(bitPattern: state[0]) { state[0] = value.bitPattern }
    }
  case .max:
    return foldNumbers(base, stride, slots, values) { state, value in
      let value = value + 0
      if value > Double(bitPattern: state[0]) { state[0] = value.bitPattern }
    }
  default: preconditionFailure("the cell has a loop of its own")
  }
}

/// `count(x)`: every value that is not null, numbers or not.
private func countPresent(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafeBufferPointer<Int32>, _ values: ValueVector
) -> Int {
  values.withColumns { kinds, _ in
    var unusable = 0
    for row in 0..<slots.count {
      let slot = Int(slots[row])
      guard slot >= 0 else { continue }
      switch kinds[row] {
      case .missing, .null: break
      case .error: unusable &+= 1
      default: base[slot &* stride] &+= 1
      }
    }
    return unusable
  } ?? 0
}

func foldSums(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafeBufferPointer<Int32>, _ values: ValueVector,
  _ arena: inout StateArena
) -> Int {
  foldNumbers(base, stride, slots, values) { ExactSum.add($0, $1, &arena) }
}

func foldSquares(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafeBufferPointer<Int32>, _ values: ValueVector,
  _ arena: inout StateArena
) -> Int {
  foldNumbers(base, stride, slots, values) { ExactVariance.add($0, $1, &arena) }
}

func foldQuantiles(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafeBufferPointer<Int32>, _ values: ValueVector,
  _ arena: inout StateArena
) -> Int {
  foldNumbers(base, stride, slots, values) { QuantileSketch.add($0, $1, &arena) }
}

func foldDistinct(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafeBufferPointer<Int32>, _ values: ValueVector,
  _ arena: inout StateArena, _ strings: (Int, (UnsafeRawBufferPointer) -> Void) -> Void
) -> Int {
  values.withColumns { kinds, bits in
    var unusable = 0
    for row in 0..<slots.count {
      let slot = Int(slots[row])
      guard slot >= 0, kinds[row] != .missing, kinds[row] != .null else { continue }
      guard let hash = DistinctSketch.hash(kinds[row], bits[row], strings) else {
        unusable &+= 1
        continue
      }
      DistinctSketch.add(base + slot &* stride, hash: hash, &arena)
    }
    return unusable
  } ?? 0
}

func foldTimed(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ batch: StateRows.Batch, _ values: ValueVector, isLast: Bool,
  _ arena: inout StateArena, _ strings: (Int, (UnsafeRawBufferPointer) -> Void) -> Void
) -> Int {
  values.withColumns { kinds, bits in
    var unusable = 0
    for row in 0..<batch.slots.count {
      let slot = Int(batch.slots[row])
      guard slot >= 0 else { continue }
      switch kinds[row] {
      case .missing, .null: continue
      case .error, .raw, .object:
        unusable &+= 1
        continue
      case .double where !Double(bitPattern: bits[row]).isFinite:
        unusable &+= 1
        continue
      case .bool, .int, .double, .time, .string: break
      }
      let state = base + slot &* stride
      let time = batch.times[row]
      let offset = UInt64(bitPattern: batch.baseOffset.rawValue) &+ UInt64(row) &+ 1
      guard TimedValue.isBetter(state, time: time, offset: offset, isLast: isLast) else { continue }
      guard kinds[row] == .string else {
        TimedValue.set(state, time: time, offset: offset, kind: kinds[row], bits: bits[row], string: nil, &arena)
        continue
      }
      strings(Int(truncatingIfNeeded: bits[row])) { text in
        if text.count > TimedValue.stringBytesMax {
          unusable &+= 1
        } else {
          TimedValue.set(state, time: time, offset: offset, kind: .string, bits: 0, string: text, &arena)
        }
      }
    }
    return unusable
  } ?? 0
}

func foldRates(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ batch: StateRows.Batch, _ values: ValueVector,
  _ arena: inout StateArena
) -> Int {
  values.withColumns { kinds, bits in
    var unusable = 0
    for row in 0..<batch.slots.count {
      let slot = Int(batch.slots[row])
      guard slot >= 0 else { continue }
      let value: Double
      switch kinds[row] {
      case .double: value = Double(bitPattern: bits[row])
      case .int: value = Double(Int64(bitPattern: bits[row]))
      case .missing, .null: continue
      default: value = .nan
      }
      guard value.isFinite else {
        unusable &+= 1
        continue
      }
      CounterRate.add(base + slot &* stride, time: batch.times[row], value: value, &arena)
    }
    return unusable
  } ?? 0
}

/// Folds every finite number into its row's cell. Two loops: one for rows that are all doubles, one for any kinds.
@inline(__always) private func foldNumbers(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafeBufferPointer<Int32>, _ values: ValueVector,
  _ apply: (UnsafeMutablePointer<UInt64>, Double) -> Void
) -> Int {
  values.withColumns { kinds, bits in
    var unusable = 0
    if values.uniformKind == .double {
      for row in 0..<slots.count {
        let slot = Int(slots[row])
        let value = Double(bitPattern: bits[row])
        guard slot >= 0 else { continue }
        guard value.isFinite else {
          unusable &+= 1
          continue
        }
        apply(base + slot &* stride, value)
      }
      return unusable
    }
    for row in 0..<slots.count {
      let slot = Int(slots[row])
      guard slot >= 0 else { continue }
      let value: Double
      switch kinds[row] {
      case .double: value = Double(bitPattern: bits[row])
      case .int: value = Double(Int64(bitPattern: bits[row]))
      case .missing, .null: continue
      default:
        unusable &+= 1
        continue
      }
      // Only computed values can be infinite or NaN: 1.0 / 0.0.
      guard value.isFinite else {
        unusable &+= 1
        continue
      }
      apply(base + slot &* stride, value)
    }
    return unusable
  } ?? 0
}
