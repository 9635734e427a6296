import Events
import Logging
import Synchronization

/// The log on local disk: partitions of segments, each partition with a writer of its own.
///
/// A damaged partition does not keep the others from opening: it answers appends and reads with its error, and `status` lists it,
/// so that a readiness check can say so. Memory per partition: `pendingBytesMax` + `recentBytesMax` + at most 1 MiB to gather
/// writes in, the producer table (about 50 bytes a source and its name), at most 24 bytes × `dedupIdentitiesMax`, 16 open
/// segments with their indexes.
public final class SegmentedLog: EventLog, Sendable {
  private enum Partition: Sendable {
    case open(OpenPartition)
    case failed(LogError)
  }

  private struct OpenPartition: Sendable {
    let queue: AppendQueue
    let published: PublishedLog
    let writer: PartitionWriter
  }

  public let partitionCount: Int
  public let identity: LogIdentity
  /// What start-up found, a report for each partition that opened.
  public let reports: [PartitionReport]

  private let configuration: LogConfiguration
  private let partitions: [Partition]
  private let waiters: AppendWaiters
  private let metrics: LogMetrics
  private let folder: LogFolder
  private let writing: LogFolder.Writing
  private let clock: LogClock
  private let logger: Logger

  /// Opens a log for writing, making it if there is none. Partitions are opened in parallel.
  /// - Parameters:
  ///   - configuration: Within its bounds. The folder above `directory` exists.
  ///   - fileSystem: Where the files are; a test's may fail.
  ///   - logger: Told of what was recovered, removed, and failed.
  /// - Throws: `.locked` when another process has it open, `.incompatible` when it was made with another partition count or by a
  ///   later version, `.corrupt` when its meta file is damaged, `.io`. A damaged partition does not throw: see `status`.
  public static func open(
    _ configuration: LogConfiguration, fileSystem: any FileSystem = PosixFileSystem(),
    logger: Logger = Logger(label: "penstock.log")
  ) async throws(LogError) -> SegmentedLog {
    try await open(
      configuration, fileSystem: fileSystem, logger: logger, now: { Timestamp.systemNow() }, steady: Timestamp.steadyClock())
  }

  /// As `open`, with clocks and threads given.
  /// - Parameters:
  ///   - scheduler: Runs all work.
  ///   - now: The system's clock, which append times follow unless it jumps.
  ///   - steady: Nanoseconds of a clock that only rises; nil where `now` is one.
  ///   - confirmation: How long a jump of `now` must last before it counts.
  static func open(
    _ configuration: LogConfiguration, fileSystem: any FileSystem, logger: Logger,
    scheduler: any LogScheduler = DispatchScheduler(), now: @escaping @Sendable () -> Timestamp,
    steady: (@Sendable () -> Int64)? = nil, confirmation: Duration = .seconds(600)
  ) async throws(LogError) -> SegmentedLog {
    configuration.checkBounds()
    let folder = LogFolder(directory: configuration.directory, fileSystem: fileSystem)
    let writing = try folder.openForWriting(
      partitionCount: configuration.partitions, isFixed: configuration.isPartitionCountFixed)
    guard let identity = writing.meta.identity else { preconditionFailure("a log that is open for writing has an identity") }
    var configuration = configuration
    configuration.partitions = writing.meta.partitionCount
    let waiters = AppendWaiters()
    let metrics = LogMetrics()
    let disk = DiskReserve(
      directory: folder.paths.root, bytes: configuration.diskReserveBytes, fileSystem: fileSystem, metrics: metrics)
    let clock = LogClock(wall: now, steady: steady ?? { now().nanoseconds }, confirmation: confirmation)
    let results = Mutex([(Partition, PartitionReport?)?](repeating: nil, count: configuration.partitions))
    // Recovery blocks its thread with reads: not one of Swift's few.
    await scheduler.perform(configuration.partitions) { [configuration] index in
      let files = PartitionFiles(
        partition: PartitionID(index), paths: folder.paths.partition(PartitionID(index)), fileSystem: fileSystem,
        indexIntervalBytes: configuration.indexIntervalBytes, mayWriteIndexes: true, logger: logger, meta: folder.paths.meta)
      let result = open(files, configuration, waiters, metrics, disk, writing.file, scheduler, clock)
      results.withLock { $0[index] = result }
    }
    let opened = results.withLock { $0.compactMap { $0 } }
    precondition(opened.count == configuration.partitions)
    let log = SegmentedLog(
      configuration, identity, partitions: opened.map(\.0), reports: opened.compactMap(\.1), waiters: waiters, metrics: metrics,
      folder: folder, writing: writing, clock: clock, logger: logger)
    do throws(LogError) { try await log.begin() } catch {
      await log.close()
      throw error
    }
    return log
  }

