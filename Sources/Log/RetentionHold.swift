import Events

/// What retention may not remove yet, because somebody is still to read it.
public enum RetentionHold: Sendable, Hashable {
  /// Nothing is known of who reads: all is kept.
  case everything
  /// Events from these offsets on are kept; in a partition that is not named, all are.
  case from(OffsetVector)
  /// Nobody is waited for.
  case nothing

  enum Limit {
    case keepAll
    /// Segments that end at or below it may go; all of them where it is nil.
    case below(Offset?)
  }

  func limit(in partition: PartitionID) -> Limit {
    switch self {
    case .everything: .keepAll
    case .from(let offsets): offsets[partition].map { .below($0) } ?? .keepAll
    case .nothing: .below(nil)
    }
  }
}
