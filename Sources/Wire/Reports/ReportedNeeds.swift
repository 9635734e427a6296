import Events
import Synchronization

/// What the owners of partitions say the log must keep for them. Of each partition the last word counts, until its next owner has one: one
/// that is dead still holds on to what its heir will read.
public final class ReportedNeeds: Sendable {
  private let needs = Mutex(OffsetVector())

  public init() {}

  /// The first offset that is needed of each partition that anybody has reported; of the others, all must be kept.
  public var offsets: OffsetVector { needs.withLock { $0 } }

  func report(_ offsets: OffsetVector) { needs.withLock { $0.offsets.merge(offsets.offsets) { $1 } } }
}
