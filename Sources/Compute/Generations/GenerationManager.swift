import Events
import Logging
import Synchronization
import Views

/// Changes which generations of views there are, and has the workers follow.
///
/// Invariants:
/// - the table is changed, and the workers follow, one step at a time: what they do with generations comes in the order of the
///   table's changes
/// - a step that has begun is done, whoever asked for it has left or not
/// - a generation that builds takes over only when it has counted, in every partition here, what the live one has
public final class GenerationManager: Sendable {
  /// The longest sleep at once: a clock that is set meanwhile is noticed.
  private static let purgeSleepMax = Duration.seconds(3600)

  let book: GenerationBook
  let partitions: PartitionOwnership
  let reads: ReadCoordinator
  let log: any EventLog
  let refusal: Refusal
  /// Whether other processes own partitions too, and so change the record of views.
  private let sharesPartitions: Bool
  let now: @Sendable () -> Timestamp
  private let logger: Logger
  private let steps = StepQueue()
  /// The wait for others' changes.
  private let following = Mutex<Task<Void, Never>?>(nil)
  /// The wait for the next removed view to be purged.
  private let purging = Mutex<Task<Void, Never>?>(nil)

  init(
    _ book: GenerationBook, _ partitions: PartitionOwnership, _ reads: ReadCoordinator, log: any EventLog, refusal: Refusal,
    sharesPartitions: Bool, now: @escaping @Sendable () -> Timestamp, logger: Logger
  ) {
    self.book = book
    self.partitions = partitions
    self.reads = reads
    self.log = log
    self.refusal = refusal
    self.sharesPartitions = sharesPartitions
    self.now = now
    self.logger = logger
  }

  /// Has a generation settled whenever a worker's replays say that it may have caught up.
  func watchReplays() async {
    for worker in partitions.workers { await worker.replays.notify { [weak self] id in self?.settle(id) } }
  }

  func start() {
    for record in book.table.kept where record.state == .building { settle(record.id) }
    schedulePurge()
    guard sharesPartitions else { return }
    let book = book
    following.withLock {
      $0 = Task { [weak self, logger] in
        while !Task.isCancelled {
          await self?.takeShared()
          do throws(LogError) {
            try await book.waitForOthers()
          } catch {
            logger.warning("waiting for others' changes of views: \(error)")
            // Cancelled: the loop ends.
            try? await Task.sleep(for: .seconds(1))
          }
        }
      }
    }
  }

  /// Ends what goes on beside the workers; no step begins any more.
  func stop() async {
    let ending = [following.withLock { $0.take() }, purging.withLock { $0.take() }]
    for task in ending { task?.cancel() }
    for task in ending { await task?.value }
    steps.stop()
  }

  /// The number of entries of the record of views that this process has read; rises with each change.
  public var version: UInt64 { UInt64(book.count) }

  var table: GenerationTable { book.table }

  // MARK: steps

  /// Runs `body` while no generation begins or ends; cancelled with the caller's task.
  /// - Returns: At once, without it, when the manager is stopped.
  func whileSteady<R: Sendable>(_ body: @escaping @Sendable (_ kept: [GenerationRecord]) async -> R) async -> R? {
    await steps.run(endsWithCaller: true) { [book] in await body(book.table.kept) }
  }

  /// Changes the table, then has the workers follow.
  nonisolated(nonsending) func change<R: Sendable>(
    _ body: @escaping @Sendable (inout GenerationTable) throws(ViewStoreError) -> R
  ) async throws(ViewStoreError) -> R {
    try refusal.checkLog()
    let result = await steps.run { [self] () -> Result<R, ViewStoreError> in
      let before = book.table
      do throws(ViewStoreError) {
        let result = try await book.change(body)
        try await follow(from: before)
        return .success(result)
      } catch {
        return .failure(error)
      }
    }
    guard let result else { throw .unavailable("compute is stopping") }
    return try result.get()
  }

