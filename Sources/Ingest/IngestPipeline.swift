import Events
import Serving
import Synchronization

/// One loop's path from messages to the log: a reader, and a lane with a builder for each partition.
///
/// While a lane's batches are being synced, its builder collects the next one: the busier the log, the larger the batches.
/// Everything here belongs to the loop; only `Inbox` is shared with the log's threads.
final class IngestPipeline {
  /// Batches of one lane that are given to the log and not yet synced; with more, the builder is left to fill.
  static let batchesInFlightMax = 2
  /// With this many batches of one lane given to the log, connections are not read until half of them are synced.
  static let batchesWaitingMax = 5

  private struct Run {
    var tracker: MessageTracker
    var message: Int
    var rows: Int
  }

  private struct Lane {
    let builder: ColumnBatchBuilder
    /// The builder's, which lives as long as the lane.
    let columns: ColumnBatchBuilder.Columns
    /// The messages whose rows the builder holds, in order.
    var runs: [Run] = []
    /// Each row's number in its message; `arrivalTimeBit` is set where its time is that of its arrival.
    var eventIndexes: [UInt32] = []
    var submitted: [Submission] = []
    var isDirty = false
  }

  private enum Waiting {
    /// It sends more only when the log is not behind either.
    case session(MessageTracker)
    case turn(() -> Void)
  }

  /// No message has as many events.
  private static let arrivalTimeBit: UInt32 = 1 << 31

  private struct Submission {
    var runs: [Run]
    var eventIndexes: [UInt32]
    /// Set if the batch was not given to the log, because an earlier one had failed.
    var refusal: LogError?
    /// Set if the batch has events ahead of the clock.
    var ahead: AheadBatch?
  }

  /// Completions on their way from the log's threads to the loop; one wake-up for all that have come.
  private final class Inbox: Sendable {
    typealias Completion = (lane: Int, result: Result<AppendReceipt, LogError>)

    private struct State {
      var completions: [Completion] = []
      /// The first failure of each lane since it last recovered.
      var failures: [Int: LogError] = [:]
    }

    private let state = Mutex(State())

    /// Returns whether the loop must be woken.
    func push(_ lane: Int, _ result: Result<AppendReceipt, LogError>) -> Bool {
      state.withLock { state in
        if case .failure(let error) = result, state.failures[lane] == nil { state.failures[lane] = error }
        state.completions.append((lane, result))
        return state.completions.count == 1
      }
    }

    func takeAll() -> [Completion] {
      state.withLock { state in
        var taken: [Completion] = []
        swap(&taken, &state.completions)
        return taken
      }
    }

    func failure(of lane: Int) -> LogError? { state.withLock { $0.failures[lane] } }

    func mend(_ lane: Int) { state.withLock { $0.failures[lane] = nil } }
  }

  private let loop: any ConnectionLoop
  private let log: any EventLog
  private let counters: IngestCounters
  private let ahead: AheadRule
  /// The counts since they were last added to `counters`, which other threads write too.
  private var tally = IngestCounters.Tally()
  private let reader = EventReader()
  // A pointer, not an array: each event uses its lane several times, and an array in a class is checked at each use.
  private let lanes: UnsafeMutablePointer<Lane>
  private let laneCount: Int
  private var dirty: [Int] = []
  private var isFlushScheduled = false
  /// Whether the log is behind.
  private(set) var isBehind = false
  private var reading: MessageReading?
  /// Callers that wait until the pipeline reads again, in order.
  private var waiting: [Waiting] = []
  private var touched: [MessageTracker] = []
  private let inbox = Inbox()
  /// The rejected events of the message at hand that are only counted.
  private var unnoted: [RejectCode: Int] = [:]

  init(log: any EventLog, loop: any ConnectionLoop, counters: IngestCounters, ahead: AheadRule = AheadRule()) {
    self.ahead = ahead
    self.log = log
    self.loop = loop
    self.counters = counters
    laneCount = log.partitionCount
    lanes = .allocate(capacity: laneCount)
    for lane in 0..<laneCount {
      let builder = ColumnBatchBuilder(partition: PartitionID(lane))
      (lanes + lane).initialize(to: Lane(builder: builder, columns: builder.unownedColumns))
    }
  }

  deinit {
    lanes.deinitialize(count: laneCount)
    lanes.deallocate()
  }

