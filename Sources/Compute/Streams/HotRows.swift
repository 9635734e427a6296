import Events
import Views

/// The rows of one fold that are in memory, in order.
struct HotRows: Sendable {
  let rows: PartialRows
  private let isPartial: [Bool]
  /// Row numbers, in the order of slot and key.
  private let order: [Int]

  init(_ rows: PartialRows, isPartial: [Bool]) {
    self.rows = rows
    self.isPartial = isPartial
    order = (0..<rows.count).sorted { rows.order($0, $1) < 0 }
  }

  var count: Int { order.count }

  func row(_ position: Int) -> Int { order[position] }

  /// The first position that is not before a place.
  func position(of place: RowPlace) -> Int {
    var (low, high) = (0, order.count)
    while low < high {
      let middle = (low + high) / 2
      if rows.order(order[middle], place) < 0 { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Whether memory has all of a row, so that what the file has of it is old.
  /// - Parameter position: Where to look from; moved on to the row. Rows are to be asked for in their order.
  func isWhole(slot: Int64, key: UnsafeRawBufferPointer, from position: inout Int) -> Bool {
    while position < order.count {
      let row = order[position]
      let order = rows.withKey(row) { RowPlace.order(rows.windowStarts[row], $0, slot, key) }
      if order == 0 { return !isPartial[row] }
      if order > 0 { return false }
      position += 1
    }
    return false
  }
}
