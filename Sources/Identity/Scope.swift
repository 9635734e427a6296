/// What an analyst's or an operator's token permits.
public enum Scope: String, Sendable, CaseIterable {
  /// Reading results and events.
  case query
  /// Replays, promotion, roll-back.
  case admin
}
