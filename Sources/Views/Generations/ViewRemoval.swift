import Events

/// What became of a view that was ended by hand.
public struct ViewRemoval: Sendable, Hashable {
  public var view: String
  /// Those that are kept until `purgeAt`, and come back when the view is applied again before.
  public var generations: [Int]
  public var removedAt: Timestamp
  public var purgeAt: Timestamp
  /// Whether the file of views has it: it stays away all the same, until its definition there changes.
  public var isConfigured: Bool

  public init(view: String, generations: [Int], removedAt: Timestamp, purgeAt: Timestamp, isConfigured: Bool) {
    self.view = view
    self.generations = generations
    self.removedAt = removedAt
    self.purgeAt = purgeAt
    self.isConfigured = isConfigured
  }
}
