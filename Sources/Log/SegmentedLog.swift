import Events
import Logging
import Synchronization

/// The log on local disk: partitions of segments, each partition with a writer of its own.
///
/// A damaged partition does not keep the others from opening: it answers appends and reads with its error, and `status`
/// lists it for the readiness check. Memory per partition: `pendingBytesMax` + `recentBytesMax` + at most 1 MiB to
/// gather writes in, the producer table (about 50 bytes a source and its name), at most 24 bytes ×
/// `dedupIdentitiesMax`, 16 open segments with their indexes.
public final class SegmentedLog: PartitionedLog {
  public let identity: LogIdentity
  /// The findings of start-up: a report for each partition that opened.
  public let reports: [PartitionReport]
  public let partitions: LogPartitions

  private let folder: LogFolder
  private let writing: LogFolder.Writing
  private let clock: LogClock
  private let logger: Logger

  /// Opens a log for writing, or creates it. Partitions are opened in parallel.
  /// - Parameters:
  ///   - configuration: Values within its bounds. The folder above `directory` exists.
  ///   - fileSystem: The file system of the folder; a test's may fail.
  ///   - logger: Logs recovery, removals and failures.
  /// - Throws: `.locked` when another process has it open, `.incompatible` when it was made with another number of partitions or
  ///   by a later version, `.corrupt` when its meta file is damaged, `.io`. A damaged partition does not throw: see `status`.
  public static func open(
    _ configuration: LogConfiguration, fileSystem: any FileSystem = PosixFileSystem(),
    logger: Logger = Logger(label: "penstock.log")
  ) async throws(LogError) -> SegmentedLog {
    try await open(
      configuration, fileSystem: fileSystem, logger: logger, now: { Timestamp.systemNow() }, steady: Timestamp.steadyClock())
  }

  /// Opens the log as the public `open` does, with the given clocks and threads.
  /// - Parameters:
  ///   - scheduler: Runs all work.
  ///   - now: The system's clock, which append times follow unless it jumps.
  ///   - steady: Nanoseconds of a clock that only rises; nil where `now` is such a clock.
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
    let clock = LogClock(wall: now, steady: steady ?? { now().nanoseconds }, confirmation: confirmation)
    var shared = LogPartitions.Shared(configuration, clock: clock, logger: logger)
    shared.scheduler = scheduler
    let metrics = shared.metrics
    let stores = SegmentStore.Shared(
      configuration: configuration, metrics: metrics,
      disk: DiskReserve(
        directory: folder.paths.root, bytes: configuration.diskReserveBytes, fileSystem: fileSystem, metrics: metrics),
      metaFile: writing.file)
    let reports = Mutex<[PartitionReport]>([])
    // Recovery blocks its thread with reads: it must not run on one of Swift's few.
    let partitions = await LogPartitions(shared) { (partition) throws(LogError) in
      let files = PartitionFiles(
        partition: partition, paths: folder.paths.partition(partition), fileSystem: fileSystem,
        indexIntervalBytes: stores.configuration.indexIntervalBytes, mayWriteIndexes: true, logger: logger,
        meta: folder.paths.meta)
      let recovered = try PartitionRecovery(files: files, configuration: stores.configuration).run()
      metrics.segments.increment(by: Double(recovered.sealed.count + 1))
      metrics.tornBytes.increment(by: recovered.report.tornBytes)
      reports.withLock { $0.append(recovered.report) }
      return OpenedStore(
        SegmentStore(recovered, files: files, stores), end: recovered.active.end, lastAppendTime: recovered.lastAppendTime,
        producers: recovered.producers)
    }
    let log = SegmentedLog(
      identity, partitions, reports.withLock { $0 }, folder: folder, writing: writing, clock: clock, logger: logger)
    do throws(LogError) { try await log.begin() } catch {
      await log.close()
      throw error
    }
    return log
  }

  private init(
    _ identity: LogIdentity, _ partitions: LogPartitions, _ reports: [PartitionReport], folder: LogFolder,
    writing: LogFolder.Writing, clock: LogClock, logger: Logger
  ) {
    self.identity = identity
    self.partitions = partitions
    self.reports = reports.sorted { $0.partition < $1.partition }
    self.folder = folder
    self.writing = writing
    self.clock = clock
    self.logger = logger
  }

  /// Notes the opened partitions, and sets the clock after the last append.
  private func begin() async throws(LogError) {
    var last: Timestamp?
    for partition in partitions.open {
      let appended = await partition.writer.lastAppendTime
      if appended.nanoseconds != 0 { last = max(last ?? appended, appended) }
    }
    let ages = clock.begin(after: last, writing.meta.ages)
    if ages != writing.meta.ages { try store(ages) }
    for partition in partitions.open { await partition.writer.noteOpened() }
  }

  private func store(_ ages: LogAges) throws(LogError) {
    try placing(nil) { () throws(IOFailure) in
      try writing.file.writeAll(ages.encoded(), at: LogAges.position(partitions: partitionCount))
      try writing.file.syncData()
    }
  }

  /// Refuses new appends, writes and syncs the waiting ones, wakes all waiters, and releases the lock. Reads still work.
  public func close() async {
    await partitions.close()
    writing.lock.release()
  }

  // MARK: watching

  /// Checks the log's files and the system's clock at each `interval`, until the task is cancelled.
  public func runWatch(every interval: Duration) async {
    while !Task.isCancelled {
      do { try await Task.sleep(for: interval) } catch { return }
      await watchFiles()
      watchClock()
    }
  }

  /// Checks whether the files at the log's paths are still those that it writes; if not, it accepts no more appends.
  func watchFiles() async {
    let missing = missingFiles()
    for partition in partitions.open {
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
        if !own.isSameFile(as: now) { return .gone(path, now == nil ? "is gone" : "is another file", nil) }
      }
      return nil
    } catch {
      return .gone(error.path, "cannot be looked at (\(error))", nil)
    }
  }

  /// Logs a jump of the system's clock, and follows it when it has lasted.
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
}
