import Events
import Expressions
import Logging
import Metrics
import Views

/// Owns some partitions whole: reads their batches, folds them into every generation that has caught up, checkpoints,
/// and answers for them. Its replay worker has the generations that have not caught up.
///
/// An actor on a thread of its own. It answers reads between two batches, so a read sees each partition as of one offset.
actor ComputeWorker {
  /// A fold that is further behind the furthest of its partition than this many events is caught up beside the others, not before
  /// them.
  private static let behindMax = 65_536

  struct Waiter {
    var generation: GenerationID
    var offsets: OffsetVector
    var continuation: CheckedContinuation<Bool, Never>
  }

  nonisolated let number: Int
  nonisolated let store: CheckpointStore
  nonisolated let replays: ReplayWorker
  nonisolated let kept: KeptCheckpoints
  let now: @Sendable () -> Timestamp
  nonisolated let executor: WorkerExecutor
  nonisolated let log: any EventLog
  nonisolated let configuration: ComputeConfiguration
  let fence: PartitionFence
  let horizons: RetentionHorizons
  let refusal: Refusal
  let logger: Logger
  let metrics: ComputeMetrics
  let load: LiveLoad
  private(set) var owned: [PartitionID: OwnedPartition] = [:]
  private var scratch = EvaluationScratch()
  var waiters: [Int: Waiter] = [:]
  var nextWaiter = 0
  var isChangedSinceCheckpoint = false
  var checkpointProblem: String?
  var pendingGauges: [String: Gauge] = [:]
  var pendingRecordedAt: ContinuousClock.Instant?
  /// The file is being copied.
  var keeping: Task<Void, Never>?
  private var isBehindKept = false
  /// The wait for the log while there is nothing to read; cancelled when there is something new to read for.
  private var waiting: Task<Void, Never>?

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(
    number: Int, log: any EventLog, store: CheckpointStore, configuration: ComputeConfiguration, fence: PartitionFence,
    horizons: RetentionHorizons, refusal: Refusal, metrics: ComputeMetrics,
    now: @escaping @Sendable () -> Timestamp, logger: Logger
  ) {
    self.now = now
    kept = KeptCheckpoints(of: store.file.path, worker: number, bounds: configuration.kept,
      aheadMax: configuration.clockAheadMax.nanosecondsHeld, logger: logger)
    self.number = number
    self.log = log
    self.store = store
    self.configuration = configuration
    self.fence = fence
    self.horizons = horizons
    self.refusal = refusal
    self.metrics = metrics
    self.logger = logger
    executor = WorkerExecutor(label: "penstock.compute.\(number)")
    load = LiveLoad()
    replays = ReplayWorker(
      number: number, log: log, store: store, configuration: configuration, fence: fence, horizons: horizons, load: load,
      logger: logger)
  }

  // MARK: partitions and generations

  /// Takes a partition over: its state comes from the worker's file or, where that has none, from the log's start.
  /// - Parameter neighbours: Other instances' files, which may be further on than the worker's.
  func own(
    _ partition: PartitionID, _ generations: [GenerationRecord], _ neighbours: Neighbours?
  ) async throws(ComputeError) {
    guard owned[partition] == nil else { return }
    neighbours?.bring(partition, generations, into: store)
    var folds: [(record: GenerationRecord, fold: GenerationFold)] = []
    var loaded = LoadedSources(partition)
    let bounds = await boundsOnceAnswered(of: partition)
    for record in generations {
      folds.append((record, try loadFold(record, partition, bounds, &loaded, bytesMax: loadedBytesMax(generations.count))))
    }
    let furthest = folds.filter { $0.record.state != .building && $0.record.to == nil }.map(\.fold.next).max() ?? .zero
    var live: [GenerationFold] = []
    var behind: [ReplayJob] = []
    for (record, fold) in folds {
      let isBehind = record.state == .building || record.to != nil || fold.readNext.distance(to: furthest) > ComputeWorker.behindMax
      if isBehind, fold.problem == nil {
        behind.append(ReplayJob(fold: try apart(fold, &loaded), to: record.to.map { $0[partition] ?? fold.next }))
      } else {
        live.append(fold)
      }
    }
    let start = if case .success(let bounds) = bounds { bounds.startOffset } else { Offset.zero }
    owned[partition] = OwnedPartition(partition, live, sources: try ownSources(partition, live, &loaded, logStart: start))
    waiting?.cancel()
    for job in behind { await replays.add(job, for: self) }
  }

  /// Stores as much as it can, so that another process begins near the end.
  func checkpointNow() { checkpoint() }

  /// Releases a partition; its rows are checkpointed if the fence still allows it.
  func release(_ partition: PartitionID) async {
    checkpoint()
    owned[partition] = nil
    await replays.remove(partition)
    waiting?.cancel()
  }

  /// Begins a generation in every owned partition.
  func add(_ record: GenerationRecord) async throws(ComputeError) {
    for partition in owned.keys.sorted() {
      guard owned[partition]?.fold(record.id) == nil else { continue }
      let bounds = await boundsOnceAnswered(of: partition)
      var loaded = LoadedSources(partition, owned[partition]?.clocks ?? [])
      let fold = try loadFold(record, partition, bounds, &loaded, bytesMax: loadedBytesMax(1))
      // A view's first generation waits only for the views beside it.
      let furthest = owned[partition]?.folds.map(\.next).max() ?? fold.next
      let isBehind = record.state == .building || fold.readNext.distance(to: furthest) > ComputeWorker.behindMax
      if isBehind, fold.problem == nil {
        await replays.add(ReplayJob(fold: try apart(fold, &loaded), to: record.to.map { $0[partition] ?? fold.next }), for: self)
      } else {
        owned[partition]?.folds.append(fold)
        owned[partition]?.shareSources()
      }
    }
    waiting?.cancel()
  }

  /// Ends a generation, and drops its rows.
  func remove(_ id: GenerationID) async {
    horizons.forget(id)
    store.tallies.forget(id)
    for partition in owned.keys { owned[partition]?.folds.removeAll { $0.id == id } }
    await replays.drop(id)
  }

  /// Stops counting a generation, and leaves its rows as they were checkpointed.
  func forget(_ id: GenerationID) async {
    checkpoint()
    horizons.forget(id)
    store.tallies.forget(id)
    for partition in owned.keys { owned[partition]?.folds.removeAll { $0.id == id } }
    await replays.forget(id)
  }

  /// Takes over a fold that has caught up.
  func adopt(_ fold: GenerationFold) {
    guard owned[fold.partition] != nil, owned[fold.partition]?.fold(fold.id) == nil else { return }
    owned[fold.partition]?.folds.append(fold)
    owned[fold.partition]?.shareSources()
    isChangedSinceCheckpoint = true
    waiting?.cancel()
  }

  /// The bytes of rows that one fold takes into memory at first: the rest of a third of the bound, in equal parts.
  private func loadedBytesMax(_ generations: Int) -> Int {
    let partitions = (log.partitionCount + configuration.workers - 1) / max(1, configuration.workers)
    return memoryBound.bytesMax / 3 / max(1, partitions * generations)
  }

  /// The bytes of sources that are taken into memory at first, of each clock.
  var loadedSourceBytesMax: Int { loadedBytesMax(1) / 2 }

  /// A log in another process may be away now; it is awaited until the task is cancelled.
  private func boundsOnceAnswered(of partition: PartitionID) async -> Result<PartitionBounds, LogError> {
    while true {
      let bounds = await self.bounds(of: partition)
      guard case .failure(let error) = bounds, error.code == .unavailable, !Task.isCancelled else { return bounds }
      do { try await Task.sleep(for: .milliseconds(100)) } catch { return bounds }
    }
  }

  func bounds(of partition: PartitionID) async -> Result<PartitionBounds, LogError> {
    do throws(LogError) { return .success(try await log.bounds(of: partition)) } catch { return .failure(error) }
  }

  private func loadFold(
    _ record: GenerationRecord, _ partition: PartitionID, _ bounds: Result<PartitionBounds, LogError>,
    _ loaded: inout LoadedSources, bytesMax: Int
  ) throws(ComputeError) -> GenerationFold {
    let viewID = try store.generations.viewID(of: record)
    let kept = try store.load(record.definition, view: viewID, partition: partition, bytesMax: bytesMax)
    var problem: String?
    var start = Offset.zero
    switch bounds {
    case .failure(let error): problem = error.description
    case .success(let bounds):
      start = max(bounds.startOffset, min(record.from[partition] ?? bounds.startOffset, bounds.highWatermark))
      let next = kept?.box.fold.progress.nextOffset ?? start
      if check(record.id, partition, counted: next, bounds.highWatermark) {
        problem =
          ComputeError(
            .logBehindCheckpoint, worker: number, partition: partition,
            Refusal.behind(record.id, partition, next, bounds.highWatermark)
          ).description
      } else if next < bounds.startOffset {
        problem = GenerationFold.gap(record.id, next, logStart: bounds.startOffset)
      }
    }
    if let problem { logger.error("partition \(partition) is not read for \(record.id): \(problem)") }
    let box =
      kept?.box
      ?? FoldBox(
        ViewFold(
          definition: record.definition,
          progress: PartitionProgress(partition: partition, firstOffset: start, nextOffset: start), lateMax: store.lateMax))
    box.fold.times = record.times
    horizons.note(record.id, box.fold)
    var fold = GenerationFold(id: record.id, viewID: viewID, box: box, problem: problem)
    guard record.definition.watermark == .source, problem == nil else { return fold }
    fold.sources = try sources(of: fold, id: kept?.sources, record.times, &loaded)
    if let own = fold.sources, own.clocks.nextOffset < start, own.clocks.nextOffset < fold.next {
      fold.problem = GenerationFold.gap(record.id, own.clocks.nextOffset, logStart: start)
    }
    return fold
  }

  /// Compares a generation's next offset with the log's end, asked for later.
  /// - Returns: Whether the log has lost counted events.
  @discardableResult
  func check(_ id: GenerationID, _ partition: PartitionID, counted: Offset, _ highWatermark: Offset) -> Bool {
    guard refusal.check(id, partition, counted: counted, highWatermark: highWatermark) else { return false }
    if !isBehindKept {
      do throws(ComputeError) {
        try store.log.setBehind()
        isBehindKept = true
      } catch {
        logger.error("that the log has lost what was counted is not kept for the next start: \(error)")
      }
    }
    return true
  }

  // MARK: the loop

  /// Reads and folds until the task is cancelled; then checkpoints.
  func run() async {
    let ticker = Task { await self.checkpointRegularly() }
    while !Task.isCancelled {
      var hasProgressed = false
      var rest = owned.keys.sorted()[...]
      while !rest.isEmpty, !Task.isCancelled {
        if await step(&rest) { hasProgressed = true }
        // Let reads in between two partitions' batches.
        await executor.letOthersGo()
      }
      load.note(isBusy: hasProgressed)
      if !hasProgressed, !Task.isCancelled { await waitForAppend() }
    }
    ticker.cancel()
    await replays.stop()
    checkpoint()
    for waiter in waiters.values { waiter.continuation.resume(returning: false) }
    waiters = [:]
  }

  /// Folds the batches of one read of the first partitions.
  /// - Parameter rest: Loses the partitions that were read, at least one.
  /// - Returns: Whether there was any batch.
  private func step(_ rest: inout ArraySlice<PartitionID>) async -> Bool {
    var positions = OffsetVector()
    for partition in rest { positions[partition] = owned[partition]?.next }
    let reads = await log.readSome(from: positions, bytesMax: configuration.readBytesMax)
    let last = reads.last?.partition
    rest = rest.drop { partition in last.map { partition <= $0 } ?? true }
    var hasProgressed = false
    for read in reads where !Task.isCancelled {
      switch read.result {
      case .success(let batches):
        for batch in batches {
          guard owned[read.partition] != nil else { break }
          fold(batch, read.partition)
          if unsavedRows >= configuration.changedRowsMax || memoryBound.isExceeded(by: boxes, clocks) { await checkpointUntilSaved() }
          wakeWaiters()
          await executor.letOthersGo()
        }
        owned[read.partition]?.isCaughtUp = batches.isEmpty
        if !batches.isEmpty { hasProgressed = true }
      case .failure(let error): if await setAside(read.partition, error) { hasProgressed = true }
      }
    }
    return hasProgressed
  }

  /// Handles a partition that could not be read.
  /// - Returns: Whether the folds that are not set aside can be read for.
  private func setAside(_ partition: PartitionID, _ error: LogError) async -> Bool {
    if error.code == .outOfRange, case .success(let bounds) = await bounds(of: partition),
      let aside = owned[partition]?.setAside(below: bounds.startOffset, { beginSources(partition, at: $0) })
    {
      for fold in aside { logger.error("partition \(partition): \(fold.problem ?? "")") }
      return true
    }
    owned[partition]?.fail(error.description)
    logger.error("partition \(partition) is read no further: \(error)")
    return false
  }

  private func fold(_ batch: ColumnBatch, _ partition: PartitionID) {
    let times = batch.times()
    do throws(ComputeError) {
      for sources in owned[partition]?.clocks ?? [] where sources.clocks.nextOffset >= batch.baseOffset {
        try store.advance(sources, over: batch, times)
      }
    } catch {
      owned[partition]?.fail(error.description)
      logger.error("partition \(partition) is read no further: \(error)")
      return
    }
    // A fold that was adopted since the read began may be further behind than the read: the next read begins there.
    for (index, one) in (owned[partition]?.folds ?? []).enumerated() where one.problem == nil && one.readNext >= batch.baseOffset {
      let times = one.times(of: batch, times, aheadMax: clockAheadMax)
      do throws(ComputeError) { try store.restoreSessions(one, for: batch, times, scratch: &scratch) } catch {
        owned[partition]?.folds[index].problem = error.description
        logger.error("partition \(partition) is read no further for \(one.id): \(error)")
        continue
      }
      let before = one.box.fold.progress
      one.box.fold.fold(batch, times, scratch: &scratch)
      let after = one.box.fold.progress
      metrics.eventsApplied.increment(by: after.applied - before.applied)
      metrics.eventsAmended.increment(by: after.amended - before.amended)
      metrics.eventsFiltered.increment(by: after.filtered - before.filtered)
      metrics.eventsLate.increment(by: after.late - before.late)
    }
    owned[partition]?.shareSources()
    isChangedSinceCheckpoint = true
  }

  private func waitForAppend() async {
    var positions = OffsetVector()
    for (partition, one) in owned {
      guard let next = one.next else { continue }
      positions[partition] = next
      owned[partition]?.isCaughtUp = true
    }
    let seen = positions
    // On this worker's thread, so that the log's wake-up goes straight to it.
    let wait = Task { await self.waitForAppend(past: seen) }
    waiting = wait
    await withTaskCancellationHandler {
      await wait.value
    } onCancel: {
      wait.cancel()
    }
    waiting = nil
  }

  private func waitForAppend(past positions: OffsetVector) async {
    do throws(LogError) {
      try await log.waitForAppend(past: positions)
    } catch {
      guard !Task.isCancelled else { return }
      logger.error("waiting for the log failed: \(error)")
      // Any other failure shows when the partitions are read next; do not spin on it.
      try? await Task.sleep(for: .milliseconds(100))
    }
  }

  /// The problem that keeps the worker from its work; nil when there is none.
  var problem: String? { checkpointProblem ?? owned.keys.sorted().compactMap { owned[$0]?.problem }.first }

  func close() async {
    await store.compactor.stop()
    await keeping?.value
    store.file.close()
  }
}