  /// Reads one message's events into the lanes. Not to be called while `isReading`.
  /// - Parameters:
  ///   - bytes: Valid UTF-8 with `EventReader.padding` readable zero bytes after it.
  ///   - message: A message begun with `tracker.beginMessage()`; ended here.
  ///   - trace: The trace context for events that have none.
  /// - Returns: The number of events that wait for the log; if none, the message can be answered at once. Nil for a
  ///   long message: it is read in later turns of the loop, and `messageRead` of its tracker is called at its end.
  @discardableResult
  func submit(
    _ bytes: UnsafeRawBufferPointer, framing: EventReader.Framing, arrival: Timestamp, defaultSource: [UInt8]?,
    tracker: MessageTracker, message: Int, trace: TraceContext? = nil
  ) -> Int? {
    precondition(reading == nil, "one message is read at a time")
    let text = bytes.count > MessageReading.pieceBytes ? MessageText(copying: bytes) : nil
    var message = MessageReading(
      tracker: tracker, number: message, arrival: arrival, byteCount: bytes.count, isTraced: trace != nil, text: text)
    reader.begin(message: text?.bytes ?? bytes, framing: framing, arrival: arrival, defaultSource: defaultSource)
    if let trace { reader.setTrace(trace) }
    if read(&message) { return end(message) }
    reading = message
    scheduleReading()
    return nil
  }

  /// Reads a piece of a message.
  /// - Returns: Whether it has been read to its end.
  private func read(_ message: inout MessageReading) -> Bool {
    let partitions = UInt64(laneCount), reader = reader, lanes = lanes
    let tracker = message.tracker, permission = tracker.permission, isTraced = message.isTraced, number = message.number
    let timeMax = ahead.acceptedLimit(at: message.arrival)
    let pieceEnd = message.pieceEnd(from: reader.position)
    var queued = 0, isEnded = true
    while let step = reader.next() {
      switch step {
      case .event(let index):
        if let reject = refusal(permission, timeMax, message.arrival) {
          message.rejected += 1
          note(reject, event: index, isWhole: true, of: number, number: message.rejected, tracker, message.arrival)
        } else {
          if isTraced { reader.addTrace() }
          let lane = Int(truncatingIfNeeded: reader.sourceHash % partitions)
          if lanes[lane].columns.isFull { seal(lane) }
          append(to: lanes + lane, lane, reader, tracker, number, index)
          queued += 1
        }
      case .reject(let index, let reject):
        message.rejected += 1
        note(reject, event: index, isWhole: false, of: number, number: message.rejected, tracker, message.arrival)
      }
      if reader.position >= pieceEnd {
        isEnded = false
        break
      }
    }
    message.queued += queued
    message.untold += queued
    tally.received += queued
    if reader.needsReset {
      for lane in 0..<laneCount { seal(lane) }
      reader.resetPaths()
    }
    scheduleFlush()
    return isEnded
  }

  /// The reason why the event just read is not taken, though it is sound; nil for one that is taken.
  @inline(__always) private func refusal(
    _ permission: SourcePermission?, _ timeMax: Int64, _ arrival: Timestamp
  ) -> EventReject? {
    if let permission, !reader.withSource({ permission.permits($0) }) {
      return EventReject(.forbiddenSource, "the token does not let its holder write as this source")
    }
    guard reader.time > timeMax, reader.hasTime else { return nil }
    return ahead.reject(reader.time, arrival: arrival)
  }

  /// - Returns: The number of events that wait for the log.
  private func end(_ message: MessageReading) -> Int {
    countUnnoted()
    message.tracker.endMessage(message.number, queued: message.untold, rejected: message.rejected)
    tally.bytes += message.byteCount
    // Answered at once, so counted at once: a device that has an answer finds it in the metrics.
    if message.queued == 0 { counters.add(&tally) }
    return message.queued
  }

  // MARK: long messages

  /// Whether a long message is being read: others wait for their turn.
  var isReading: Bool { reading != nil }

  private func scheduleReading() {
    // Before any of them is synced.
    if var message = reading {
      message.tracker.addQueued(message.untold, to: message.number)
      message.untold = 0
      reading = message
    }
    let bound = LoopBound(self, loop)
    loop.execute { bound.value.readOn() }
  }

  private func readOn() {
    guard var message = reading else { return }
    // If the log has not taken a part of a message, the rest is not read: the device sends all of it again.
    let isEnded = message.tracker.failure != nil || read(&message)
    guard isEnded else {
      reading = message
      scheduleReading()
      return
    }
    reading = nil
    message.tracker.messageRead(queued: end(message))
    resume()
  }

