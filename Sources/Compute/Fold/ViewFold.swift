import Aggregates
import Events
import Expressions
import Views

/// One generation of a view over one partition: folds batches in the order of their offsets.
///
/// Deterministic: its content depends on the events up to `progress.nextOffset` and the times at which they were appended, not on
/// their batches, nor on any clock.
struct ViewFold: ~Copyable {
  let definition: ViewDefinition
  let rows: any FoldRows
  var progress: PartitionProgress
  private var events: EventIntake
  /// Rows that end at or before this are gone from the file, or are let go of there bit by bit. Nanoseconds; nil when none are.
  private(set) var droppedEnd: Int64?
  private var keys: BatchKeys
  private var argument = ValueVector()

  /// - Parameters:
  ///   - definition: The view's definition.
  ///   - progress: The stored progress, where a fold is taken up again. The rows are restored by further calls.
  ///   - eventTimeMax: The largest event time seen; nil before the first event.
  ///   - lateMax: Late events that are listed, the last ones; 0 where nobody asks for them.
  ///   - droppedEnd: Rows that end at or before this are past retention in the file.
  init(
    definition: ViewDefinition, progress: PartitionProgress, eventTimeMax: Int64? = nil, lateMax: Int = 0,
    droppedEnd: Int64? = nil
  ) {
    self.definition = definition
    self.progress = progress
    self.droppedEnd = droppedEnd
    events = EventIntake(clock: EventTimeClock(definition, largest: eventTimeMax), late: LateLog(countMax: lateMax))
    keys = BatchKeys(definition)
    switch definition.window.keeping {
    case .slots: rows = WindowFold(definition.window, layout: definition.layout)
    case .sessions(let gap): rows = SessionFold(gap: gap, layout: definition.layout)
    }
    rows.leaveClosed(clock.closedEnd)
    self.progress.eventTimeWatermark = clock.eventTimeWatermark
    self.progress.lateListed = min(progress.lateListed, lateMax)
  }

  var clock: EventTimeClock { events.clock }
  var eventTimeWatermark: Timestamp? { clock.eventTimeWatermark }
  /// Late events since the last checkpoint.
  var late: LateLog { events.late }
  /// The bounds of the events that count. Others are filtered, and move no event-time watermark.
  var times: EventTimeBounds {
    get { events.bounds }
    set { events.bounds = newValue }
  }

  /// Folds the batch's events from `progress.nextOffset` on.
  /// - Parameters:
  ///   - batch: A batch that holds the event at `progress.nextOffset`, or only earlier ones, which are skipped.
  ///   - times: The batch's times, taken once for all views.
  ///   - scratch: The caller's buffers, used again for each batch.
  mutating func fold(_ batch: ColumnBatch, _ times: BatchTimes, scratch: inout EvaluationScratch) {
    let first = max(0, batch.baseOffset.distance(to: progress.nextOffset))
    guard first < batch.count else { return }
    precondition(batch.baseOffset <= progress.nextOffset, "a batch was left out")
    precondition(times.events.count == batch.count && batch.baseOffset.advanced(by: batch.count) == batch.endOffset, "offsets are dense")
    var counts = EventIntake.Counts(filtered: batch.count - first)
    if let errors = events.select(definition.filter, from: batch, times: times.events, first: first, scratch: &scratch) {
      progress.whereErrors += errors
      keys.load(batch)
      counts = rows.placeChecked(batch, times, &events, &keys)
      foldArguments(batch, times: times.events, scratch: &scratch)
    }
    precondition(counts.applied + counts.filtered + counts.late == batch.count - first, "every event is counted once")
    progress.applied += counts.applied
    progress.amended += counts.amended
    progress.filtered += counts.filtered
    progress.late += counts.late
    progress.lateListed = min(progress.lateListed + counts.late, events.late.countMax)
    progress.nextOffset = batch.endOffset
    progress.lastAppendTime = batch.header.appendTime
    progress.eventTimeWatermark = eventTimeWatermark
  }

  /// Argument by argument: the strings that one evaluation computes are valid until the next.
  private mutating func foldArguments(_ batch: ColumnBatch, times: [Int64], scratch: inout EvaluationScratch) {
    rows.withStates { states in
      events.rowOfEvent.withUnsafeBufferPointer { rows in
        times.withUnsafeBufferPointer { times in
          let batchRows = StateRows.Batch(slots: rows, times: times, baseOffset: batch.baseOffset)
          states.foldRows(batchRows)
          for index in definition.arguments.indices {
            definition.arguments[index].evaluate(over: batch, using: &scratch, into: &argument)
            progress.argumentErrors += states.fold(argument: index, argument, batchRows) { code, body in
              scratch.withString(code, over: batch, body)
            }
          }
        }
      }
    }
  }

