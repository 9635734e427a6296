import Events
import Views

/// Holds the clocks of a partition's sources where folds of the partition share them.
///
/// Invariant for `@unchecked`: at any time one actor has it and uses it, with the folds that share it; see `FoldBox`.
final class SourceBox: @unchecked Sendable {
  let clocks: SourceClocks
  /// The clocks' id in the worker's file; nil before their first checkpoint.
  private(set) var id: Int64?
  /// The next offset on disk: the log must keep the events from here on.
  private(set) var savedOffset: Offset

  init(_ clocks: SourceClocks, id: Int64? = nil) {
    self.clocks = clocks
    self.id = id
    savedOffset = clocks.nextOffset
  }

  /// Its sources are on disk.
  func checkpointed(id: Int64) {
    clocks.checkpointed()
    self.id = id
    savedOffset = clocks.nextOffset
  }

  /// Whether another one says the same, event by event from now on.
  func isEquivalent(to other: SourceBox) -> Bool {
    clocks.nextOffset == other.clocks.nextOffset && clocks.firstOffset == other.clocks.firstOffset
      && clocks.bounds.isAll && other.clocks.bounds.isAll
  }
}

/// A moment of event time of a partition: how far its slowest active source is.
enum SlowestActive {
  case none
  /// Its largest event time, nanoseconds.
  case time(Int64)
  /// No event of the partition has been counted yet, and some are to come.
  case unknown
}

extension SourceClocks {
  /// The slowest of the sources that may still bring events.
  /// - Parameters:
  ///   - idle: A source that appended nothing for so many nanoseconds holds nothing back.
  ///   - now: The time of reading, where all events have been counted; nil where more are to come, or the moment is a past one:
  ///     the append time of the last counted event takes its place.
  func slowest(idle: Int64, now: Timestamp?) -> SlowestActive {
    guard let reference = now?.nanoseconds ?? lastAppendTime else { return .unknown }
    let (since, overflow) = reference.subtractingReportingOverflow(idle)
    return slowestActive(since: overflow ? .min : since).map { .time($0) } ?? .none
  }
}
