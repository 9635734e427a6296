import Aggregates
import Events
import Expressions
import Views

/// One generation of a view over one partition: folds batches in the order of their offsets.
///
/// Deterministic: what it holds depends on the events up to `progress.nextOffset` alone, not on how they were batched, nor on any clock.
struct ViewFold: ~Copyable {
  let definition: ViewDefinition
  /// The length of what a row is kept for: a window, or a hop's pane.
  private let slotLength: Int64
  private(set) var table: WindowTable
  /// Rows of a view of sessions; else none.
  private(set) var sessions: SessionTable
  /// Of a view of sessions, nanoseconds.
  private let gap: Int64?
  var progress: PartitionProgress
  /// Which events count. The others are filtered, and move no event-time watermark.
  var times = EventTimeBounds.all
  /// Largest event time seen; nil before the first event.
  private(set) var eventTimeMax: Int64?
  /// Rows whose slot is at or before this are in SQLite only.
  private(set) var evictedThrough = Int64.min
  /// The first slot that is not. The first of times is a slot, too: of windows that are cut there.
  var firstInMemory: Int64 { evictedThrough == .min ? .min : evictedThrough + 1 }
  /// Sessions that end at or before this are in SQLite only.
  private(set) var evictedEnd = Int64.min
  /// Late events since the last checkpoint.
  private(set) var late: LateLog
  /// What retention has taken from the file.
  private(set) var dropped: DroppedRows

  private var mask: [UInt8] = []
  /// Of each row of the batch, whether its time is outside of `times`; empty when none is.
  private var isOutside: [Bool] = []
  private var rowOfEvent: [Int32] = []
  private var argument = ValueVector()
  private var keyVectors: [ValueVector]
  private var keyOfCode: [Int32] = []
  private var keyBytes: [UInt8] = []

  /// - Parameter lateMax: Late events that are listed, the last ones; 0 where nobody asks for them.
  init(
    definition: ViewDefinition, progress: PartitionProgress, eventTimeMax: Int64? = nil, lateMax: Int = 0,
    dropped: DroppedRows = DroppedRows()
  ) {
    self.definition = definition
    self.dropped = dropped
    late = LateLog(countMax: lateMax)
    slotLength = definition.window.slotLength
    table = WindowTable(layout: definition.layout)
    sessions = SessionTable(layout: definition.layout)
    if case .session(let gap) = definition.window { self.gap = gap } else { gap = nil }
    self.progress = progress
    self.eventTimeMax = eventTimeMax
    keyVectors = definition.keys.map { _ in ValueVector() }
    self.progress.eventTimeWatermark = eventTimeWatermark
    self.progress.lateListed = min(progress.lateListed, lateMax)
  }

  var eventTimeWatermark: Timestamp? {
    eventTimeMax.map { Timestamp(nanoseconds: definition.eventTimeWatermark(ofLargest: $0)) }
  }

  /// Folds the batch's events from `progress.nextOffset` on.
  /// - Parameters:
  ///   - batch: Holds the event at `progress.nextOffset`, or only earlier ones, which are passed over.
  ///   - times: `batch.times()`, taken once for all views.
  mutating func fold(_ batch: ColumnBatch, times: [Int64], scratch: inout EvaluationScratch) {
    let first = max(0, batch.baseOffset.distance(to: progress.nextOffset))
    guard first < batch.count else { return }
    precondition(batch.baseOffset <= progress.nextOffset, "a batch was left out")
    guard findOutside(batch, times: times) else { return pass(batch, first: first) }
    if let filter = definition.filter {
      filterRows(filter, batch, first: first, scratch: &scratch)
    } else {
      mask.removeAll(keepingCapacity: true)
    }
    loadKeys(batch)
    if let gap {
      placeSessions(batch, times: times, first: first, gap: gap)
      progress.argumentErrors += ViewFold.foldArguments(
        definition, batch, times: times, rows: rowOfEvent, argument: &argument, scratch: &scratch, into: &sessions.states)
    } else {
      placeRows(batch, times: times, first: first)
      progress.argumentErrors += ViewFold.foldArguments(
        definition, batch, times: times, rows: rowOfEvent, argument: &argument, scratch: &scratch, into: &table.states)
    }
    progress.nextOffset = batch.endOffset
    progress.lastAppendTime = batch.header.appendTime
    progress.eventTimeWatermark = eventTimeWatermark
  }