  /// Takes in changes of the record of views by other instances.
  func takeShared() async {
    let outcome = await steps.run { [self] () -> Result<Void, ViewStoreError> in
      let before = book.table
      do throws(ViewStoreError) {
        try await book.refresh()
        try await follow(from: before)
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    if case .failure(.unusable(_, let detail))? = outcome { return refusal.note(detail) }
    if case .failure(let error)? = outcome { logger.warning("\(error)") }
  }

  private func follow(from before: GenerationTable) async throws(ViewStoreError) {
    let after = book.table
    let (kept, stored) = (Set(after.kept.map(\.id)), after.stored)
    for record in before.kept where !kept.contains(record.id) && stored.contains(record.id) {
      logger.notice("\(record.id) counts no further: its view is removed")
      for worker in partitions.workers { await worker.forget(record.id) }
    }
    for id in before.stored.subtracting(stored) {
      logger.notice("\(id) ends, with its rows")
      for worker in partitions.workers { await worker.remove(id) }
    }
    for record in after.kept {
      guard let known = before[record.id] else {
        logger.notice("\(record.id) begins; it is \(record.state.rawValue)")
        do throws(ComputeError) {
          for worker in partitions.workers { try await worker.add(record) }
        } catch {
          throw .failed(error.description)
        }
        if record.state == .building { settle(record.id) }
        continue
      }
      if known.state != record.state {
        logger.notice("\(record.id) was \(known.state.rawValue) and is \(record.state.rawValue)")
      } else if record.state == .building, record.promotes != known.promotes {
        settle(record.id)
      }
    }
    if before.nextPurge != after.nextPurge { schedulePurge() }
  }

  /// A generation may have caught up: if so, that is recorded, and the generation takes over if it is to.
  func settle(_ id: GenerationID) {
    Task { [weak self] in await self?.settleNow(id) }
  }

  private func settleNow(_ id: GenerationID) async {
    let owned = partitions.owned
    guard let record = book.table[id], record.state == .building, !owned.isEmpty else { return }
    for worker in partitions.workers {
      guard await worker.replays.isSettled(id) else { return }
      // The generation may have begun in some workers only.
      let isThere = await record.to == nil ? worker.hasCaughtUp(id) : worker.hasCompleted(id)
      guard isThere else { return }
    }
    if record.to == nil, let live = book.table.live(id.view) {
      // It must have no event less than the live one, or the promotion would take events out of results.
      let target = await partitions.counted(of: live.id)
      for worker in partitions.workers {
        guard await worker.wait(id, for: target, timeout: .seconds(60)) else {
          logger.warning("\(id) does not keep up with the live generation; it is tried again when it is promoted")
          return
        }
      }
    }
    // Partitions handed over meanwhile: their new owner speaks for them.
    let settled = owned.intersection(partitions.owned)
    do throws(ViewStoreError) {
      try await change { [self] table throws(ViewStoreError) in
        // Asked within the step: a partition that has come since the first look has yet to speak for itself.
        table.caughtUp(id, settled, of: sharesPartitions ? log.partitionCount : partitions.owned.count)
      }
    } catch {
      guard case .unavailable = error else { return logger.error("\(id) has caught up, but: \(error)") }
      guard !steps.isStopped else { return }
      logger.warning("\(id) has caught up, but: \(error); it is tried again")
      do { try await Task.sleep(for: .seconds(1)) } catch { return }
      settle(id)
    }
  }

  /// To be called after `own` where partitions change hands: their former owner's word that a generation has caught up
  /// no longer counts.
  public func settleAnew(_ moved: Set<PartitionID>) async {
    // A generation may have begun since the table was read.
    await takeShared()
    let building = book.table.kept.filter { $0.state == .building }
    if building.contains(where: { !$0.settled.isDisjoint(with: moved) }) {
      do throws(ViewStoreError) {
        try await change { table throws(ViewStoreError) in table.movedOn(moved) }
      } catch {
        logger.warning("what builds may take over before partitions \(moved.sorted()) have caught up: \(error)")
      }
    }
    for record in building { settle(record.id) }
  }

  // MARK: removed views

  /// Purges removed views when their time has come, until the service is shut down.
  func schedulePurge() {
    let next = book.table.nextPurge
    purging.withLock { task in
      task?.cancel()
      task = nil
      guard let next, !steps.isStopped else { return }
      task = Task { [weak self] in
        while let self, !Task.isCancelled {
          let left = Duration.nanoseconds(max(0, next.nanoseconds - self.now().nanoseconds))
          if left <= .zero { return await self.purge() }
          // Cancelled: the loop ends.
          try? await Task.sleep(for: min(left, GenerationManager.purgeSleepMax))
        }
      }
    }
  }

  private func purge() async {
    let time = now()
    do throws(ViewStoreError) {
      try await change { table throws(ViewStoreError) in table.purge(at: time) }
    } catch {
      guard !steps.isStopped else { return }
      logger.warning("removed views are not purged: \(error); it is tried again")
      // Cancelled: another task purges.
      do { try await Task.sleep(for: .seconds(1)) } catch { return }
      schedulePurge()
    }
  }
}
