/// The event times that a replay counts: half-open, nanoseconds. Events outside are counted as filtered, and have no
/// other effect.
public struct EventTimeBounds: Sendable, Hashable {
  /// Inclusive; nil for no bound.
  public var from: Int64?
  /// Exclusive; nil for no bound.
  public var to: Int64?

  public static let all = EventTimeBounds()

  public init(from: Int64? = nil, to: Int64? = nil) {
    self.from = from
    self.to = to
  }

  public var isAll: Bool { from == nil && to == nil }

  @inlinable public func contains(_ time: Int64) -> Bool {
    if let from, time < from { return false }
    if let to, time >= to { return false }
    return true
  }

  /// Whether no time from `first` to `last`, inclusive, is within.
  public func excludes(first: Int64, last: Int64) -> Bool {
    if let from, last < from { return true }
    if let to, first >= to { return true }
    return false
  }
}