  // MARK: memory

  var memoryBytes: Int { rows.byteCount }
  var rowCount: Int { rows.count }
  /// Rows that only memory has.
  var unsavedCount: Int { rows.unsavedCount }

  /// The stored rows that a batch's events may go to, of which memory may have none: to be put back before the batch is folded.
  mutating func missingRows(
    for batch: ColumnBatch, _ times: BatchTimes, scratch: inout EvaluationScratch
  ) -> [MissingRows] {
    let first = max(0, batch.baseOffset.distance(to: progress.nextOffset))
    guard rows.mayMissRows, first < batch.count,
      events.select(definition.filter, from: batch, times: times.events, first: first, scratch: &scratch) != nil
    else { return [] }
    keys.load(batch)
    let clock = clock, ofSources = times.ofSources
    var numbers = KeyTable()
    var missing: [MissingRows] = []
    for event in first..<batch.count where events.counts(event) {
      // Rows that end by then take no event like this; the partition's bound can only rise within the batch.
      let end = min(max(times.events[event], clock.bound(ofSources[event])), .max - 1)
      keys.withBytes(of: event, in: batch) { key in
        guard let through = rows.missingRows(ofKey: key, endingAfter: end) else { return }
        let number = numbers.number(of: key)
        if number == missing.count { missing.append(MissingRows(key: Array(key), endAfter: end, endThrough: through)) }
        missing[number].endAfter = min(missing[number].endAfter, end)
      }
    }
    return missing
  }

  // MARK: checkpoints

  /// All changes are stored: forgets which rows changed, and lets go of rows that can change no more.
  mutating func checkpointed() {
    rows.checkpointed(closedEnd: clock.closedEnd)
    assert(
      rows.unsavedCount == 0 && (rows.count > checkedRowsMax || rows.fault == nil), "rows stay what they are when they are stored"
    )
    events.checkpointed()
  }

  // MARK: retention

  /// Rows that end at or before this are left out of reads. They may not have been deleted yet, and whether a read sees them must
  /// not depend on that. Where rows lie in several partitions, reads decide once they know all of them: these are the rows that
  /// may be gone.
  var keptAfter: Int64? {
    // A longer retention than before does not bring rows back that have been deleted.
    definition.hasSourceKey ? clock.expiredEnd.map { max($0, droppedEnd ?? .min) } ?? droppedEnd : droppedEnd
  }

  /// Rows that end by then are gone from the file, or will be.
  mutating func noteDropped(through end: Int64) { droppedEnd = max(droppedEnd ?? end, end) }

  var firstKeptWindow: Int64 { keptAfter.map { definition.window.firstStart(endingAfter: $0) } ?? .min }

  // MARK: reads

  /// The rows in memory whose slots are within the bounds, in no order. `PartialRows.windows` makes windows of a hop's panes.
  /// - Parameters:
  ///   - slots: Inclusive.
  ///   - key: Only rows of this key.
  ///   - output: Gets the rows.
  func copyRows(_ slots: ClosedRange<Int64>, key: [UInt8]?, into output: inout PartialRows) {
    rows.copy(slots, key: key, keptAfter: keptAfter ?? .min, partition: progress.partition, into: &output)
  }

  /// The rows in memory, with those the file may have more of among them.
  /// - Parameters:
  ///   - slots: Inclusive.
  ///   - key: Only rows of this key.
  ///   - output: Gets the rows.
  ///   - isPartial: Gets one flag a row: whether the file may have more of it.
  func copyRows(_ slots: ClosedRange<Int64>, key: [UInt8]?, into output: inout PartialRows, isPartial: inout [Bool]) {
    copyRows(slots, key: key, into: &output)
    isPartial = (0..<output.count).map { row in
      output.withKey(row) { rows.isPartial(slot: output.windowStarts[row], key: $0) }
    }
  }
}

/// A key's stored rows that end after one time, up to and with another. Nanoseconds.
struct MissingRows: Hashable {
  let key: [UInt8]
  var endAfter: Int64
  let endThrough: Int64
}