  /// Notes what is there, and sets the clock behind it.
  private func begin() async throws(LogError) {
    var last: Timestamp?
    for case .open(let partition) in partitions {
      let appended = await partition.writer.lastAppendTime
      if appended.nanoseconds != 0 { last = max(last ?? appended, appended) }
    }
    let ages = clock.begin(after: last, writing.meta.ages)
    if ages != writing.meta.ages { try store(ages) }
    for case .open(let partition) in partitions { await partition.writer.noteOpened() }
  }

  private func store(_ ages: LogAges) throws(LogError) {
    try placing(nil) { () throws(IOFailure) in
      try writing.file.writeAll(ages.encoded(), at: LogAges.position(partitions: partitionCount))
      try writing.file.syncData()
    }
  }

  private static func open(
    _ files: PartitionFiles, _ configuration: LogConfiguration, _ waiters: AppendWaiters, _ metrics: LogMetrics,
    _ disk: DiskReserve, _ metaFile: any File, _ scheduler: any LogScheduler, _ clock: LogClock
  ) -> (Partition, PartitionReport?) {
    do throws(LogError) {
      let recovered = try PartitionRecovery(files: files, configuration: configuration).run()
      let queue = AppendQueue(
        partition: files.partition, bytesMax: configuration.pendingBytesMax, batchesMax: configuration.pendingBatchesMax)
      let published = PublishedLog(
        files: files, sealed: recovered.sealed, active: recovered.active, activeFile: recovered.activeFile,
        recentBytesMax: configuration.recentBytesMax)
      let writer = PartitionWriter(
        recovered, configuration: configuration, files: files, queue: queue, published: published, waiters: waiters,
        metrics: metrics, disk: disk, metaFile: metaFile, scheduler: scheduler, clock: clock)
      metrics.segments.increment(by: Double(recovered.sealed.count + 1))
      metrics.tornBytes.increment(by: recovered.report.tornBytes)
      return (.open(OpenPartition(queue: queue, published: published, writer: writer)), recovered.report)
    } catch {
      metrics.failed.increment()
      files.logger.error("partition does not open", metadata: files.place("failure", "\(error)"))
      return (.failed(error), nil)
    }
  }

  private init(
    _ configuration: LogConfiguration, _ identity: LogIdentity, partitions: [Partition], reports: [PartitionReport],
    waiters: AppendWaiters, metrics: LogMetrics, folder: LogFolder, writing: LogFolder.Writing, clock: LogClock, logger: Logger
  ) {
    self.configuration = configuration
    self.identity = identity
    partitionCount = partitions.count
    self.partitions = partitions
    self.reports = reports
    self.waiters = waiters
    self.metrics = metrics
    self.folder = folder
    self.writing = writing
    self.clock = clock
    self.logger = logger
  }

  /// Refuses new appends, writes and syncs what waits, wakes all who wait, and gives the lock back. Reads still work.
  public func close() async {
    for case .open(let partition) in partitions {
      partition.queue.close(LogError(.unavailable, partition: partition.published.partition, "the log is shut down"))
    }
    for case .open(let partition) in partitions { await partition.writer.close() }
    waiters.close()
    writing.lock.release()
  }

  // MARK: EventLog

