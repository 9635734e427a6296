import Events

/// Gives a string's UTF-8 by its code.
public typealias StringReader = (Int, (UnsafeRawBufferPointer) -> Void) -> Void

/// One cell of many rows, and the batch whose values go into it. Its loops are what every aggregate is made of.
struct CellFold {
  /// The cell's first word in the first row.
  let base: UnsafeMutablePointer<UInt64>
  /// Words from one row to the next.
  let stride: Int
  let batch: StateRows.Batch
  let strings: StringReader

  /// The batch's row's number; −1 leaves it out.
  @inline(__always) func slot(_ row: Int) -> Int { Int(batch.slots[row]) }

  /// The cell of the row that a batch's row goes into.
  @inline(__always) func cell(_ slot: Int) -> UnsafeMutablePointer<UInt64> { base + slot &* stride }

  /// Everything that is there and not null, as its kind and bits.
  /// - Parameter apply: The cell, the batch's row, the value. Returns whether it was of use.
  /// - Returns: Values that were not: errors too.
  @inline(__always) func forEachValue(
    _ values: ValueVector, _ apply: (UnsafeMutablePointer<UInt64>, Int, ValueKind, UInt64) -> Bool
  ) -> Int {
    values.withColumns { kinds, bits in
      var unusable = 0
      for row in 0..<batch.slots.count {
        let slot = slot(row)
        guard slot >= 0 else { continue }
        switch kinds[row] {
        case .missing, .null: continue
        case .error, .raw, .object: unusable &+= 1
        case .bool, .int, .uint, .double, .time, .string:
          if !apply(cell(slot), row, kinds[row], bits[row]) { unusable &+= 1 }
        }
      }
      return unusable
    } ?? 0
  }

  /// Every finite number, an integer as the nearest double. Two loops: one for rows that are all doubles, one for any kinds.
  /// - Parameter apply: The cell, the batch's row, the value.
  /// - Returns: Values that are no finite number: those only computed ones can be, as 1.0 / 0.0.
  @inline(__always) func forEachNumber(_ values: ValueVector, _ apply: (UnsafeMutablePointer<UInt64>, Int, Double) -> Void) -> Int
  {
    values.withColumns { kinds, bits in
      var unusable = 0
      if values.uniformKind == .double {
        for row in 0..<batch.slots.count {
          let slot = slot(row)
          let value = Double(bitPattern: bits[row])
          guard slot >= 0 else { continue }
          guard value.isFinite else {
            unusable &+= 1
            continue
          }
          apply(cell(slot), row, value)
        }
        return unusable
      }
      for row in 0..<batch.slots.count {
        let slot = slot(row)
        guard slot >= 0 else { continue }
        let value: Double
        switch kinds[row] {
        case .double: value = Double(bitPattern: bits[row])
        case .int: value = Double(Int64(bitPattern: bits[row]))
        case .uint: value = Double(bits[row])
        case .missing, .null: continue
        case .error, .bool, .string, .raw, .object, .time: value = .nan
        }
        guard value.isFinite else {
          unusable &+= 1
          continue
        }
        apply(cell(slot), row, value)
      }
      return unusable
    } ?? 0
  }
}
