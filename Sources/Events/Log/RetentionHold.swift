/// The events that retention must keep, because somebody has still to read them.
public enum RetentionHold: Sendable, Hashable {
  /// Nothing is known about readers: all events are kept.
  case everything
  /// Events from these offsets on are kept; in a partition that is not named, all are.
  case from(OffsetVector)
  /// No reader is waited for.
  case nothing

  public enum Limit: Sendable, Hashable {
    case keepAll
    /// Events below it may go; all of them where it is nil.
    case below(Offset?)
  }

  public func limit(in partition: PartitionID) -> Limit {
    switch self {
    case .everything: .keepAll
    case .from(let offsets): offsets[partition].map { .below($0) } ?? .keepAll
    case .nothing: .below(nil)
    }
  }
}
