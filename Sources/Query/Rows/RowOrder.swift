import Events
import Views

/// One column to sort by.
struct OrderTerm: Sendable, Hashable {
  enum Column: Sendable, Hashable {
    case windowStart, windowEnd, final
    /// Number among the result's keys.
    case key(Int)
    /// Number among the view's aggregates.
    case aggregate(Int)
  }

  var column: Column
  var isDescending: Bool

  /// Reads `order=`: names of the result's columns, each with a `-` before it for descending.
  static func parse(_ text: String, columns: [SchemaColumn]) throws(QueryFailure) -> [OrderTerm] {
    guard !text.isEmpty else { return [] }
    var terms: [OrderTerm] = []
    let firstKey = ViewSchema.reservedNames.count
    let keys = columns.count { $0.role == .key }
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let isDescending = part.hasPrefix("-")
      let name = String(isDescending ? part.dropFirst() : part)
      guard let index = columns.firstIndex(where: { $0.name == name }) else {
        let names = columns.map(\.name)
        let hint = nearest(to: name, among: names).map { "did you mean \($0)?" }
        throw .parameter(
          "order",
          "the result has no column '\(name.prefix(64))': \(hint ?? "it has \(names.joined(separator: ", "))")")
      }
      let column: Column =
        switch index {
        case 0: .windowStart
        case 1: .windowEnd
        case 2: .final
        case ..<(firstKey + keys): .key(index - firstKey)
        default: .aggregate(index - firstKey - keys)
        }
      guard !terms.contains(where: { $0.column == column }) else {
        throw .parameter("order", "column '\(name)' is named twice")
      }
      terms.append(OrderTerm(column: column, isDescending: isDescending))
    }
    return terms
  }
}

/// Where a page ended: a row's place in an order that no two rows share.
struct RowPlace: Sendable, Hashable {
  /// The values of the order's columns.
  var values: [ResultValue]
  /// Nanoseconds.
  var windowStart: Int64
  /// As `KeyCodec` encodes it.
  var key: [UInt8]
}

extension PartialRows {
  /// The row's value of one order column.
  func value(of column: OrderTerm.Column, row: Int, _ layout: StateLayout, _ finality: Finality) -> ResultValue {
    switch column {
    case .windowStart: .time(Timestamp(nanoseconds: windowStarts[row]))
    case .windowEnd: .time(Timestamp(nanoseconds: windowEnds[row]))
    case .final: .bool(finality.isFinal(partition: partitions[row], windowEnd: windowEnds[row]))
    case .key(let index): keys(row)[index]
    case .aggregate(let index): withState(row) { layout.value(of: index, in: $0) }
    }
  }

  func place(of row: Int, _ order: [OrderTerm], _ layout: StateLayout, _ finality: Finality) -> RowPlace {
    RowPlace(
      values: order.map { value(of: $0.column, row: row, layout, finality) }, windowStart: windowStarts[row],
      key: withKey(row) { Array($0) })
  }

  /// Whether the rows are in the order of window start and key, no two alike: then merging them changes nothing.
  var isMerged: Bool {
    keyBytes.withUnsafeBytes { bytes in
      for row in 0..<count where row > 0 {
        if windowStarts[row - 1] > windowStarts[row] { return false }
        if windowStarts[row - 1] < windowStarts[row] { continue }
        let before = UnsafeRawBufferPointer(rebasing: bytes[keyRange(row - 1)])
        guard before.lexicographicallyPrecedes(UnsafeRawBufferPointer(rebasing: bytes[keyRange(row)])) else { return false }
      }
      return true
    }
  }

  /// Whether a row comes after a place, among rows equal in the order's columns.
  private func isAfter(_ place: RowPlace, row: Int) -> Bool {
    if windowStarts[row] != place.windowStart { return windowStarts[row] > place.windowStart }
    return withKey(row) { key in place.key.withUnsafeBytes { $0.lexicographicallyPrecedes(key) } }
  }

  /// The rows of a page.
  ///
  /// - Precondition: The rows are `merged`: in the order of window start and key, no two alike.
  /// - Parameters:
  ///   - place: Where the page before ended.
  ///   - limit: Rows at most.
  /// - Returns: Row numbers in order, and whether more follow.
  func page(
    _ order: [OrderTerm], after place: RowPlace?, limit: Int, _ layout: StateLayout, _ finality: Finality
  ) -> (rows: [Int], hasMore: Bool) {
    if order.isEmpty || order == [OrderTerm(column: .windowStart, isDescending: false)] {
      let first = place.map { place in partitioningIndex(of: 0..<count) { isAfter(place, row: $0) } } ?? 0
      let end = Swift.min(count, first + limit)
      return (Array(first..<end), end < count)
    }
    // One value a row and column, so that sorting decodes nothing.
    let columns = order.map { term in (0..<count).map { value(of: term.column, row: $0, layout, finality) } }
    let sorted = (0..<count).sorted { a, b in
      for (term, values) in zip(order, columns) {
        if values[a] < values[b] { return !term.isDescending }
        if values[b] < values[a] { return term.isDescending }
      }
      return a < b
    }
    var first = 0
    if let place {
      first = partitioningIndex(of: 0..<count) { index in
        let row = sorted[index]
        for (number, term) in order.enumerated() {
          let value = columns[number][row]
          if value < place.values[number] { return term.isDescending }
          if place.values[number] < value { return !term.isDescending }
        }
        return isAfter(place, row: row)
      }
    }
    let end = Swift.min(count, first + limit)
    return (Array(sorted[first..<end]), end < count)
  }
}

/// The first index for which `belongs` holds, and from which on it does; the range's end when there is none.
private func partitioningIndex(of range: Range<Int>, where belongs: (Int) -> Bool) -> Int {
  var low = range.lowerBound
  var high = range.upperBound
  while low < high {
    let middle = low + (high - low) / 2
    if belongs(middle) { high = middle } else { low = middle + 1 }
  }
  return low
}