  public func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    let partition: OpenPartition
    do throws(LogError) { partition = try open(batch.partition) } catch { return completion(.failure(error)) }
    switch partition.queue.offer(PendingAppend(batch, completion)) {
    case .taken: break
    case .takenFirst: partition.writer.schedule()
    case .refused(let error):
      metrics.refused.increment()
      completion(.failure(error))
    }
  }

  /// Blocks the caller's thread while it reads, unless the batches are still in memory.
  public nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  {
    try open(partition).published.read(from: start, bytesMax: bytesMax)
  }

  public nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    try open(partition).published.bounds
  }

  public nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    var watched: [(log: PublishedLog, offset: Offset)] = []
    for (partition, offset) in positions.sorted { watched.append((try open(partition).published, offset)) }
    await waiters.wait(past: positions) { [watched] in watched.contains { $0.log.highWatermark > $0.offset } }
    if waiters.isClosed { throw LogError(.unavailable, "the log is shut down") }
  }

  public nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError)
    -> [UTF8Text: ProducerPosition]
  {
    var byPartition: [PartitionID: [String]] = [:]
    for source in sources { byPartition[partition(of: source), default: []].append(source) }
    var result: [UTF8Text: ProducerPosition] = [:]
    for (partition, sources) in byPartition {
      for (source, position) in try await open(partition).writer.positions(of: sources) { result[UTF8Text(source)] = position }
    }
    return result
  }

  public nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
  {
    try open(partition).published.firstOffset(atOrAfter: time)
  }

  // MARK: Operating

  /// The state of every partition, in the order of their numbers.
  public func status() -> [PartitionStatus] {
    partitions.enumerated().map { index, partition in
      switch partition {
      case .failed(let error):
        PartitionStatus(partition: PartitionID(index), state: .failed(error), bounds: nil, segments: 0, bytes: 0)
      case .open(let open):
        PartitionStatus(
          partition: PartitionID(index), state: open.queue.refusal.map { .refusing($0) } ?? .open,
          bounds: open.published.bounds, segments: open.published.segments.count,
          bytes: open.published.segments.reduce(0) { $0 + $1.bytes })
      }
    }
  }

  /// Removes whole segments that are too old or too many, as `retention` says, from each partition's front: never the active one, never
  /// one with events that `hold` keeps. An active segment that was begun longer than `retention.age` ago is sealed first, so that its
  /// events' time comes too: an event stays for `age` at least, and for about twice that at most.
  /// - Returns: How many segments were removed.
  /// - Throws: The first failure, after all partitions have had their turn; a damaged partition is passed over.
  @discardableResult
  public func enforceRetention(_ hold: RetentionHold) async throws(LogError) -> Int {
    let (now, floor) = (clock.now(), clock.floor)
    let retention = configuration.retention
    guard retention.age != nil || retention.bytes != nil else { return 0 }
    var removed = 0
    var failure: LogError?
    for case .open(let partition) in partitions {
      guard case .below(let limit) = hold.limit(in: partition.published.partition) else { continue }
      do throws(LogError) {
        if let expiry = retention.expiry(at: now), floor ?? expiry <= expiry {
          try await partition.writer.roll(begunBefore: expiry)
        }
        removed += try await partition.writer.removeSegments { segment, bytes in
          if let limit, segment.end > limit { return false }
          return retention.isSurplus(segment, partitionBytes: bytes, at: now, floor: floor)
        }
      } catch {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
    return removed
  }

  /// Enforces retention again and again until the task is cancelled. Does nothing when `retention` keeps all.
  /// - Parameters:
  ///   - interval: From the end of one pass to the next.
  ///   - hold: Asked before each pass; says what is still to be read.
  public func runRetention(every interval: Duration, hold: @Sendable () async -> RetentionHold) async {
    guard configuration.retention != LogConfiguration.Retention() else { return }
    while !Task.isCancelled {
      do throws(LogError) {
        let removed = try await enforceRetention(await hold())
        if removed > 0 { logger.info("retention has removed segments", metadata: ["segments": "\(removed)"]) }
      } catch {
        logger.error("retention has failed and is tried again", metadata: ["failure": "\(error)"])
      }
      do { try await Task.sleep(for: interval) } catch { return }
    }
  }

  /// Looks every `interval` after the log's files and the system's clock, until the task is cancelled.
  public func runWatch(every interval: Duration = .seconds(1)) async {
    while !Task.isCancelled {
      do { try await Task.sleep(for: interval) } catch { return }
      await watchFiles()
      watchClock()
    }
  }

  /// Looks whether the files at the log's paths are still those that it writes; if not, it takes no more appends.
  func watchFiles() async {
    let missing = missingFiles()
    for case .open(let partition) in partitions {
      if let missing { await partition.writer.lose(missing) } else { await partition.writer.watch() }
    }
  }

  private func missingFiles() -> LogError? {
    do throws(IOFailure) {
      let fileSystem = folder.fileSystem
      // Nil once it is released: the log is closed.
      guard let lock = try writing.lock.mark() else { return nil }
      for (path, own) in [(folder.paths.lock, lock), (folder.paths.meta, try writing.file.mark())] {
        let now = try fileSystem.mark(of: path)
        if !own.isSameFile(as: now) { return PartitionWriter.gone(path, now == nil ? "is gone" : "is another file", nil) }
      }
      return nil
    } catch {
      return PartitionWriter.gone(error.path, "cannot be looked at (\(error))", nil)
    }
  }

  /// Tells of a jump of the system's clock, and takes it in when it has lasted.
  func watchClock() {
    let seen = clock.observe()
    for warning in seen.warnings { logger.warning("\(warning)") }
    guard let ages = seen.ages else { return }
    do throws(LogError) {
      try store(ages)
      clock.settle(ages)
    } catch {
      logger.error("the log's meta file is not written; the clock goes on as before", metadata: ["failure": "\(error)"])
    }
  }

  private func open(_ partition: PartitionID) throws(LogError) -> OpenPartition {
    guard partition.index < partitions.count else {
      throw LogError(.unknownPartition, partition: partition, "the log has partitions 0 to \(partitions.count - 1)")
    }
    switch partitions[partition.index] {
    case .open(let open): return open
    case .failed(let error): throw error
    }
  }
}

/// One partition, as `/readyz` and tools show it.
public struct PartitionStatus: Sendable, Hashable {
  public enum State: Sendable, Hashable {
    case open
    /// Reads go on, appends are refused: poisoned, or shut down.
    case refusing(LogError)
    /// Did not open.
    case failed(LogError)
  }

  public let partition: PartitionID
  public let state: State
  /// Nil when it did not open.
  public let bounds: PartitionBounds?
  public let segments: Int
  public let bytes: Int
}
