import Events
import Views

/// The distinct sources of a batch's events, numbered in the order in which they come.
///
/// Its buffers serve one batch after the other.
struct BatchSources {
  /// A batch's events of one of its sources: 32 bytes.
  struct Tally {
    /// The largest time in the batch.
    var time = Int64.min
    /// The source's largest time before the batch; the lowest time for a new source.
    var before = Int64.min
    var events: Int32 = 0
    /// The row of its last event.
    var last: Int32 = -1
    /// Its number in the table, when it has been taken in.
    var number: Int32 = -1
  }

  /// The code of each source in the batch.
  private(set) var codes: [UInt32] = []
  /// The number of each source in the table, −1 where that does not have it.
  private(set) var numbers: [Int32] = []
  /// The hash of each source's name, where it was needed.
  private var hashes: [UInt32] = []
  /// By code; empty ones for codes of something else.
  private(set) var tallies: [Tally] = []
  /// The row of each code's last event with a sequence, −1 without one; empty when every event has one.
  private var sequenced: [Int32] = []
  private var first = 0
  /// The code of each event's source.
  private var codeOfEvent: [UInt32] = []
  /// Whether an event is out of bounds; empty when none is.
  private var isOutside: [Bool] = []
  /// The source found last in the table.
  private var cursor = 0

  /// Goes through a batch's events from `first` on that are within bounds, in order.
  /// - Parameters:
  ///   - times: `batch.times()`.
  ///   - limit: Larger times count as this.
  mutating func load(
    _ batch: ColumnBatch, times: [Int64], from first: Int, within bounds: EventTimeBounds, limit: Int64
  ) {
    begin(batch, times: times, from: first, within: bounds)
    let hasOutside = !isOutside.isEmpty, count = codeOfEvent.count
    tallies.withUnsafeMutableBufferPointer { tallies in
      for event in first..<count {
        if hasOutside, isOutside[event] { continue }
        let code = codeOfEvent[event]
        let tally = tallies.baseAddress.unsafelyUnwrapped + Int(code)
        if tally.pointee.events == 0 { codes.append(code) }
        tally.pointee.time = max(tally.pointee.time, min(times[event], limit))
        tally.pointee.events &+= 1
        tally.pointee.last = Int32(truncatingIfNeeded: event)
      }
    }
  }

  /// Finds the largest time of each event's own source up to and with it, once the events have been taken in.
  /// - Parameters:
  ///   - sourceTimes: Gets the times, by event; not specified for events that do not count.
  ///   - times: The batch's times.
  ///   - limit: Larger times count as this.
  mutating func fill(_ sourceTimes: inout [Int64], _ times: [Int64], limit: Int64) {
    if sourceTimes.count != times.count {
      sourceTimes.removeAll(keepingCapacity: true)
      sourceTimes.append(contentsOf: repeatElement(.min, count: times.count))
    }
    sourceTimes.withUnsafeMutableBufferPointer { sourceTimes in
      for event in first..<codeOfEvent.count where counts(event) {
        let code = Int(codeOfEvent[event])
        tallies[code].before = max(tallies[code].before, min(times[event], limit))
        sourceTimes[event] = tallies[code].before
      }
    }
  }

  private mutating func begin(_ batch: ColumnBatch, times: [Int64], from first: Int, within bounds: EventTimeBounds) {
    self.first = first
    for code in codes { tallies[Int(code)] = Tally() }
    codes.removeAll(keepingCapacity: true)
    isOutside.removeAll(keepingCapacity: true)
    codeOfEvent = batch.sourceCodes()
    var largest: UInt32 = 0
    for code in codeOfEvent { largest = max(largest, code) }
    if tallies.count <= Int(largest) {
      tallies.append(contentsOf: repeatElement(Tally(), count: Int(largest) + 1 - tallies.count))
    }
    let (earliest, latest) = (batch.header.firstEventTime.nanoseconds, batch.header.lastEventTime.nanoseconds)
    if !bounds.contains(earliest) || !bounds.contains(latest) {
      isOutside.append(contentsOf: times.lazy.map { !bounds.contains($0) })
    }
  }

  /// Finds the sources' numbers in the table.
  mutating func find(_ strings: SharedStrings, in table: SourceTable) {
    table.find(codes, in: strings, from: &cursor, hashes: &hashes, numbers: &numbers)
  }

  /// Takes the events in, and adds the sources that the table does not have.
  /// - Parameters:
  ///   - slowest: Gets the sources' times.
  /// - Returns: How many sources have changed for the first time since the last checkpoint.
  mutating func takeIn(
    _ strings: SharedStrings, _ columns: SequenceColumns?, appendTime: Int64, to table: inout SourceTable,
    _ slowest: inout SlowestSource
  ) -> Int {
    if let columns { noteSequenced(columns) }
    var changed = 0
    for source in codes.indices {
      let code = Int(codes[source])
      var update = SourceUpdate(tallies[code], appendTime: appendTime)
      if let columns { update.sequence = sequence(code, columns) }
      if numbers[source] < 0 {
        numbers[source] = Int32(table.insert(strings[code], update, hash: hashes[source]))
        changed += 1
      } else {
        tallies[code].before = table.advance(Int(numbers[source]), &update)
        if update.isFirst { changed += 1 }
      }
      tallies[code].number = numbers[source]
      slowest.note(Int(numbers[source]), time: update.time)
    }
    return changed
  }

  private mutating func noteSequenced(_ columns: SequenceColumns) {
    sequenced.removeAll(keepingCapacity: true)
    guard !columns.hasSequence.isEmpty else { return }
    sequenced.append(contentsOf: repeatElement(-1, count: tallies.count))
    for event in first..<codeOfEvent.count where counts(event) && columns.hasSequence[event] {
      sequenced[Int(codeOfEvent[event])] = Int32(event)
    }
  }

  /// The last sequence of a code's events; nil when none has one.
  @inline(__always) private func sequence(_ code: Int, _ columns: SequenceColumns) -> ProducerPosition? {
    let row = Int(sequenced.isEmpty ? tallies[code].last : sequenced[code])
    guard row >= 0 else { return nil }
    return ProducerPosition(epoch: columns.epochs.isEmpty ? 0 : columns.epochs[row], sequence: columns.sequences[row])
  }

  /// Notes the times beyond the limit, as they were sent.
  func noteBeyond(_ limit: Int64, _ times: [Int64], in table: inout SourceTable) {
    for event in first..<codeOfEvent.count where times[event] > limit && counts(event) {
      table.setLargest(times[event], of: Int(tallies[Int(codeOfEvent[event])].number))
    }
  }

  @inline(__always) private func counts(_ event: Int) -> Bool { isOutside.isEmpty || !isOutside[event] }
}

/// A batch's events of one source, to be taken in.
struct SourceUpdate {
  /// Their largest time; then the source's.
  var time: Int64
  let appendTime: Int64
  let events: Int32
  /// The last of their sequences; nil when none has one.
  var sequence: ProducerPosition?
  /// Whether these are the source's first since the last checkpoint.
  var isFirst = true

  @inline(__always) init(_ tally: BatchSources.Tally, appendTime: Int64) {
    time = tally.time
    events = tally.events
    self.appendTime = appendTime
  }

  /// A new source.
  var entry: SourceEntry {
    SourceEntry(
      time: time, largest: time, lastAppendTime: appendTime, events: Int(events), epoch: sequence?.epoch ?? 0,
      sequence: sequence?.sequence)
  }
}
