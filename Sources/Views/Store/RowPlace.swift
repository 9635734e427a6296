import Events

/// A row's place in the order of window start and key, which is that of results and of workers' files.
public struct RowPlace: Sendable, Hashable {
  /// Nanoseconds: a window's start, or a hop's slot.
  public var slot: Int64
  /// As `KeyCodec` encodes it.
  public var key: [UInt8]

  /// - Parameters:
  ///   - slot: Nanoseconds: a window's start, or a hop's slot.
  ///   - key: As `KeyCodec` encodes it.
  public init(slot: Int64, key: [UInt8]) {
    self.slot = slot
    self.key = key
  }

  /// Whether this is before another place.
  /// - Parameter other: The other.
  public func isBefore(_ other: RowPlace) -> Bool {
    slot != other.slot ? slot < other.slot : key.lexicographicallyPrecedes(other.key)
  }

  /// Below zero when a row is before another, zero when it is at the same place.
  /// - Parameters:
  ///   - slotA: Of the one.
  ///   - keyA: Of the one.
  ///   - slotB: Of the other.
  ///   - keyB: Of the other.
  @inlinable @inline(__always) public static func order(
    _ slotA: Int64, _ keyA: UnsafeRawBufferPointer, _ slotB: Int64, _ keyB: UnsafeRawBufferPointer
  ) -> Int {
    slotA != slotB ? (slotA < slotB ? -1 : 1) : PartialRows.keyOrder(keyA, keyB)
  }
}

extension PartialRows {
  /// A row's place.
  /// - Parameter row: Its number.
  public func place(_ row: Int) -> RowPlace { RowPlace(slot: windowStarts[row], key: withKey(row) { Array($0) }) }

  /// Below zero when a row is before a place, zero when it is at it.
  /// - Parameters:
  ///   - row: Its number.
  ///   - place: The place.
  public func order(_ row: Int, _ place: RowPlace) -> Int {
    withKey(row) { key in place.key.withUnsafeBytes { RowPlace.order(windowStarts[row], key, place.slot, $0) } }
  }

  /// Below zero when a row is before another, zero when it is at the same place.
  /// - Parameters:
  ///   - row: The one's number.
  ///   - other: The other's.
  public func order(_ row: Int, _ other: Int) -> Int {
    withKey(row) { key in withKey(other) { RowPlace.order(windowStarts[row], key, windowStarts[other], $0) } }
  }
}
