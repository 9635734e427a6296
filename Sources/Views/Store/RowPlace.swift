import Events

/// A row's window and key, with the order of results and of workers' files.
public struct RowPlace: Sendable, Hashable {
  /// Nanoseconds: a window's start, or a hop's slot.
  public var slot: Int64
  /// The key in `KeyCodec`'s form.
  public var key: [UInt8]

  /// - Parameters:
  ///   - slot: Nanoseconds: a window's start, or a hop's slot.
  ///   - key: The key in `KeyCodec`'s form.
  public init(slot: Int64, key: [UInt8]) {
    self.slot = slot
    self.key = key
  }

  /// Whether this is before another.
  /// - Parameter other: The other.
  public func isBefore(_ other: RowPlace) -> Bool {
    slot != other.slot ? slot < other.slot : key.lexicographicallyPrecedes(other.key)
  }

  /// Below zero when a row is before another, zero when both have the same slot and key.
  /// - Parameters:
  ///   - slotA: The one's slot.
  ///   - keyA: The one's key.
  ///   - slotB: The other's slot.
  ///   - keyB: The other's key.
  @inlinable @inline(__always) public static func order(
    _ slotA: Int64, _ keyA: UnsafeRawBufferPointer, _ slotB: Int64, _ keyB: UnsafeRawBufferPointer
  ) -> Int {
    slotA != slotB ? (slotA < slotB ? -1 : 1) : PartialRows.keyOrder(keyA, keyB)
  }
}

extension PartialRows {
  /// A row's slot and key.
  /// - Parameter row: The row's number.
  public func place(_ row: Int) -> RowPlace { RowPlace(slot: windowStarts[row], key: withKey(row) { Array($0) }) }

  /// Below zero when a row is before a slot and key, zero when it has them.
  /// - Parameters:
  ///   - row: The row's number.
  ///   - place: The slot and key.
  public func order(_ row: Int, _ place: RowPlace) -> Int {
    withKey(row) { key in place.key.withUnsafeBytes { RowPlace.order(windowStarts[row], key, place.slot, $0) } }
  }

  /// Below zero when a row is before one of others in the canonical order: that of window start, key and window end. Zero when
  /// all are the same.
  /// - Parameters:
  ///   - row: The row's number.
  ///   - others: These rows, or others of the same view.
  ///   - other: Among them.
  public func order(_ row: Int, _ others: PartialRows, _ other: Int) -> Int {
    let order = withKey(row) { key in
      others.withKey(other) { RowPlace.order(windowStarts[row], key, others.windowStarts[other], $0) }
    }
    guard order == 0, windowEnds[row] != others.windowEnds[other] else { return order }
    return windowEnds[row] < others.windowEnds[other] ? -1 : 1
  }
}
