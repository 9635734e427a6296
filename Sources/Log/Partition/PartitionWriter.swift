import Events
import Logging

/// The one who writes a partition: takes all that waits, writes it, syncs once, publishes and acknowledges it.
///
/// Lives on a serial queue of its own and blocks it with system calls, never holding a lock meanwhile. After any failure of a
/// write or sync it acknowledges nothing more: what is on disk is unknown until the partition is opened anew.
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

  /// Batches below this are gathered, so that a group of small ones is one write.
  static let gatheredBytesMax = 256 << 10
  static let stagingBytesMax = 1 << 20

  nonisolated let executor: WriterExecutor
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  private let configuration: LogConfiguration
  private let files: PartitionFiles
  private let queue: AppendQueue
  private let published: PublishedLog
  private let waiters: AppendWaiters
  private let metrics: LogMetrics
  private let now: @Sendable () -> Timestamp

  private var activeFile: any File
  private let markerFile: any File
  /// Bytes written to the active segment.
  private var position: Int
  private var nextOffset: Offset
  private var lastAppendTime: Timestamp
  private var producers: ProducerState
  /// Written, acknowledged, not yet synced; only under `sync: interval`.
  private var unsynced: [ColumnBatch] = []
  private var unsyncedBytes = 0
  private var isSyncScheduled = false
  private var staging: [UInt8] = []
  private var isMarkerFailing = false
  private var forgottenCounted = 0
  private(set) var poison: LogError?

  private var partition: PartitionID { files.partition }
  private var logger: Logger { files.logger }

  init(
    _ recovered: consuming PartitionRecovery.Recovered, configuration: LogConfiguration, files: PartitionFiles,
    queue: AppendQueue, published: PublishedLog, waiters: AppendWaiters, metrics: LogMetrics,
    now: @escaping @Sendable () -> Timestamp
  ) {
    executor = WriterExecutor(label: "penstock.log.\(files.partition)")
    self.configuration = configuration
    self.files = files
    self.queue = queue
    self.published = published
    self.waiters = waiters
    self.metrics = metrics
    self.now = now
    activeFile = recovered.activeFile
    markerFile = recovered.markerFile
    position = recovered.active.segmentBytes
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
    guard poison == nil else { return }
    do throws(LogError) {
      if configuration.sync != .always { try syncUnsynced() }
      try placing(partition) { () throws(IOFailure) in try markerFile.syncData() }
    } catch {
      logger.error("partition is not closed cleanly", metadata: files.place("failure", "\(error)"))
    }
  }

  // MARK: Appending

  private func append(_ pending: [PendingAppend]) {
    var pending = pending
    var next = 0
    var group = Group()
    do throws(LogError) {
      if let poison { throw poison }
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
      poison(with: error)
      for outcome in group.outcomes { outcome.completion(.failure(error)) }
      for append in pending[next...] { append.completion(.failure(error)) }
      failWaiting()
    }
  }

  /// Rises from group to group, whatever the clock does.
  private func nextAppendTime() -> Timestamp {
    lastAppendTime = max(now(), Timestamp(nanoseconds: lastAppendTime.nanoseconds + 1))
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
              "append \(tag.number) of \(tag.appender) is older than the last \(AppenderTable.window): its outcome is forgotten")))
        return
      }
    }
    let exceptions = producers.admit(batch, at: group.appendTime)
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
    let receipt = AppendReceipt(baseOffset: base, endOffset: nextOffset, exceptions: exceptions)
    if let tag { producers.appenders.note(tag.appender, tag.number, receipt) }
    group.outcomes.append((completion, receipt))
  }

  /// Writes and syncs a group, shows it to readers, acknowledges it, and empties it.
  /// On failure the group is left as it is: none of it is acknowledged.
  private func commit(_ group: inout Group) throws(LogError) {
    if !group.placed.isEmpty {
      try write(group.placed)
      position += group.bytes
      switch configuration.sync {
      case .always:
        try sync()
        publish(group.placed)
        writeMarker()
      case .interval(let interval):
        unsynced += group.placed
        unsyncedBytes += group.bytes
        if unsyncedBytes > configuration.groupBytesMax { try syncUnsynced() } else { scheduleSync(after: interval) }
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
      failWaiting()
    }
  }

  /// Under `sync: interval` and `never`.
  private func syncUnsynced() throws(LogError) {
    guard configuration.sync == .never || !unsynced.isEmpty else { return }
    try sync()
    if !unsynced.isEmpty { publish(unsynced) }
    unsynced = []
    unsyncedBytes = 0
    writeMarker()
  }

  // MARK: Segments

  private var activeBase: Offset { published.activeBase }

  /// Seals the active segment and begins the next. All names are durable before the first batch goes in.
  private func roll() throws(LogError) {
    if configuration.sync != .always { try syncUnsynced() }
    let base = nextOffset
    let (fileSystem, paths) = (files.fileSystem, files.paths)
    let snapshot = ProducerSnapshot.encoded(producers, partition: partition, base: base, lastAppendTime: lastAppendTime)
    let file = try placing(partition, base) { () throws(IOFailure) in
      try fileSystem.replace(paths.producers(base), with: snapshot)
      let file = try fileSystem.open(paths.segment(base), .create)
      try fileSystem.syncDirectory(paths.directory)
      return file
    }
    files.write(published.roll(to: file))
    activeFile = file
    position = 0
    writeMarker()
    metrics.segments.increment()
    removeOldSnapshots()
  }

  /// Keeps the last two: the active segment's, and one to fall back on.
  private func removeOldSnapshots() {
    do throws(IOFailure) {
      let names = try files.fileSystem.list(files.paths.directory)
      for base in files.bases(names, suffix: ".producers").dropLast(2) {
        try files.fileSystem.remove(files.paths.producers(base))
      }
    } catch {
      logger.warning("old producer snapshots are not removed", metadata: files.place("failure", "\(error)"))
    }
  }

  /// Removes whole segments from the front while `isSurplus` says so. Never the active one.
  /// - Returns: How many.
  func removeSegments(while isSurplus: @Sendable (SegmentSummary, _ partitionBytes: Int) -> Bool) throws(LogError) -> Int {
    var removed = 0
    while true {
      let segments = published.segments
      guard segments.count > 1, isSurplus(segments[0], segments.reduce(0) { $0 + $1.bytes }) else { return removed }
      let base = segments[0].base
      published.removeFirst()
      metrics.segments.decrement()
      removed += 1
      let (fileSystem, paths) = (files.fileSystem, files.paths)
      // Synced one by one: else a crash could bring an older segment back without the one behind it.
      try placing(partition, base) { () throws(IOFailure) in
        try fileSystem.remove(paths.segment(base))
        try fileSystem.syncDirectory(paths.directory)
        for path in [paths.index(base), paths.producers(base)] {
          do throws(IOFailure) {
            try fileSystem.remove(path)
          } catch {
            guard error.errno == missingErrno else { throw error }
          }
        }
      }
    }
  }

  /// A lower bound that recovery may trust. Not synced, and not needed: a failure is logged, and an older marker is as true.
  private func writeMarker() {
    let marker = HighWatermarkMarker(
      highWatermark: published.highWatermark, segment: activeBase, position: published.activeBytes,
      isRelaxed: configuration.sync != .always)
    do throws(IOFailure) {
      try markerFile.writeAll(marker.encoded(partition), at: 0)
      isMarkerFailing = false
    } catch {
      if !isMarkerFailing { logger.error("high-watermark file is not written", metadata: files.place("failure", "\(error)")) }
      isMarkerFailing = true
    }
  }

  // MARK: Failures

  private func poison(with cause: LogError) {
    guard poison == nil else { return }
    let error = LogError(
      .poisoned, partition: partition, segment: cause.segment, errno: cause.errno,
      "an earlier write or sync failed, so what is on disk is unknown; restart to recover. It was: \(cause.detail)")
    poison = error
    queue.close(error)
    metrics.poisoned.increment()
    logger.critical("partition takes no more appends", metadata: files.place("failure", "\(cause)"))
  }

  private func failWaiting() {
    guard let poison else { return }
    while case let rest = queue.take(groupBytesMax: configuration.groupBytesMax), !rest.isEmpty {
      for append in rest { append.completion(.failure(poison)) }
    }
  }

  private func count(_ exceptions: [AppendReceipt.Exception]) {
    let duplicates = exceptions.count { $0.reason == .duplicate }
    metrics.duplicates.increment(by: duplicates)
    metrics.fenced.increment(by: exceptions.count - duplicates)
  }
}
