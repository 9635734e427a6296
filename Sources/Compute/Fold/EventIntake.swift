import Events
import Expressions
import Views

/// Which events of a batch count in a fold, what time it is by them, and to which row each goes.
///
/// Belongs to one fold. Its buffers serve one batch after the other.
struct EventIntake {
  /// How many of a batch's events went which way.
  struct Counts {
    var applied = 0
    /// Applied events whose windows the partition's largest time had closed, though their source's had not.
    var amended = 0
    var filtered = 0
    var late = 0
  }

  /// Events outside of these bounds are filtered, and move no event-time watermark.
  var bounds = EventTimeBounds.all
  private(set) var clock: EventTimeClock
  /// Late events since the last checkpoint.
  private(set) var late: LateLog
  /// The row of each event; −1 for those that are filtered, late, or counted already.
  var rowOfEvent: [Int32] = []
  /// The first event that is not counted yet.
  private var first = 0
  /// One byte an event: 0 where `where` leaves the event out. Empty when it leaves out none.
  private var mask: [UInt8] = []
  /// One flag an event: whether its time is outside of `bounds`. Empty when none is.
  private var isOutside: [Bool] = []

  init(clock: EventTimeClock, late: LateLog) {
    self.clock = clock
    self.late = late
  }

  /// Finds the events from `first` on that count.
  /// - Parameter times: `batch.times()`; may be empty when all times are within bounds.
  /// - Returns: On how many of them `where` was an error; nil when all are outside of the bounds on time.
  mutating func select(
    _ filter: Expression?, from batch: ColumnBatch, times: [Int64], first: Int, scratch: inout EvaluationScratch
  ) -> Int? {
    self.first = first
    mask.removeAll(keepingCapacity: true)
    isOutside.removeAll(keepingCapacity: true)
    if !bounds.isAll {
      let bounds = bounds
      let (earliest, latest) = (batch.header.firstEventTime.nanoseconds, batch.header.lastEventTime.nanoseconds)
      guard !bounds.excludes(first: earliest, last: latest) else { return nil }
      if !bounds.contains(earliest) || !bounds.contains(latest) {
        isOutside.append(contentsOf: times.lazy.map { !bounds.contains($0) })
      }
    }
    guard let filter else { return 0 }
    let selection = filter.select(from: batch, using: &scratch, into: &mask)
    guard first > 0 || !isOutside.isEmpty else { return selection.errors }
    // Events already counted, or outside of the bounds on time, are in the batch too: count again, without them.
    var errors = 0
    var values = ValueVector()
    filter.evaluate(over: batch, using: &scratch, into: &values)
    for event in first..<batch.count where values.kinds[event] != .bool && (isOutside.isEmpty || !isOutside[event]) {
      errors += 1
    }
    return errors
  }

  /// Whether a selected batch's event counts, if it is not late.
  func counts(_ event: Int) -> Bool {
    event >= first && (isOutside.isEmpty || !isOutside[event]) && (mask.isEmpty || mask[event] != 0)
  }

  /// Where an event is counted.
  struct Placement {
    /// −1 when the event is late.
    let row: Int32
    /// The end of the last of the event's windows.
    let end: Int64
  }

  /// Finds the rows of a selected batch's events.
  /// - Parameters:
  ///   - firstEnd: The end of the first window that any of the batch's events may be in; nil where an event's row depends on
  ///     others.
  ///   - row: Places an event; it is late when all of its windows end by `bound`.
  @inline(__always) mutating func place(
    _ batch: ColumnBatch, _ times: BatchTimes, firstEnd: Int64?,
    _ row: (_ event: Int, _ time: Int64, _ bound: Int64) -> Placement
  ) -> Counts {
    // Apart from `self` while the loop runs, as the clock is: each is touched by every event.
    var rows: [Int32] = []
    swap(&rows, &rowOfEvent)
    defer { swap(&rows, &rowOfEvent) }
    var clock = clock
    defer { self.clock = clock }
    rows.removeAll(keepingCapacity: true)
    rows.append(contentsOf: repeatElement(-1, count: batch.count))
    let hasMask = !mask.isEmpty, hasOutside = !isOutside.isEmpty
    var counts = Counts()
    let largest = min(batch.header.lastEventTime.nanoseconds, times.limit)
    if let firstEnd, !hasOutside, clock.closesNothing(firstEnd, at: largest) {
      // No window of the batch is closed for anyone, whatever the order of its events.
      clock.observe(largest)
      rows.withUnsafeMutableBufferPointer { rows in
        for event in first..<batch.count where !hasMask || mask[event] != 0 {
          rows[event] = row(event, times.events[event], .min).row
          counts.applied &+= 1
        }
      }
      counts.filtered = batch.count - first - counts.applied
      return counts
    }
    let ofSources = clock.isBySource ? times.ofSources : []
    precondition(!clock.isBySource || ofSources.count == batch.count, "each source's time is known")
    rows.withUnsafeMutableBufferPointer { rows in
      for event in first..<batch.count {
        if hasOutside, isOutside[event] {
          counts.filtered &+= 1
          continue
        }
        let time = times.events[event]
        clock.observe(min(time, times.limit))
        if hasMask, mask[event] == 0 {
          counts.filtered &+= 1
          continue
        }
        let placed = row(event, time, clock.bound(ofSources[event]))
        guard placed.row >= 0 else {
          noteLate(batch.baseOffset.advanced(by: event), time, isExpired: placed.end <= clock.expiredBound)
          counts.late &+= 1
          continue
        }
        rows[event] = placed.row
        counts.applied &+= 1
        if clock.isBySource, placed.end <= clock.closedEnd { counts.amended &+= 1 }
      }
    }
    return counts
  }

  @inline(never) private mutating func noteLate(_ offset: Offset, _ time: Int64, isExpired: Bool) {
    late.append(LateEntry(offset: offset, eventTime: time, reason: isExpired ? .expired : .windowClosed))
  }

  mutating func checkpointed() { late.removeAll() }
}