  /// - Returns: Whether there is an event within the bounds on time.
  private mutating func findOutside(_ batch: ColumnBatch, times: [Int64]) -> Bool {
    isOutside.removeAll(keepingCapacity: true)
    let bounds = self.times
    guard !bounds.isAll else { return true }
    let (first, last) = (batch.header.firstEventTime.nanoseconds, batch.header.lastEventTime.nanoseconds)
    guard !bounds.excludes(first: first, last: last) else { return false }
    if !bounds.contains(first) || !bounds.contains(last) { isOutside.append(contentsOf: times.lazy.map { !bounds.contains($0) }) }
    return true
  }

  /// Passes over a batch that is all outside of the bounds on time.
  private mutating func pass(_ batch: ColumnBatch, first: Int) {
    progress.filtered += batch.count - first
    progress.nextOffset = batch.endOffset
    progress.lastAppendTime = batch.header.appendTime
  }

  /// Argument by argument: the strings that one evaluation computes last until the next.
  /// - Returns: Values that could not be used.
  private static func foldArguments(
    _ definition: ViewDefinition, _ batch: ColumnBatch, times: [Int64], rows: [Int32], argument: inout ValueVector,
    scratch: inout EvaluationScratch, into states: inout StateRows
  ) -> Int {
    var unusable = 0
    rows.withUnsafeBufferPointer { rows in
      times.withUnsafeBufferPointer { times in
        let batchRows = StateRows.Batch(slots: rows, times: times, baseOffset: batch.baseOffset)
        states.foldRows(batchRows)
        for index in definition.arguments.indices {
          definition.arguments[index].evaluate(over: batch, using: &scratch, into: &argument)
          unusable += states.fold(argument: index, argument, batchRows) { code, body in
            scratch.withString(code, over: batch, body)
          }
        }
      }
    }
    return unusable
  }

  // MARK: memory

  /// Bytes of memory that rows take, by what is allocated.
  var memoryBytes: Int { table.byteCount + sessions.byteCount }

  /// Whether rows that can still change may be in the file only: of a view of sessions they must be put back before events of their keys are folded.
  var hasColdSessions: Bool { gap != nil && sessions.coldEnd > evictedEnd }
  var coldThrough: Int64 { table.coldThrough }
  var hasColdWindows: Bool {
    gap == nil && table.hasCold && (table.coldThrough > evictedThrough || evictedThrough == .min)
  }

  /// Lets go of rows that changed longest ago, so that about this many bytes are left. What changed must be stored.
  mutating func shrink(toBytes bytes: Int) {
    if gap != nil { sessions.shrink(toBytes: bytes) } else { table.shrink(toBytes: bytes) }
  }

  /// Keys of a batch's events of which memory has no session, though the file may: to be put back before the batch is folded.
  mutating func coldKeys(in batch: ColumnBatch, scratch: inout EvaluationScratch) -> [[UInt8]] {
    let first = max(0, batch.baseOffset.distance(to: progress.nextOffset))
    guard hasColdSessions, first < batch.count else { return [] }
    mask.removeAll(keepingCapacity: true)
    if let filter = definition.filter { _ = filter.select(from: batch, using: &scratch, into: &mask) }
    loadKeys(batch)
    var cold = KeyTable()
    let bounds = times
    let eventTimes = bounds.isAll ? [] : batch.times()
    for row in first..<batch.count where mask.isEmpty || mask[row] != 0 {
      if !bounds.isAll, !bounds.contains(eventTimes[row]) { continue }
      keyBytes.removeAll(keepingCapacity: true)
      for vector in keyVectors { KeyCodec.append(vector.kinds[row], vector.bits[row], batch, to: &keyBytes) }
      keyBytes.withUnsafeBytes { key in if sessions.keys.find(key) == nil { _ = cold.number(of: key) } }
    }
    return (0..<cold.count).map { number in cold.withKey(number) { Array($0) } }
  }

