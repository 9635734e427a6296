import Events
import Expressions
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
    BatchTimes(events: events, limit: batch.header.appendTime.nanoseconds(plus: aheadMax), clocks: sources?.clocks)
  }
}

extension GenerationFold {
  /// A fold in memory alone, which begins at an offset.
  init(
    inMemory definition: ViewDefinition, _ id: GenerationID, _ times: EventTimeBounds, _ partition: PartitionID, at start: Offset,
    aheadMax: Int64
  ) {
    let progress = PartitionProgress(partition: partition, firstOffset: start, nextOffset: start)
    self.init(id: id, viewID: 0, box: FoldBox(ViewFold(definition: definition, progress: progress)))
    box.fold.times = times
    guard definition.watermark == .source else { return }
    sources = SourceBox(SourceClocks(partition: partition, firstOffset: start, aheadMax: aheadMax, bounds: times))
  }

  /// Counts a batch. The fold, and its clocks, have all in memory.
  func count(_ batch: ColumnBatch, aheadMax: Int64, scratch: inout EvaluationScratch) {
    let events = batch.times()
    sources?.clocks.advance(batch, times: events)
    box.fold.fold(batch, times(of: batch, events, aheadMax: aheadMax), scratch: &scratch)
  }

  /// Counts a batch. Clocks that no other fold shares, and rows, are put back first where only the file has them.
  func count(
    _ batch: ColumnBatch, _ store: CheckpointStore, aheadMax: Int64, scratch: inout EvaluationScratch
  ) throws(ComputeError) {
    let events = batch.times()
    if let sources { try store.advance(sources, over: batch, events) }
    let times = times(of: batch, events, aheadMax: aheadMax)
    try store.restoreSessions(self, for: batch, times, scratch: &scratch)
    box.fold.fold(batch, times, scratch: &scratch)
  }
}

/// How a read looks upon the sources of a partition: which are active.
struct ActiveSources: Sendable {
  /// `compute.source_idle`, in nanoseconds.
  var idle: Int64
  /// The time of reading, where all events have been counted; nil where more are to come, or the moment is a past one.
  var now: Timestamp?
}