  /// Notes the reject with the tracker, and counts it: received events first, so that nobody sees more events answered for than
  /// came.
  /// - Parameters:
  ///   - isWhole: Whether the event was read to its end.
  ///   - number: The reject's number in its message, from 1. One beyond those sent is only counted: a message of a
  ///     thousand bytes can hold hundreds of thousands.
  private func note(
    _ reject: EventReject, event: Int?, isWhole: Bool, of message: Int, number: Int, _ tracker: MessageTracker,
    _ arrival: Timestamp
  ) {
    tracker.note(reject, event: event, of: message)
    tally.received += 1
    guard number <= MessageTracker.rejectsToldMax else {
      unnoted[reject.code, default: 0] += 1
      return
    }
    counters.add(&tally)
    counters.rejected(reject, RejectedEvent(reader.rejected(isWhole: isWhole), message: message, event: event), at: arrival)
  }

  private func countUnnoted() {
    guard !unnoted.isEmpty else { return }
    counters.add(&tally)
    for (code, number) in unnoted { counters.rejected(code, number) }
    unnoted.removeAll(keepingCapacity: true)
  }

  @inline(__always) private func append(
    to lane: UnsafeMutablePointer<Lane>, _ number: Int, _ reader: EventReader, _ tracker: MessageTracker, _ message: Int,
    _ index: Int
  ) {
    lane.pointee.columns.append(reader)
    lane.pointee.eventIndexes.append(
      UInt32(truncatingIfNeeded: index) | (reader.hasTime ? 0 : IngestPipeline.arrivalTimeBit))
    let last = lane.pointee.runs.count - 1
    if last >= 0, lane.pointee.runs[last].message == message, lane.pointee.runs[last].tracker === tracker {
      lane.pointee.runs[last].rows += 1
    } else {
      lane.pointee.runs.append(Run(tracker: tracker, message: message, rows: 1))
    }
    if !lane.pointee.isDirty {
      lane.pointee.isDirty = true
      dirty.append(number)
    }
  }

  /// Seals the lane's rows and gives the batch to the log.
  private func seal(_ lane: Int) {
    guard let batch = lanes[lane].builder.seal(reader) else { return }
    // The connections do not know of this failure yet: a later batch of a source must not be appended where an earlier
    // one was not, or the earlier one, sent again, would pass for a duplicate.
    let refusal = inbox.failure(of: lane)
    lanes[lane].submitted.append(
      Submission(
        runs: lanes[lane].runs, eventIndexes: lanes[lane].eventIndexes, refusal: refusal,
        ahead: AheadBatch(batch, limit: ahead.limit(at: .systemNow()))))
    lanes[lane].runs = []
    lanes[lane].eventIndexes = []
    lanes[lane].eventIndexes.reserveCapacity(min(batch.count, 4096))
    if lanes[lane].submitted.count >= IngestPipeline.batchesWaitingMax { isBehind = true }
    // The failed batch's completion is on its way, and settles this one too.
    guard refusal == nil else { return }
    let inbox = inbox, loop = loop
    let drain = LoopBound(self, loop)
    log.append(batch) { result in
      if inbox.push(lane, result) { loop.execute { drain.value.drainInbox() } }
    }
  }

  /// Flushes once all that this turn of the loop has read is in the builders.
  private func scheduleFlush() {
    guard !isFlushScheduled else { return }
    isFlushScheduled = true
    let bound = LoopBound(self, loop)
    loop.execute { bound.value.flush() }
  }

  private func flush() {
    isFlushScheduled = false
    var still: [Int] = []
    for lane in dirty {
      if lanes[lane].submitted.count < IngestPipeline.batchesInFlightMax {
        lanes[lane].isDirty = false
        seal(lane)
      } else {
        still.append(lane)
      }
    }
    dirty = still
  }

  private func drainInbox() {
    for (lane, result) in inbox.takeAll() {
      // The log completes a partition's batches in the order given.
      finish(lanes[lane].submitted.removeFirst(), of: lane, result)
      if inbox.failure(of: lane) != nil { refuseRest(of: lane) }
    }
    flush()
    counters.add(&tally)
    for tracker in touched {
      tracker.isTouched = false
      tracker.answersMayBeReady()
    }
    touched.removeAll(keepingCapacity: true)
    if isBehind, (0..<laneCount).allSatisfy({ lanes[$0].submitted.count <= IngestPipeline.batchesInFlightMax }) {
      isBehind = false
      resume()
    }
  }

