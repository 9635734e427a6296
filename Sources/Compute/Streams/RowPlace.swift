import Events
import Views

/// A row's place in the order of slot and key, which is that of the file and of results.
struct RowPlace: Sendable, Hashable {
  /// Nanoseconds: a window's start, or a hop's slot.
  var slot: Int64
  /// As `KeyCodec` encodes it.
  var key: [UInt8]

  /// Whether this is before another place.
  func isBefore(_ other: RowPlace) -> Bool {
    slot != other.slot ? slot < other.slot : key.lexicographicallyPrecedes(other.key)
  }

  /// Below zero when a row is before another, zero when it is at the same place.
  @inline(__always) static func order(
    _ slotA: Int64, _ keyA: UnsafeRawBufferPointer, _ slotB: Int64, _ keyB: UnsafeRawBufferPointer
  ) -> Int {
    slotA != slotB ? (slotA < slotB ? -1 : 1) : PartialRows.keyOrder(keyA, keyB)
  }
}

extension PartialRows {
  func place(_ row: Int) -> RowPlace { RowPlace(slot: windowStarts[row], key: withKey(row) { Array($0) }) }

  /// Below zero when a row is before a place, zero when it is at it.
  func order(_ row: Int, _ place: RowPlace) -> Int {
    withKey(row) { key in place.key.withUnsafeBytes { RowPlace.order(windowStarts[row], key, place.slot, $0) } }
  }

  func order(_ row: Int, _ other: Int) -> Int {
    withKey(row) { key in withKey(other) { RowPlace.order(windowStarts[row], key, windowStarts[other], $0) } }
  }
}

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