  mutating func complete(_ row: Int32, _ state: UnsafeBufferPointer<UInt64>?, events: Int64) {
    table.complete(row, state, events: events)
  }
  mutating func sortChanged() { table.sortChanged() }

  /// While rows are put back at the start, memory is full: of slots up to this one, or of all sessions, some are left in the file.
  mutating func leaveRest(from slot: Int64) {
    if gap != nil { sessions.removeAll() } else { table.noteCold(through: slot) }
  }

  private mutating func filterRows(_ filter: Expression, _ batch: ColumnBatch, first: Int, scratch: inout EvaluationScratch) {
    let selection = filter.select(from: batch, using: &scratch, into: &mask)
    var errors = selection.errors
    if first > 0 || !isOutside.isEmpty {
      // Rows already counted, or outside of the bounds on time, are in the batch too: count again, without them.
      errors = 0
      var values = ValueVector()
      filter.evaluate(over: batch, using: &scratch, into: &values)
      for row in first..<batch.count where values.kinds[row] != .bool && (isOutside.isEmpty || !isOutside[row]) { errors += 1 }
    }
    progress.whereErrors += errors
  }

  private mutating func loadKeys(_ batch: ColumnBatch) {
    for index in definition.keys.indices { batch.load(definition.keys[index].path, into: &keyVectors[index]) }
    if keyVectors.count == 1 {
      keyOfCode.removeAll(keepingCapacity: true)
      keyOfCode.append(contentsOf: repeatElement(-1, count: batch.stringCount))
    }
  }

  /// Finds each event's row: −1 for those that are filtered, late, or counted already.
  private mutating func placeRows(_ batch: ColumnBatch, times: [Int64], first: Int) {
    let count = batch.count
    rowOfEvent.removeAll(keepingCapacity: true)
    rowOfEvent.append(contentsOf: repeatElement(-1, count: count))
    let hasMask = !mask.isEmpty, hasOutside = !isOutside.isEmpty
    let isOneStringKey = keyVectors.count == 1 && keyVectors[0].uniformKind == .string
    let noKey: Int32 = keyVectors.isEmpty ? table.keyNumber(UnsafeRawBufferPointer(start: nil, count: 0)) : -1
    var greatest = eventTimeMax ?? .min
    var slotStart = Int64.min, slotEnd = Int64.min
    // When the slot's first window closes, and when its last does: of a hop's pane they differ.
    var firstEnd = Int64.min, lastEnd = Int64.min
    var closedEnd = closedEnd(at: greatest)
    var applied = 0, filtered = 0
    for row in first..<count {
      if hasOutside, isOutside[row] {
        filtered &+= 1
        continue
      }
      let time = times[row]
      if time > greatest {
        greatest = time
        closedEnd = self.closedEnd(at: greatest)
      }
      if hasMask, mask[row] == 0 {
        filtered &+= 1
        continue
      }
      if time < slotStart || time >= slotEnd || slotEnd == .min {
        slotStart = WindowDefinition.tumbleStart(of: time, size: slotLength)
        slotEnd = WindowDefinition.tumbleEnd(of: time, size: slotLength)
        firstEnd = definition.window.firstEnd(ofSlot: slotStart)
        lastEnd = definition.window.end(ofSlot: slotStart)
      }
      var slot = slotStart
      if firstEnd <= closedEnd {
        guard lastEnd > closedEnd, case .hop(_, let every) = definition.window else {
          late.append(LateEntry(offset: batch.baseOffset.advanced(by: row), eventTime: time))
          continue
        }
        slot += (closedEnd - firstEnd) / every + 1
      }
      let key: Int32
      if isOneStringKey {
        let code = Int(truncatingIfNeeded: keyVectors[0].bits[row])
        let known = keyOfCode[code]
        key = known >= 0 ? known : internKey(batch, row, code: code)
      } else {
        key = noKey >= 0 ? noKey : internKey(batch, row, code: nil)
      }
      rowOfEvent[row] = table.row(window: slot, key: key)
      applied &+= 1
    }
    if greatest != .min || !hasOutside { eventTimeMax = greatest }
    note(applied: applied, filtered: filtered, late: count - first - applied - filtered)
  }

