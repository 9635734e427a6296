import Events
import Logging
import Producers

/// The one who decides for a partition: takes all that waits, leaves duplicates out, gives the rest offsets, has the store append
/// and sync it once, shows it to readers and acknowledges it.
///
/// Lives on a serial queue of its own, which the store's calls block, never holding a lock meanwhile. After any failure of an
/// append or sync it acknowledges nothing more: what is kept is unknown until the partition is opened anew. But for one: an
/// append that finds no room is taken back, and the writer goes on once there is room (PartitionWriter+Room.swift).
///
/// Holds at every step: written ≤ `nextOffset`; high watermark ≤ written; each batch's rows = appended + duplicates + fenced.
actor PartitionWriter {
  /// Batches written and synced together.
  private struct Group {
    /// One time for all of them, which no other group has: by it recovery tells a group's batches from the next one's.
    var appendTime = Timestamp(nanoseconds: 0)
    var placed: [ColumnBatch] = []
    var bytes = 0
    var events = 0
    var outcomes: [(completion: @Sendable (Result<AppendReceipt, LogError>) -> Void, receipt: AppendReceipt)] = []

    /// Whether the batches follow one another from `start` to `end`, and the sums are theirs.
    func isDense(from start: Offset, to end: Offset) -> Bool {
      var next = start
      for batch in placed {
        guard batch.baseOffset == next, batch.header.appendTime == appendTime else { return false }
        next = batch.endOffset
      }
      return next == end && events == start.distance(to: end) && bytes == placed.reduce(0) { $0 + $1.encoded.count }
    }
  }

  nonisolated let executor: WriterExecutor
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  let partition: PartitionID
  let configuration: LogConfiguration
  let store: any PartitionStore
  let queue: AppendQueue
  private let tail: PartitionTail
  private let waiters: AppendWaiters
  let metrics: LogMetrics
  let logger: Logger
  private let clock: LogClock

  private(set) var nextOffset: Offset
  private(set) var lastAppendTime: Timestamp
  private(set) var producers: ProducerState
  /// Whether appends are refused until the disk has room.
  var isDiskFull = false
  private(set) var isClosed = false
  /// Appended, acknowledged, not yet synced; only under `sync: interval`.
  private var unsynced: [ColumnBatch] = []
  private var unsyncedBytes = 0
  private var isSyncScheduled = false
  private var forgottenCounted = 0
  private(set) var poison: LogError?

  init(_ opened: sending OpenedStore, queue: AppendQueue, tail: PartitionTail, _ shared: LogPartitions.Shared) {
    partition = tail.partition
    executor = WriterExecutor(shared.scheduler.makeQueue(label: "penstock.log.\(tail.partition)"))
    configuration = shared.configuration
    store = opened.store
    self.queue = queue
    self.tail = tail
    waiters = shared.waiters
    metrics = shared.metrics
    logger = shared.logger
    clock = shared.clock
    nextOffset = opened.end
    lastAppendTime = opened.lastAppendTime
    producers = opened.producers
  }

  /// Schedules the writing of waiting batches. Cheap; any thread may call it.
  nonisolated func schedule() {
    executor.async { self.assumeIsolated { $0.drain() } }
  }

  /// Writes one group, and schedules the next after other work that waits for this writer.
  private func drain() {
    let group = queue.take(groupBytesMax: configuration.groupBytesMax)
    guard !group.isEmpty else { return }
    append(group)
    schedule()
  }

  /// The last durable sequences, as far as the sync policy promises.
  func positions(of sources: [String]) throws(LogError) -> [(source: String, position: ProducerPosition)] {
    if let poison { throw poison }
    return sources.compactMap { source in producers.position(of: source).map { (source, $0) } }
  }

  /// Writes all waiting batches, syncs, and writes the marker durably. The queue is closed before.
  func close() {
    while case let group = queue.take(groupBytesMax: configuration.groupBytesMax), !group.isEmpty { append(group) }
    isClosed = true
    guard poison == nil else { return }
    do throws(LogError) {
      if configuration.sync != .always { try syncUnsynced() }
      try store.close()
    } catch {
      logger.error("partition is not closed cleanly", metadata: place("failure", error))
    }
  }

  // MARK: Appending

  private func append(_ pending: [PendingAppend]) {
    if let shortage = store.shortage(of: pending.reduce(0) { $0 + $1.bytes }, isFresh: false) {
      let error = suspend(LogError(.diskFull, partition: partition, shortage))
      for append in pending { append.completion(.failure(error)) }
      failWaiting(error)
      return
    }
    var pending = pending
    var next = 0
    var group = Group()
    do throws(StoreFailure) {
      if let poison { throw StoreFailure.fatal(poison) }
      group.appendTime = nextAppendTime()
      while next < pending.count {
        let bytes = pending[next].bytes
        if store.isRollDue(before: bytes, behind: group.bytes) {
          try commit(&group)
          try roll()
          group.appendTime = nextAppendTime()
        }
        // Taken out of the array, so that patching its bytes copies nothing.
        guard let batch = pending[next].batch.take() else { preconditionFailure("a batch is appended once") }
        admit(batch, pending[next].completion, into: &group)
        next += 1
      }
      try commit(&group)
    } catch {
      let told = giveUp(error, isGroupBegun: !group.placed.isEmpty)
      for outcome in group.outcomes { outcome.completion(.failure(told)) }
      for append in pending[next...] { append.completion(.failure(told)) }
      failWaiting(told)
    }
  }

  /// After a failed group or roll: cuts off the written bytes if that is safe, and poisons the partition if not.
  /// - Returns: The error for the waiting appenders.
  func giveUp(_ failure: StoreFailure, isGroupBegun: Bool) -> LogError {
    let cause: LogError
    switch failure {
    case .full(let error): cause = error
    case .fatal(let error):
      poison(with: error)
      return error
    }
    if isGroupBegun {
      do throws(LogError) {
        producers = try store.takeBack()
        nextOffset = written
        forgottenCounted = producers.identities.forgottenEarly
      } catch {
        poison(with: error)
        return error
      }
    }
    return suspend(cause)
  }

  /// The offset after the last batch that is appended and acknowledged.
  private var written: Offset { unsynced.last?.endOffset ?? tail.highWatermark }

  /// Rises from group to group, whatever the clock does.
  private func nextAppendTime() -> Timestamp {
    lastAppendTime = max(clock.now(), Timestamp(nanoseconds: lastAppendTime.nanoseconds + 1))
    return lastAppendTime
  }

  /// Gives a batch its offsets after the group's others, without the rows that are in the log already.
  private func admit(
    _ batch: consuming ColumnBatch, _ completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void,
    into group: inout Group
  ) {
    let base = nextOffset
    let tag = batch.tag
    if let tag {
      switch producers.appenders.judge(tag) {
      case .new: break
      case .appended(let receipt):
        metrics.resent.increment()
        group.outcomes.append((completion, receipt))
        return
      case .stale:
        completion(
          .failure(
            LogError(
              .outOfRange, partition: partition,
              "append \(tag.number) of \(tag.appender) is older than the last \(AppenderTable.window): its outcome is forgotten"))
        )
        return
      }
    }
    let exceptions = producers.admit(batch, at: group.appendTime)
    let named = exceptions.isEmpty ? [] : producers.named(exceptions, of: batch)
    let received = batch.count
    var kept: ColumnBatch? = batch
    if !exceptions.isEmpty {
      count(exceptions)
      var rows: [Int] = []
      var exception = exceptions[...]
      for row in 0..<batch.count {
        if exception.first?.row == row { exception = exception.dropFirst() } else { rows.append(row) }
      }
      kept = batch.selecting(rows)
    }
    if var placed = kept.take() {
      if let tag, !exceptions.isEmpty {
        placed.setTag(AppendTag(appender: tag.appender, number: tag.number, rows: tag.rows, exceptions: exceptions))
      }
      if configuration.codec == .deflate { placed = placed.recoded(.deflate) }
      placed.place(partition: partition, baseOffset: base, appendTime: group.appendTime)
      nextOffset = placed.endOffset
      group.bytes += placed.encoded.count
      group.events += placed.count
      group.placed.append(placed)
    }
    precondition(base.distance(to: nextOffset) + exceptions.count == received, "received = appended + duplicates + fenced")
    var receipt = AppendReceipt(baseOffset: base, endOffset: nextOffset, exceptions: exceptions)
    if let tag { producers.appenders.note(tag.appender, tag.number, receipt) }
    receipt.named = named
    group.outcomes.append((completion, receipt))
  }

  /// Writes and syncs a group, shows it to readers, acknowledges it, and empties it. After a failure the group is
  /// unchanged: none of it is acknowledged.
  private func commit(_ group: inout Group) throws(StoreFailure) {
    if !group.placed.isEmpty {
      assert(group.isDense(from: written, to: nextOffset), "offsets are dense")
      try store.append(group.placed)
      switch configuration.sync {
      case .always:
        try fatally { () throws(LogError) in try store.sync() }
        publish(group.placed, isDurable: true)
      case .interval(let interval):
        unsynced += group.placed
        unsyncedBytes += group.bytes
        if unsyncedBytes > configuration.groupBytesMax {
          try fatally { () throws(LogError) in try syncUnsynced() }
        } else {
          scheduleSync(after: interval)
        }
      case .never:
        publish(group.placed, isDurable: false)
      }
      metrics.appendedEvents.increment(by: group.events)
      metrics.appendedBytes.increment(by: group.bytes)
      metrics.appendedBatches.increment(by: group.placed.count)
      metrics.groups.increment()
      metrics.identitiesForgotten.increment(by: producers.identities.forgottenEarly - forgottenCounted)
      forgottenCounted = producers.identities.forgottenEarly
    }
    for outcome in group.outcomes { outcome.completion(.success(outcome.receipt)) }
    group = Group()
  }

  func fatally(_ body: () throws(LogError) -> Void) throws(StoreFailure) {
    do throws(LogError) { try body() } catch { throw .fatal(error) }
  }

  private func publish(_ batches: [ColumnBatch], isDurable: Bool) {
    store.publish(batches)
    tail.publish(batches)
    waiters.wake(partition, highWatermark: tail.highWatermark)
    precondition(tail.highWatermark <= nextOffset, "nothing is shown that has no place")
    if isDurable { store.mark() }
  }

  // MARK: Syncing later

  private func scheduleSync(after interval: Duration) {
    guard !isSyncScheduled else { return }
    isSyncScheduled = true
    executor.async(after: interval) { self.assumeIsolated { $0.syncNow() } }
  }

  private func syncNow() {
    isSyncScheduled = false
    guard poison == nil else { return }
    do throws(LogError) {
      try syncUnsynced()
    } catch {
      poison(with: error)
      failWaiting(error)
    }
  }

  /// Under `sync: interval` and `never`.
  func syncUnsynced() throws(LogError) {
    guard configuration.sync == .never || !unsynced.isEmpty else { return }
    try store.sync()
    publish(unsynced, isDurable: true)
    unsynced = []
    unsyncedBytes = 0
  }

  // MARK: Rolling, retention, watching

  /// Lets the store roll. The state of senders is that of the end then.
  private func roll() throws(StoreFailure) {
    if let problem = store.problem() { throw .fatal(problem) }
    if configuration.sync != .always { try fatally { () throws(LogError) in try syncUnsynced() } }
    try store.roll(producers, lastAppendTime: lastAppendTime)
  }

  private func rollNow() throws(LogError) {
    do throws(StoreFailure) {
      try roll()
    } catch {
      let told = giveUp(error, isGroupBegun: false)
      failWaiting(told)
      throw told
    }
  }

  /// Removes from the front what the rule takes.
  /// - Returns: How many pieces.
  func enforce(_ rule: RetentionRule) throws(LogError) -> Int {
    if let expiry = rule.expiry, poison == nil, !isDiskFull, store.isBegun(before: expiry) { try rollNow() }
    guard poison == nil, try store.hasSurplus(rule) else { return 0 }
    if try !store.renewSnapshot(producers, lastAppendTime: lastAppendTime) { try rollNow() }
    return try store.removeSurplus(rule)
  }

  /// The partition has been opened: its note says from now on that it exists.
  func noteOpened() {
    do throws(LogError) { try store.noteOpened() } catch { lose(error) }
  }

  /// Looks whether what the store keeps is as it made it, and takes no more appends when something is not.
  func watch() {
    guard poison == nil, !isClosed, let problem = store.problem() else { return }
    lose(problem)
  }

  /// Accepts no more appends: acknowledged events would not be found again.
  func lose(_ error: LogError) {
    guard poison == nil, !isClosed else { return }
    poison(with: error)
    failWaiting(error)
  }

  // MARK: Failures

  func poison(with cause: LogError) {
    guard poison == nil else { return }
    let error =
      cause.code == .poisoned
      ? cause
      : LogError(
        .poisoned, partition: partition, place: cause.place,
        "an earlier write or sync failed, so what is on disk is unknown; restart to recover. It was: \(cause.detail)")
    poison = error
    queue.close(error)
    metrics.poisoned.increment()
    logger.critical("partition takes no more appends", metadata: place("failure", cause))
  }

  /// Batches behind a failed one fail too, once the queue accepts no more: a later batch of a source must not be
  /// written where an earlier one was not, or the earlier one, sent again, would pass for a duplicate.
  func failWaiting(_ error: LogError) {
    while case let rest = queue.take(groupBytesMax: configuration.groupBytesMax), !rest.isEmpty {
      for append in rest { append.completion(.failure(error)) }
    }
  }

  private func count(_ exceptions: [AppendReceipt.Exception]) {
    let duplicates = exceptions.count { $0.reason == .duplicate }
    metrics.duplicates.increment(by: duplicates)
    metrics.fenced.increment(by: exceptions.count - duplicates)
  }

  func place(_ name: String, _ value: some CustomStringConvertible) -> Logger.Metadata {
    ["partition": "\(partition)", name: "\(value)"]
  }
}
