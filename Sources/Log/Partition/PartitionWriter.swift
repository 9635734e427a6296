import Events
import Logging

/// The one who writes a partition: takes all that waits, writes it, syncs once, publishes and acknowledges it.
///
/// Lives on a serial queue of its own and blocks it with system calls, never holding a lock meanwhile. After any failure of a
/// write or sync it acknowledges nothing more: what is on disk is unknown until the partition is opened anew. But for one: a write that
/// finds the disk full is cut off again, and the writer goes on once there is room (PartitionWriter+DiskFull.swift).
actor PartitionWriter {
  /// Batches written and synced together.
  private struct Group {
    /// One time for all of them, and no other group's: by it recovery tells a group's batches from the next one's.
    var appendTime = Timestamp(nanoseconds: 0)
    var placed: [ColumnBatch] = []
    var bytes = 0
    var events = 0
    var outcomes: [(completion: @Sendable (Result<AppendReceipt, LogError>) -> Void, receipt: AppendReceipt)] = []
  }

  /// Why a group or a roll did not come about.
  enum Failure: Error {
    /// The disk has no room; nothing that was acknowledged is touched, and what was written can be cut off.
    case full(LogError)
    /// What is on disk is unknown.
    case fatal(LogError)

    var error: LogError {
      switch self {
      case .full(let error), .fatal(let error): error
      }
    }

    /// Of a call whose failure for want of room changes nothing else.
    init(_ error: LogError) {
      self = error.errno == noSpaceErrno || error.errno == quotaErrno ? .full(error) : .fatal(error)
    }
  }

  /// Batches below this are gathered, so that a group of small ones is one write.
  static let gatheredBytesMax = 256 << 10
  static let stagingBytesMax = 1 << 20

  nonisolated let executor: WriterExecutor
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  let configuration: LogConfiguration
  let files: PartitionFiles
  let queue: AppendQueue
  let published: PublishedLog
  private let waiters: AppendWaiters
  let metrics: LogMetrics
  let disk: DiskReserve
  private let clock: LogClock

  var activeFile: any File
  let markerFile: any File
  /// The log's `meta`.
  let metaFile: any File
  /// As it stands there; nil when it is not known to.
  var note: PartitionNote?
  /// Which sealed segments are looked at next.
  var nextLook = 0
  /// Bytes written to the active segment.
  var position: Int
  /// When its first batch was appended; nil while it is empty.
  var activeSince: Timestamp?
  private(set) var nextOffset: Offset
  private(set) var lastAppendTime: Timestamp
  private(set) var producers: ProducerState
  /// Whether appends are refused until the disk has room.
  var isDiskFull = false
  private(set) var isClosed = false
  /// Written, acknowledged, not yet synced; only under `sync: interval`.
  private var unsynced: [ColumnBatch] = []
  private var unsyncedBytes = 0
  private var isSyncScheduled = false
  private var staging: [UInt8] = []
  var isMarkerFailing = false
  private var forgottenCounted = 0
  /// Once a segment could not be removed, none is until the partition is opened anew.
  var removalFailure: LogError?
  private(set) var poison: LogError?

  var partition: PartitionID { files.partition }
  var logger: Logger { files.logger }

  init(
    _ recovered: consuming PartitionRecovery.Recovered, configuration: LogConfiguration, files: PartitionFiles,
    queue: AppendQueue, published: PublishedLog, waiters: AppendWaiters, metrics: LogMetrics,
    disk: DiskReserve, metaFile: any File, scheduler: any LogScheduler, clock: LogClock
  ) {
    executor = WriterExecutor(scheduler.makeQueue(label: "penstock.log.\(files.partition)"))
    self.configuration = configuration
    self.files = files
    self.queue = queue
    self.published = published
    self.waiters = waiters
    self.metrics = metrics
    self.disk = disk
    self.metaFile = metaFile
    self.clock = clock
    activeFile = recovered.activeFile
    markerFile = recovered.markerFile
    position = recovered.active.segmentBytes
    activeSince = recovered.activeSince
    nextOffset = recovered.active.end
    lastAppendTime = recovered.lastAppendTime
    producers = recovered.producers
  }

  /// Sees to it that what waits in the queue is written soon. Cheap; any thread.
  nonisolated func schedule() {
    executor.async { self.assumeIsolated { $0.drain() } }
  }

  /// Writes one group, and comes back for the next behind whatever else waits for this writer.
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

  /// Writes all that waits, syncs, and writes the marker durably. The queue is closed before.
  func close() {
    while case let group = queue.take(groupBytesMax: configuration.groupBytesMax), !group.isEmpty { append(group) }
    isClosed = true
    guard poison == nil else { return }
    do throws(LogError) {
      if configuration.sync != .always { try syncUnsynced() }
      try placing(partition) { () throws(IOFailure) in try markerFile.syncData() }
      try writeNote(start: published.bounds.startOffset, end: published.highWatermark)
    } catch {
      logger.error("partition is not closed cleanly", metadata: files.place("failure", "\(error)"))
    }
  }

  // MARK: Appending

  private func append(_ pending: [PendingAppend]) {
    guard disk.claim(pending.reduce(0) { $0 + $1.bytes }) else {
      let error = suspend(nil)
      for append in pending { append.completion(.failure(error)) }
      failWaiting(error)
      return
    }
    var pending = pending
    var next = 0
    var group = Group()
    do throws(Failure) {
      if let poison { throw Failure.fatal(poison) }
      group.appendTime = nextAppendTime()
      while next < pending.count {
        let bytes = pending[next].bytes
        if position + group.bytes > 0, position + group.bytes + bytes > configuration.segmentBytesMax {
          try commit(&group)
          if position > 0 { try roll() }
          group.appendTime = nextAppendTime()
        }
        // Taken out of the array, so that placing it patches its bytes and not a copy of them.
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

  /// After a group or a roll has failed: cuts off what was written if that is safe, and poisons the partition if not.
  /// - Returns: What to tell those who wait.
  func giveUp(_ failure: Failure, isGroupBegun: Bool) -> LogError {
    guard case .full(let cause) = failure else {
      poison(with: failure.error)
      return failure.error
    }
    if isGroupBegun {
      do throws(LogError) {
        producers = try cutOffUnacknowledged()
        nextOffset = written
        forgottenCounted = producers.identities.forgottenEarly
      } catch {
        poison(with: error)
        return error
      }
    }
    return suspend(cause)
  }

  /// The offset after the last batch that is written and acknowledged.
  private var written: Offset { unsynced.last?.endOffset ?? published.highWatermark }

  /// Rises from group to group, whatever the clock does.
  private func nextAppendTime() -> Timestamp {
    lastAppendTime = max(clock.now(), Timestamp(nanoseconds: lastAppendTime.nanoseconds + 1))
    return lastAppendTime
  }

  /// Gives a batch its place behind the group's others, without the rows that are in the log already.
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
    var receipt = AppendReceipt(baseOffset: base, endOffset: nextOffset, exceptions: exceptions)
    if let tag { producers.appenders.note(tag.appender, tag.number, receipt) }
    receipt.named = named
    group.outcomes.append((completion, receipt))
  }

  /// Writes and syncs a group, shows it to readers, acknowledges it, and empties it.
  /// On failure the group is left as it is: none of it is acknowledged.
  private func commit(_ group: inout Group) throws(Failure) {
    if !group.placed.isEmpty {
      do throws(LogError) { try write(group.placed) } catch { throw Failure(error) }
      if position == 0 { activeSince = group.appendTime }
      position += group.bytes
      switch configuration.sync {
      case .always:
        try fatally { () throws(LogError) in try sync() }
        publish(group.placed)
        writeMarker()
      case .interval(let interval):
        unsynced += group.placed
        unsyncedBytes += group.bytes
        if unsyncedBytes > configuration.groupBytesMax {
          try fatally { () throws(LogError) in try syncUnsynced() }
        } else {
          scheduleSync(after: interval)
        }
      case .never:
        publish(group.placed)
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

  /// Writes batches behind the active segment's last: large ones from where they are, small ones gathered.
  private func write(_ batches: [ColumnBatch]) throws(LogError) {
    let file = activeFile
    var at = position
    if batches.count == 1 {
      return try placing(partition, activeBase) { () throws(IOFailure) in try file.writeAll(batches[0].encoded, at: at) }
    }
    staging.removeAll(keepingCapacity: true)
    for batch in batches {
      let isLarge = batch.encoded.count >= PartitionWriter.gatheredBytesMax
      if isLarge || staging.count + batch.encoded.count > PartitionWriter.stagingBytesMax {
        try writeStaged(&at)
      }
      if isLarge {
        try placing(partition, activeBase) { () throws(IOFailure) in try file.writeAll(batch.encoded, at: at) }
        at += batch.encoded.count
      } else {
        staging += batch.encoded
      }
    }
    try writeStaged(&at)
  }

  private func writeStaged(_ at: inout Int) throws(LogError) {
    guard !staging.isEmpty else { return }
    let file = activeFile
    let (bytes, place) = (staging, at)
    try placing(partition, activeBase) { () throws(IOFailure) in try file.writeAll(bytes, at: place) }
    at += staging.count
    staging.removeAll(keepingCapacity: true)
  }

  func fatally(_ body: () throws(LogError) -> Void) throws(Failure) {
    do throws(LogError) { try body() } catch { throw .fatal(error) }
  }

  private func sync() throws(LogError) {
    let file = activeFile
    let start = ContinuousClock.now
    try placing(partition, activeBase) { () throws(IOFailure) in try file.syncData() }
    metrics.fsync.recordNanoseconds((ContinuousClock.now - start).nanoseconds)
  }

  private func publish(_ batches: [ColumnBatch]) {
    published.publish(batches)
    waiters.wake(partition, highWatermark: published.highWatermark)
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
    try sync()
    if !unsynced.isEmpty { publish(unsynced) }
    unsynced = []
    unsyncedBytes = 0
    writeMarker()
  }

  // MARK: Failures

  func poison(with cause: LogError) {
    guard poison == nil else { return }
    let error =
      cause.code == .poisoned
      ? cause
      : LogError(
        .poisoned, partition: partition, segment: cause.segment, errno: cause.errno,
        "an earlier write or sync failed, so what is on disk is unknown; restart to recover. It was: \(cause.detail)")
    poison = error
    queue.close(error)
    metrics.poisoned.increment()
    logger.critical("partition takes no more appends", metadata: files.place("failure", "\(cause)"))
  }

  /// What waits behind a batch that failed fails too, once the queue takes no more: a later batch of a source must not be written where an
  /// earlier one was not, or the earlier one, sent again, would pass for a duplicate.
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
}