  /// Finds each event's session, as `placeRows` finds windows.
  private mutating func placeSessions(_ batch: ColumnBatch, times: [Int64], first: Int, gap: Int64) {
    let count = batch.count
    rowOfEvent.removeAll(keepingCapacity: true)
    rowOfEvent.append(contentsOf: repeatElement(-1, count: count))
    let hasMask = !mask.isEmpty, hasOutside = !isOutside.isEmpty
    var greatest = eventTimeMax ?? .min
    var applied = 0, filtered = 0
    for row in first..<count {
      if hasOutside, isOutside[row] {
        filtered &+= 1
        continue
      }
      let time = times[row]
      greatest = max(greatest, time)
      if hasMask, mask[row] == 0 {
        filtered &+= 1
        continue
      }
      keyBytes.removeAll(keepingCapacity: true)
      for vector in keyVectors { KeyCodec.append(vector.kinds[row], vector.bits[row], batch, to: &keyBytes) }
      let key = keyBytes.withUnsafeBytes { sessions.keyNumber($0) }
      let session = sessions.row(
        time: time, end: WindowDefinition.end(of: time, size: gap), key: key, closedEnd: closedEnd(at: greatest))
      guard session >= 0 else {
        late.append(LateEntry(offset: batch.baseOffset.advanced(by: row), eventTime: time))
        continue
      }
      rowOfEvent[row] = session
      applied &+= 1
    }
    sessions.settle(&rowOfEvent)
    if greatest != .min || !hasOutside { eventTimeMax = greatest }
    note(applied: applied, filtered: filtered, late: count - first - applied - filtered)
  }

  private mutating func note(applied: Int, filtered: Int, late count: Int) {
    progress.applied += applied
    progress.filtered += filtered
    progress.late += count
    progress.lateListed = min(progress.lateListed + count, late.countMax)
  }

  /// Windows that end at or before this are closed when the largest event time is `greatest`.
  private func closedEnd(at greatest: Int64) -> Int64 {
    greatest == .min ? .min : definition.closedEnd(at: definition.eventTimeWatermark(ofLargest: greatest))
  }

  @inline(never) private mutating func internKey(_ batch: ColumnBatch, _ row: Int, code: Int?) -> Int32 {
    keyBytes.removeAll(keepingCapacity: true)
    for vector in keyVectors { KeyCodec.append(vector.kinds[row], vector.bits[row], batch, to: &keyBytes) }
    let number = keyBytes.withUnsafeBytes { table.keyNumber($0) }
    if let code { keyOfCode[code] = number }
    return number
  }

  // MARK: checkpoints

  /// What is to be stored is stored: forget which rows changed, and let go of those that can change no more.
  mutating func checkpointed() {
    table.clearChanged()
    sessions.clearChanged()
    late.removeAll()
    guard let greatest = eventTimeMax else { return }
    if gap != nil {
      let bound = closedEnd(at: greatest)
      if bound > evictedEnd, sessions.compact(removingThrough: bound) { evictedEnd = bound }
      return
    }
    let bound = definition.window.lastSlot(endingBy: closedEnd(at: greatest))
    // A scan costs as much as there are rows, so only when a window more has closed.
    guard bound > evictedThrough, let first = table.firstSlot, first <= bound else { return }
    table.compact(removingThrough: bound)
    evictedThrough = max(evictedThrough, bound)
  }

  /// After a restart: rows of closed windows stay in SQLite.
  mutating func noteStoredRows() {
    guard let greatest = eventTimeMax else { return }
    evictedEnd = closedEnd(at: greatest)
    if gap == nil { evictedThrough = definition.window.lastSlot(endingBy: evictedEnd) }
  }

  /// Puts a stored row back.
  /// - Parameters:
  ///   - state: In canonical form.
  ///   - events: That it counts.
  mutating func restore(
    slot: Int64, end: Int64, key: UnsafeRawBufferPointer, state: UnsafeBufferPointer<UInt64>, events: Int64
  ) {
    if gap != nil {
      sessions.restore(start: slot, end: end, key: key, state, events: events)
    } else {
      table.restore(window: slot, key: key, state, events: events)
    }
  }

  // MARK: retention

