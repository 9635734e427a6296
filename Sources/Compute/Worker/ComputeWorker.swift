import Events
import Logging
import Views

/// Owns some partitions whole: reads their batches, folds them into every view, checkpoints, and answers for them.
///
/// An actor on a thread of its own. Between two batches it answers reads, so a read sees each partition as of one offset.
actor ComputeWorker {
  struct View: Sendable {
    var definition: ViewDefinition
    var generation: Int
    /// In the worker's file.
    var id: Int64
  }

  private struct Owned {
    var partition: PartitionID
    /// One for each view.
    var folds: [FoldBox]
    /// Why the partition is read no further.
    var problem: String?

    var next: Offset { folds.map { $0.fold.progress.nextOffset }.min() ?? .zero }
  }

  private struct Waiter {
    var view: Int
    var offsets: OffsetVector
    var continuation: CheckedContinuation<Bool, Never>
  }

  nonisolated let number: Int
  private let executor: WorkerExecutor
  private let log: any EventLog
  private let store: CheckpointStore
  private let views: [View]
  private let configuration: ComputeConfiguration
  private let logger: Logger
  private let metrics: ComputeMetrics
  private var owned: [Owned] = []
  private var scratch = EvaluationScratch()
  private var waiters: [Int: Waiter] = [:]
  private var nextWaiter = 0
  private var isChangedSinceCheckpoint = false
  private var checkpointProblem: String?

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(
    number: Int, partitions: [PartitionID], views: [View], log: any EventLog, store: CheckpointStore,
    configuration: ComputeConfiguration, metrics: ComputeMetrics, logger: Logger
  ) async throws(ComputeError) {
    self.number = number
    self.log = log
    self.store = store
    self.views = views
    self.configuration = configuration
    self.metrics = metrics
    self.logger = logger
    executor = WorkerExecutor(label: "penstock.compute.\(number)")
    for partition in partitions { owned.append(try await load(partition)) }
  }

  private func load(_ partition: PartitionID) async throws(ComputeError) -> Owned {
    var bounds = PartitionBounds(startOffset: .zero, highWatermark: .zero)
    var problem: String?
    do throws(LogError) { bounds = try await log.bounds(of: partition) } catch { problem = error.description }
    var folds: [FoldBox] = []
    for view in views {
      let box =
        try store.load(view.definition, view: view.id, partition: partition)
        ?? FoldBox(
          ViewFold(
            definition: view.definition,
            progress: PartitionProgress(
              partition: partition, firstOffset: bounds.startOffset, nextOffset: bounds.startOffset)))
      let next = box.fold.progress.nextOffset
      if problem == nil, next > bounds.highWatermark {
        problem =
          ComputeError(
            .logBehindCheckpoint, worker: number, partition: partition,
            "view \(view.definition.name) has counted up to offset \(next), but the log ends at \(bounds.highWatermark): "
              + "acknowledged events were lost, or the state is of another log"
          ).description
      } else if problem == nil, next < bounds.startOffset {
        problem =
          "view \(view.definition.name) has counted up to offset \(next), but the log now starts at \(bounds.startOffset): "
          + "events in between are gone and the view cannot be completed"
      }
      folds.append(box)
    }
    if let problem { logger.error("partition \(partition) is not read: \(problem)") }
    return Owned(partition: partition, folds: folds, problem: problem)
  }

  // MARK: the loop

  /// Reads and folds until the task is cancelled; then checkpoints.
  func run() async {
    let ticker = Task { await self.checkpointRegularly() }
    while !Task.isCancelled {
      var hasProgressed = false
      for index in owned.indices where owned[index].problem == nil {
        if await step(index) { hasProgressed = true }
        // Let reads in between two partitions' batches.
        await letOthersGo()
        if Task.isCancelled { break }
      }
      if !hasProgressed { await waitForAppend() }
    }
    ticker.cancel()
    checkpoint()
    for waiter in waiters.values { waiter.continuation.resume(returning: false) }
    waiters = [:]
  }

  /// Lets what waits for this worker, reads above all, go first. `Task.yield` would too, but by way of the shared pool: two threads woken each
  /// time.
  private func letOthersGo() async {
    await withCheckedContinuation { continuation in executor.async { continuation.resume() } }
  }

  /// Folds what one read of the partition gives.
  /// - Returns: Whether there was anything.
  private func step(_ index: Int) async -> Bool {
    do throws(LogError) {
      let batches = try await log.read(
        owned[index].partition, from: owned[index].next, bytesMax: configuration.readBytesMax)
      for batch in batches {
        fold(batch, index)
        if unsavedRows >= configuration.changedRowsMax { await checkpointUntilSaved() }
        wakeWaiters()
        await letOthersGo()
      }
      return !batches.isEmpty
    } catch {
      guard !Task.isCancelled else { return false }
      owned[index].problem = error.description
      logger.error("partition \(owned[index].partition) is read no further: \(error)")
      return false
    }
  }

  private func fold(_ batch: ColumnBatch, _ index: Int) {
    let times = batch.times()
    for box in owned[index].folds {
      let before = box.fold.progress
      box.fold.fold(batch, times: times, scratch: &scratch)
      let after = box.fold.progress
      metrics.eventsApplied.increment(by: after.applied - before.applied)
      metrics.eventsFiltered.increment(by: after.filtered - before.filtered)
      metrics.eventsLate.increment(by: after.late - before.late)
    }
    isChangedSinceCheckpoint = true
  }

  private func waitForAppend() async {
    var positions = OffsetVector()
    for one in owned where one.problem == nil { positions[one.partition] = one.next }
    do throws(LogError) {
      try await log.waitForAppend(past: positions)
    } catch {
      guard !Task.isCancelled else { return }
      logger.error("waiting for the log failed: \(error)")
      // Any other failure shows when the partitions are read next; do not spin on it.
      try? await Task.sleep(for: .milliseconds(100))
    }
  }

  // MARK: checkpoints

  private var unsavedRows: Int {
    var rows = 0
    for one in owned { for box in one.folds { rows += box.fold.unsavedCount } }
    return rows
  }

  private func checkpointRegularly() async {
    while !Task.isCancelled {
      // Its time decides when results are stored, never what they are.
      try? await Task.sleep(for: configuration.checkpointInterval)
      if !Task.isCancelled { checkpoint() }
    }
  }

  /// While the file takes no rows, no more are made: memory stays bounded, and the log keeps the events.
  private func checkpointUntilSaved() async {
    while !checkpoint(), !Task.isCancelled { try? await Task.sleep(for: configuration.checkpointInterval) }
  }

  /// - Returns: Whether all is stored.
  @discardableResult
  private func checkpoint() -> Bool {
    guard isChangedSinceCheckpoint else { return true }
    let start = ContinuousClock.now
    do throws(ComputeError) {
      let rows = try store.checkpoint(
        owned.flatMap { one in zip(views, one.folds).map { (view: $0.id, box: $1) } })
      isChangedSinceCheckpoint = false
      checkpointProblem = nil
      metrics.checkpointRows.increment(by: rows)
      metrics.checkpointTime.recordNanoseconds(Int64((ContinuousClock.now - start) / .nanoseconds(1)))
      return true
    } catch {
      metrics.checkpointFailures.increment()
      if checkpointProblem == nil { logger.error("\(error); results stay in memory, and it is tried again") }
      checkpointProblem = error.description
      return false
    }
  }

  // MARK: answers

  /// What keeps the worker from its work; nil when nothing does.
  var problem: String? {
    checkpointProblem ?? owned.compactMap { one in one.problem.map { "partition \(one.partition): \($0)" } }.first
  }

  /// How far one view has come in each partition.
  func progress(of view: Int) async -> [PartitionProgress] {
    var result: [PartitionProgress] = []
    for one in owned {
      var progress = one.folds[view].fold.progress
      progress.highWatermark = progress.nextOffset
      do throws(LogError) {
        progress.highWatermark = max(progress.nextOffset, try await log.bounds(of: one.partition).highWatermark)
      } catch {
        logger.debug("no high watermark of partition \(one.partition): \(error)")
      }
      result.append(progress)
    }
    return result
  }

  /// The part of a read that is in memory, and what of it is in the file.
  struct Snapshot: Sendable {
    var asOf = OffsetVector()
    var eventTimeWatermarks: [PartitionID: Timestamp] = [:]
    var rows: PartialRows
    var stored: [CheckpointStore.StoredRange] = []
  }

  /// - Parameter key: Rows of this key only.
  func snapshot(view: Int, from: Int64, to: Int64, key: [UInt8]?) -> Snapshot {
    var snapshot = Snapshot(rows: PartialRows(stride: views[view].definition.layout.stride))
    for one in owned {
      let box = one.folds[view]
      snapshot.asOf[one.partition] = box.fold.progress.nextOffset
      if let time = box.fold.eventTimeWatermark { snapshot.eventTimeWatermarks[one.partition] = time }
      // Rows past retention may not have been deleted yet; whether a read sees them must not depend on that.
      let kept = max(from, box.fold.expiredThrough.map { $0 + 1 } ?? .min)
      box.fold.copyRows(from: kept, to: to, key: key, into: &snapshot.rows)
      let through = min(box.fold.evictedThrough, to == .max ? .max : to - 1)
      if kept <= through, box.fold.evictedThrough != .min {
        snapshot.stored.append(
          CheckpointStore.StoredRange(
            view: views[view].id, partition: one.partition, from: kept, through: through, key: key))
      }
    }
    return snapshot
  }

  nonisolated func complete(_ snapshot: Snapshot, _ definition: ViewDefinition) async throws(ComputeError) -> PartialRows {
    guard !snapshot.stored.isEmpty else { return snapshot.rows }
    return try await store.read(snapshot.stored, definition, into: snapshot.rows)
  }

  /// Waits until the view has counted up to these offsets; those of other workers' partitions are passed over.
  /// - Returns: False when the time was up or the worker stopped.
  func wait(view: Int, for offsets: OffsetVector, timeout: Duration) async -> Bool {
    guard !hasReached(view, offsets) else { return true }
    let id = nextWaiter
    nextWaiter += 1
    let timer = Task {
      try? await Task.sleep(for: timeout)
      self.giveUp(id)
    }
    let hasReached = await withCheckedContinuation {
      waiters[id] = Waiter(view: view, offsets: offsets, continuation: $0)
    }
    timer.cancel()
    return hasReached
  }

  private func hasReached(_ view: Int, _ offsets: OffsetVector) -> Bool {
    owned.allSatisfy { one in
      guard let wanted = offsets[one.partition] else { return true }
      return one.folds[view].fold.progress.nextOffset >= wanted
    }
  }

  private func wakeWaiters() {
    for (id, waiter) in waiters where hasReached(waiter.view, waiter.offsets) {
      waiters[id] = nil
      waiter.continuation.resume(returning: true)
    }
  }

  private func giveUp(_ id: Int) { waiters.removeValue(forKey: id)?.continuation.resume(returning: false) }

  func close() throws(ComputeError) { try store.close() }
}

extension ViewFold {
  /// Rows and late events that only memory has.
  var unsavedCount: Int { table.changed.count + late.count }
}
