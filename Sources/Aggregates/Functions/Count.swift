import Events
import Expressions

extension AggregateFunction {
  public static let countRows = AggregateFunction(
    "count", .none, exactness: "exact", emptyResult: "0", cells: [EventCount.self], type: { _ in .int64 },
    result: { cell, _, _ in .int(Int64(bitPattern: cell.words[0])) })

  /// `count(x)`: events for which x is there and not null.
  public static let count = AggregateFunction(
    "count", .present, exactness: "exact", emptyResult: "0", cells: [PresentCount.self], type: { _ in .int64 },
    result: { cell, _, _ in .int(Int64(bitPattern: cell.words[0])) })
}

/// Events, Int64.
protocol CountCell: WordCell {}

extension CountCell {
  static func merge(
    _ state: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>,
    _ arena: inout StateArena
  ) {
    // Only damaged counts come to more, and stay canonical.
    state[0] = Swift.min(state[0] &+ other[0], UInt64(Int64.max))
  }

  static func isValid(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> Bool {
    Int64(bitPattern: state[0]) >= 0
  }
}

enum EventCount: CountCell {
  static func fold(_ fold: CellFold, _ values: ValueVector, _ arena: inout StateArena) -> Int {
    for row in 0..<fold.batch.slots.count {
      let slot = fold.slot(row)
      if slot >= 0 { fold.cell(slot)[0] &+= 1 }
    }
    return 0
  }
}

enum PresentCount: CountCell {
  static func fold(_ fold: CellFold, _ values: ValueVector, _ arena: inout StateArena) -> Int {
    values.withColumns { kinds, _ in
      var unusable = 0
      for row in 0..<fold.batch.slots.count {
        let slot = fold.slot(row)
        guard slot >= 0 else { continue }
        switch kinds[row] {
        case .missing, .null: break
        case .error: unusable &+= 1
        case .bool, .int, .uint, .double, .string, .raw, .object, .time: fold.cell(slot)[0] &+= 1
        }
      }
      return unusable
    } ?? 0
  }
}
