import Events

/// The result of ending a view by hand.
public struct ViewRemoval: Sendable, Hashable {
  public var view: String
  /// The generations that are kept until `purgeAt`, and come back when the view is applied again before.
  public var generations: [Int]
  public var removedAt: Timestamp
  public var purgeAt: Timestamp
  /// Whether the file of views has it: it stays removed all the same, until its definition there changes.
  public var isConfigured: Bool

  public init(view: String, generations: [Int], removedAt: Timestamp, purgeAt: Timestamp, isConfigured: Bool) {
    self.view = view
    self.generations = generations
    self.removedAt = removedAt
    self.purgeAt = purgeAt
    self.isConfigured = isConfigured
  }
}