  /// Windows that end at or before this are past the view's retention, as far as this partition decides.
  var expiredEnd: Int64? { eventTimeWatermark.flatMap { definition.expiredEnd(at: $0.nanoseconds) } }

  /// Rows that end at or before this are left out of reads. They may not have been deleted yet; whether a read sees them must not depend on that. Where
  /// rows lie in several partitions, reads decide once they know of all: these are the rows that may be gone.
  var keptAfter: Int64? { definition.hasSourceKey ? expiredEnd : dropped.end }

  /// The file has no rows any more that end by then.
  mutating func noteDropped(through end: Int64, events: Int) {
    dropped.end = max(dropped.end ?? end, end)
    dropped.events += events
  }

  /// The first window start that retention keeps.
  var firstKeptWindow: Int64 {
    // A session may have begun at any time before.
    guard let keptAfter, gap == nil else { return .min }
    let (last, overflow) = keptAfter.subtractingReportingOverflow(definition.window.length)
    guard overflow else { return last + 1 }
    // The first window may begin before the range of times.
    return definition.window.firstEnd(ofSlot: .min) <= keptAfter ? .min + 1 : .min
  }

  /// The rows in memory whose slots are within the bounds, in no order: windows, or what `PartialRows.windows` makes windows of.
  /// - Parameters:
  ///   - key: Those of this key only.
  ///   - overlay: Takes the rows that the file may have more of.
  func copyRows(from: Int64, through: Int64, key: [UInt8]?, overlay: RowOverlay? = nil, into rows: inout PartialRows) {
    if gap != nil { return copySessions(from: from, through: through, key: key, into: &rows) }
    guard let key else {
      for row in 0..<table.count { copy(row, from: from, through: through, overlay: overlay, into: &rows) }
      return
    }
    guard let number = key.withUnsafeBytes({ table.keys.find($0) }) else { return }
    for row in table.rows(ofKey: number) { copy(row, from: from, through: through, overlay: overlay, into: &rows) }
  }

  @inline(__always) private func copy(
    _ row: Int, from: Int64, through: Int64, overlay: RowOverlay?, into rows: inout PartialRows
  ) {
    let slot = table.slotStarts[row]
    guard slot >= from, slot <= through else { return }
    if let overlay, slot <= table.coldThrough { return overlay.add(row, of: table) }
    table.keys.withKey(Int(table.keyNumbers[row])) { key in
      rows.append(
        partition: progress.partition, windowStart: slot, windowEnd: definition.window.end(ofSlot: slot), key: key
      ) { table.states.appendCanonical(row, to: &$0) }
    }
  }

  /// As above, with those the file may have more of among them.
  /// - Parameter isPartial: Of each row, whether it has.
  func copyRows(from: Int64, through: Int64, key: [UInt8]?, into rows: inout PartialRows, isPartial: inout [Bool]) {
    copyRows(from: from, through: through, key: key, into: &rows)
    isPartial = Array(repeating: false, count: rows.count)
    guard hasColdWindows else { return }
    for row in 0..<rows.count {
      let found = rows.withKey(row) { table.lookUp(window: rows.windowStarts[row], key: $0) }
      isPartial[row] = found.map { table.isPartial($0) } ?? false
    }
  }

  private func copySessions(from: Int64, through: Int64, key: [UInt8]?, into rows: inout PartialRows) {
    var wanted: Int?
    if let key {
      guard let number = key.withUnsafeBytes({ sessions.keys.find($0) }) else { return }
      wanted = number
    }
    let keptAfter = keptAfter ?? .min
    for row in 0..<sessions.count {
      let key = Int(sessions.keyNumbers[row])
      guard key >= 0, wanted.map({ $0 == key }) ?? true else { continue }
      let (start, end) = (sessions.starts[row], sessions.ends[row])
      guard start >= from, start <= through, end > keptAfter else { continue }
      sessions.keys.withKey(key) { key in
        rows.append(partition: progress.partition, windowStart: start, windowEnd: end, key: key) {
          sessions.states.appendCanonical(row, to: &$0)
        }
      }
    }
  }

  /// Rows in memory.
  var rowCount: Int { table.count + sessions.count }

  /// Rows that only memory has.
  var unsavedCount: Int { table.changed.count + sessions.changed.count }
}
