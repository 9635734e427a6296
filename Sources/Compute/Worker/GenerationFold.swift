import Events
import Views

/// One generation's fold of one partition, and its id in the worker's file.
struct GenerationFold: Sendable {
  let id: GenerationID
  /// The generation's id in the worker's file.
  let viewID: Int64
  let box: FoldBox
  /// The clocks of the partition's sources where the fold is; nil where the partition's own time closes windows. They may be
  /// behind the fold, and are then brought to where it is first.
  var sources: SourceBox?
  /// The reason why it stopped counting.
  var problem: String?

  var partition: PartitionID { box.fold.progress.partition }
  /// The next offset to be counted.
  var next: Offset { box.fold.progress.nextOffset }
  /// The offset to read on from.
  var readNext: Offset { sources.map { min(next, $0.clocks.nextOffset) } ?? next }
  /// The next offset on disk.
  var savedOffset: Offset { sources.map { min(box.savedOffset, $0.savedOffset) } ?? box.savedOffset }

  /// The times of a batch over which the fold's clocks have advanced.
  /// - Parameters:
  ///   - events: `batch.times()`.
  ///   - aheadMax: `compute.clock_ahead_max`, in nanoseconds.
  func times(of batch: ColumnBatch, _ events: [Int64], aheadMax: Int64) -> BatchTimes {
    let (limit, isBeyond) = batch.header.appendTime.nanoseconds.addingReportingOverflow(aheadMax)
    return BatchTimes(events: events, limit: isBeyond ? .max : limit, clocks: sources?.clocks)
  }
}

/// How a read looks upon the sources of a partition: which are active.
struct ActiveSources: Sendable {
  /// `compute.source_idle`, in nanoseconds.
  var idle: Int64
  /// The time of reading, where all events have been counted; nil where more are to come, or the moment is a past one.
  var now: Timestamp?
}
