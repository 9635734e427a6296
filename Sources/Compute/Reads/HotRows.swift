import Views

/// The rows of one fold that are in memory, in order.
struct HotRows: Sendable {
  var rows: PartialRows
  /// Empty when none is.
  private let isPartial: [Bool]
  /// Row numbers, in the order of slot, key and end.
  let order: [Int]

  init(_ rows: PartialRows, isPartial: [Bool]) {
    self.rows = rows
    self.isPartial = isPartial
    order = rows.canonicalOrder()
  }

  var count: Int { order.count }

  func row(_ position: Int) -> Int { order[position] }

  /// Whether the file may have more of it.
  func isPartial(_ position: Int) -> Bool { !isPartial.isEmpty && isPartial[order[position]] }

  /// The first position that is beyond a place.
  func position(after place: RowPlace) -> Int {
    var (low, high) = (0, order.count)
    while low < high {
      let middle = (low + high) / 2
      if rows.order(order[middle], place) <= 0 { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
