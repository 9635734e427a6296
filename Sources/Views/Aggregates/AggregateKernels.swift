import Events

// One loop over the batch's rows for each cell, in row order: that order is what makes sums the same however rows were batched.

/// `count()`
func countRows(_ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafePointer<Int32>, _ rows: Int) {
  for row in 0..<rows {
    let slot = Int(slots[row])
    if slot >= 0 { base[slot &* stride] &+= 1 }
  }
}

/// Every cell that takes an argument. Returns the values it could not use.
func foldCell(
  _ kind: StateLayout.CellKind, _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafePointer<Int32>,
  _ values: ValueVector, _ rows: Int
) -> Int {
  values.withColumns { kinds, bits in
    switch kind {
    case .rows: preconditionFailure("count() takes no argument")
    case .present: countPresent(base, stride, slots, kinds, rows)
    case .sum:
      values.uniformKind == .double
        ? sumDoubles(base, stride, slots, bits, rows) : fold(Summing.self, base, stride, slots, kinds, bits, rows)
    case .min:
      values.uniformKind == .double
        ? leastOfDoubles(base, stride, slots, bits, rows) : fold(Least.self, base, stride, slots, kinds, bits, rows)
    case .max:
      values.uniformKind == .double
        ? greatestOfDoubles(base, stride, slots, bits, rows) : fold(Greatest.self, base, stride, slots, kinds, bits, rows)
    }
  } ?? 0
}

/// `count(x)`: whatever is there and not null, numbers or not.
private func countPresent(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafePointer<Int32>, _ kinds: UnsafePointer<ValueKind>,
  _ rows: Int
) -> Int {
  var unusable = 0
  for row in 0..<rows {
    let slot = Int(slots[row])
    guard slot >= 0 else { continue }
    switch kinds[row] {
    case .missing, .null: break
    case .error: unusable &+= 1
    default: base[slot &* stride] &+= 1
    }
  }
  return unusable
}

/// One value into one cell.
private protocol NumberFold {
  static func apply(_ state: UnsafeMutablePointer<UInt64>, _ value: Double)
}

private enum Summing: NumberFold {
  @inline(__always) static func apply(_ state: UnsafeMutablePointer<UInt64>, _ value: Double) {
    addCompensated(state, value)
    state[2] &+= 1
  }
}

private enum Least: NumberFold {
  @inline(__always) static func apply(_ state: UnsafeMutablePointer<UInt64>, _ value: Double) {
    // Adding 0 makes −0 into 0: else which of the two zeros is kept would depend on the order.
    let value = value + 0
    if value < Double(bitPattern: state[0]) { state[0] = value.bitPattern }
  }
}

private enum Greatest: NumberFold {
  @inline(__always) static func apply(_ state: UnsafeMutablePointer<UInt64>, _ value: Double) {
    let value = value + 0
    if value > Double(bitPattern: state[0]) { state[0] = value.bitPattern }
  }
}

/// Adds to (sum, compensation): the compensation gathers, exactly, what rounding took from the sum, so the error of the total
/// does not grow with the number of values.
///
/// Source: A. Neumaier 1974, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen"; the rounding error
/// itself by D. Knuth's TwoSum, which gives the same number as Neumaier's comparison of magnitudes without a branch.
@inline(__always) private func addCompensated(_ state: UnsafeMutablePointer<UInt64>, _ value: Double) {
  let sum = Double(bitPattern: state[0])
  let total = sum + value
  let valuePart = total - sum
  let lost = (sum - (total - valuePart)) + (value - valuePart)
  state[0] = total.bitPattern
  state[1] = (Double(bitPattern: state[1]) + lost).bitPattern
}

/// Merges (sum, compensation, count).
func mergeSums(_ target: UnsafeMutablePointer<UInt64>, _ source: UnsafePointer<UInt64>) {
  addCompensated(target, Double(bitPattern: source[0]))
  target[1] = (Double(bitPattern: target[1]) + Double(bitPattern: source[1])).bitPattern
  target[2] &+= source[2]
}

/// Rows of any kinds.
@inline(__always) private func fold<F: NumberFold>(
  _: F.Type, _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafePointer<Int32>,
  _ kinds: UnsafePointer<ValueKind>, _ bits: UnsafePointer<UInt64>, _ rows: Int
) -> Int {
  var unusable = 0
  for row in 0..<rows {
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
    // Only computed values can be so: 1.0 / 0.0.
    guard value.isFinite else {
      unusable &+= 1
      continue
    }
    F.apply(base + slot &* stride, value)
  }
  return unusable
}

/// Rows that are all doubles.
@inline(__always) private func foldDoubles<F: NumberFold>(
  _: F.Type, _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafePointer<Int32>, _ bits: UnsafePointer<UInt64>,
  _ rows: Int
) -> Int {
  var unusable = 0
  for row in 0..<rows {
    let slot = Int(slots[row])
    let value = Double(bitPattern: bits[row])
    guard slot >= 0 else { continue }
    guard value.isFinite else {
      unusable &+= 1
      continue
    }
    F.apply(base + slot &* stride, value)
  }
  return unusable
}

private func sumDoubles(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafePointer<Int32>, _ bits: UnsafePointer<UInt64>, _ rows: Int
) -> Int { foldDoubles(Summing.self, base, stride, slots, bits, rows) }

private func leastOfDoubles(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafePointer<Int32>, _ bits: UnsafePointer<UInt64>, _ rows: Int
) -> Int { foldDoubles(Least.self, base, stride, slots, bits, rows) }

private func greatestOfDoubles(
  _ base: UnsafeMutablePointer<UInt64>, _ stride: Int, _ slots: UnsafePointer<Int32>, _ bits: UnsafePointer<UInt64>, _ rows: Int
) -> Int { foldDoubles(Greatest.self, base, stride, slots, bits, rows) }