  /// Lets waiting callers go on, as long as none of them makes the others wait again.
  private func resume() {
    var called: [Waiting] = []
    swap(&called, &waiting)
    var still: [Waiting] = []
    for caller in called {
      switch caller {
      case .session(let session) where !isPaused: session.pipelineResumed()
      case .turn(let body) where !isReading: body()
      case .session, .turn: still.append(caller)
      }
    }
    waiting = still + waiting
  }

  private func finish(_ submission: Submission, of lane: Int, _ result: Result<AppendReceipt, LogError>) {
    switch result {
    case .success(let receipt): settle(submission, receipt, PartitionID(lane))
    case .failure(let error):
      counters.add(&tally)
      for run in submission.runs {
        counters.refused(events: run.rows, error)
        run.tracker.noteFailed(error)
      }
    }
    for run in submission.runs where !run.tracker.isTouched {
      run.tracker.isTouched = true
      touched.append(run.tracker)
    }
  }

  /// After a batch of the lane has failed, later rows fail too. The lane takes rows again once none of these is left;
  /// its connections are told in the same turn of the loop, and send nothing more.
  private func refuseRest(of lane: Int) {
    seal(lane)
    while let refusal = lanes[lane].submitted.first?.refusal {
      finish(lanes[lane].submitted.removeFirst(), of: lane, .failure(refusal))
    }
    if lanes[lane].submitted.isEmpty { inbox.mend(lane) }
  }

  private func settle(_ submission: Submission, _ receipt: AppendReceipt, _ partition: PartitionID) {
    var row = 0, exception = 0, appendedBefore = 0
    var named = receipt.named[...]
    for run in submission.runs {
      let end = row + run.rows
      var duplicates = 0, fenced = 0
      while exception < receipt.exceptions.count, receipt.exceptions[exception].row < end {
        let excepted = receipt.exceptions[exception]
        let name = named.first?.row == excepted.row ? named.removeFirst() : nil
        let place = submission.eventIndexes[excepted.row]
        switch excepted.reason {
        case .duplicate:
          duplicates += 1
          // An event without a time, sent again, has the time of its arrival, which is later than the first's.
          if excepted.suspicion == .skipped || (excepted.suspicion == .newer && place & IngestPipeline.arrivalTimeBit == 0) {
            tally.suspects += 1
            if let name { counters.suspected(name) }
          }
        case .fenced(let currentEpoch):
          fenced += 1
          let index = Int(place & ~IngestPipeline.arrivalTimeBit)
          let reject = EventReject(
            .fenced, "the source's epoch is \(currentEpoch) now: another device or a later start has taken it over")
          counters.add(&tally)
          counters.rejected(reject, RejectedEvent(message: run.message, event: index, source: name?.source), at: .systemNow())
          run.tracker.note(reject, event: index, of: run.message)
        }
        exception += 1
      }
      let appended = run.rows - duplicates - fenced
      appendedBefore += appended
      run.tracker.noteSynced(
        message: run.message, rows: run.rows, duplicates: duplicates, fenced: fenced, partition: partition,
        next: receipt.baseOffset.advanced(by: appendedBefore))
      tally.appended += appended
      tally.duplicates += duplicates
      row = end
    }
    if let ahead = submission.ahead { countAhead(ahead, submission.eventIndexes, receipt) }
  }

  private func countAhead(_ batch: AheadBatch, _ eventIndexes: [UInt32], _ receipt: AppendReceipt) {
    let (events, sources) = batch.count(besides: receipt.exceptions, at: .systemNow()) { row in
      eventIndexes[row] & IngestPipeline.arrivalTimeBit == 0
    }
    tally.ahead += events
    counters.wereAhead(sources)
  }

  /// Whether no message is taken now: the log is behind, or a long message is being read.
  var isPaused: Bool { isBehind || reading != nil }

  /// Calls the tracker's `pipelineResumed()` when reading may go on.
  func waitForResume(_ tracker: MessageTracker) { waiting.append(.session(tracker)) }

  /// Calls `body` when no long message is being read. The log may be behind then.
  func waitForTurn(_ body: @escaping () -> Void) { waiting.append(.turn(body)) }
}
