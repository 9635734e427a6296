import Events

/// The result of ending a view by hand.
package struct ViewRemoval: Sendable, Hashable {
  package var view: String
  /// The generations that are kept until `purgeAt`, and come back when the view is applied again before.
  package var generations: [Int]
  package var removedAt: Timestamp
  package var purgeAt: Timestamp
  /// Whether the file of views has it: it stays removed all the same, until its definition there changes.
  package var isConfigured: Bool

  package init(view: String, generations: [Int], removedAt: Timestamp, purgeAt: Timestamp, isConfigured: Bool) {
    self.view = view
    self.generations = generations
    self.removedAt = removedAt
    self.purgeAt = purgeAt
    self.isConfigured = isConfigured
  }
}
