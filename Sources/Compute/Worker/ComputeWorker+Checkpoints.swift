import Events
import Metrics
import Views

/// Stores what has been counted, from time to time and whenever memory is full.
extension ComputeWorker {
  /// The bytes of memory for views' rows, without those of replays.
  var memoryBytes: Int { MemoryBound.bytes(of: boxes, clocks) }

  var boxes: [FoldBox] { owned.values.flatMap { $0.folds.map(\.box) } }

  var clocks: [SourceBox] { owned.values.flatMap(\.clocks) }

  /// Replays beside the live folds take half of what both may have.
  var memoryBound: MemoryBound { MemoryBound(bytesMax: configuration.workerBytesMax / (load.isReplaying ? 2 : 1)) }

  var unsavedRows: Int { owned.values.reduce(0) { $0 + $1.unsavedRows } }

  func checkpointRegularly() async {
    while !Task.isCancelled {
      // Its time decides when results are stored, never their content.
      try? await Task.sleep(for: configuration.checkpointInterval)
      await store.compactor.waitUntilCaughtUp()
      guard !Task.isCancelled else { return }
      await checkpointInParts()
      await recordPending()
      keepIfDue()
    }
  }

  /// Copies the file if the interval has passed: beside all else, since that may take long.
  func keepIfDue() {
    guard keeping == nil else { return }
    keeping = Task {
      await kept.keepIfDue(now())
      keeping = nil
    }
  }

  /// Sets the metrics of the log's events that each view has not counted yet; the generation that is furthest behind decides.
  func recordPending() async {
    guard pendingRecordedAt.map({ ContinuousClock.now - $0 >= .seconds(1) }) ?? true else { return }
    pendingRecordedAt = .now
    var pending: [GenerationID: Int] = [:]
    for partition in owned.keys.sorted() {
      let counted = owned[partition]?.folds.map { ($0.id, $0.next) } ?? []
      guard let known = await log.lastBounds(of: partition) else { continue }
      let bounds = known.bounds
      if known.isCurrent { for (id, next) in counted { check(id, partition, counted: next, bounds.highWatermark) } }
      for fold in owned[partition]?.folds ?? [] {
        pending[fold.id, default: 0] += max(0, fold.next.distance(to: bounds.highWatermark))
      }
    }
    let views = Dictionary(pending.map { ($0.key.view, $0.value) }) { max($0, $1) }
    // A view that ended has nothing pending.
    for view in Set(pendingGauges.keys).subtracting(views.keys) { pendingGauges.removeValue(forKey: view)?.record(0) }
    for (view, events) in views {
      let gauge = pendingGauges[view] ?? ComputeMetrics.pending(view: view, worker: number)
      pendingGauges[view] = gauge
      gauge.record(events)
    }
  }

  /// While the file takes no rows, or the fence forbids it, no more rows are made: memory stays bounded, and the log keeps the
  /// events.
  func checkpointUntilSaved() async {
    while true {
      let isSaved = await checkpointInParts()
      await store.compactor.waitUntilCaughtUp()
      guard !isSaved || unsavedRows >= configuration.changedRowsMax, !Task.isCancelled else { return }
      try? await Task.sleep(for: configuration.checkpointInterval)
    }
  }

  /// The rows that are stored in one transaction, give or take a partition's: folding and reads wait for no more.
  private static let rowsAtOnce = 32_768

  /// Stores what has changed, some partitions after the other where it is much; reads are answered in between.
  /// - Returns: As `checkpoint`.
  @discardableResult
  private func checkpointInParts() async -> Bool {
    guard unsavedRows > ComputeWorker.rowsAtOnce else { return checkpoint() }
    var part: Set<PartitionID> = []
    var rows = 0
    for partition in owned.keys.sorted() {
      rows += owned[partition]?.unsavedRows ?? 0
      part.insert(partition)
      guard rows >= ComputeWorker.rowsAtOnce else { continue }
      guard store(part) else { return false }
      await executor.letOthersGo()
      (part, rows) = ([], 0)
    }
    // And all that has changed meanwhile.
    return checkpoint()
  }

  /// - Returns: Whether all rows are stored, of the partitions that the fence allows.
  @discardableResult
  func checkpoint() -> Bool {
    guard isChangedSinceCheckpoint else { return true }
    guard store(Set(owned.keys)) else { return false }
    memoryBound.enforce(on: boxes, clocks)
    metrics.stateBytes[number].record(memoryBytes)
    isChangedSinceCheckpoint = owned.keys.contains { !fence.mayAct($0) }
    return true
  }

  /// Stores what has changed in some partitions, of those that the fence allows, in one transaction.
  private func store(_ partitions: Set<PartitionID>) -> Bool {
    let start = ContinuousClock.now
    do throws(ComputeError) {
      let allowed = owned.values.filter { partitions.contains($0.partition) && fence.mayAct($0.partition) }
      let rows = try store.checkpoint(allowed.flatMap(\.folds), allowed.map(\.sources), horizons)
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

  /// The first offset of each owned partition that some fold has not on disk.
  func neededOffsets() async -> OffsetVector {
    var needed = await replays.neededOffsets()
    for (partition, one) in owned {
      if one.failure == nil { needed[partition] = min(needed[partition] ?? one.sources.savedOffset, one.sources.savedOffset) }
      for fold in one.folds where fold.problem == nil {
        needed[partition] = min(needed[partition] ?? fold.savedOffset, fold.savedOffset)
      }
    }
    return needed
  }
}
