import Events
import Synchronization

/// The offsets from which on the log must keep events, as partitions' owners report. The last report of a partition
/// counts until its next owner's: a dead owner still keeps the events that its successor will read.
public final class ReportedNeeds: Sendable {
  private let needs = Mutex(OffsetVector())

  public init() {}

  /// The first needed offset of each partition that has a report; the log must keep all of the others.
  public var offsets: OffsetVector { needs.withLock { $0 } }

  func report(_ offsets: OffsetVector) { needs.withLock { $0.offsets.merge(offsets.offsets) { $1 } } }
}
