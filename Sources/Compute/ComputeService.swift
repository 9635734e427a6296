import Events
import Foundation
import Logging
import Synchronization
import Views

/// The partitions whose rows are here.
private struct Held {
  var owned: Set<PartitionID> = []
  /// Another is to own these, or does: they are counted and answered for until it answers itself.
  var handedOver: Set<PartitionID> = []

  var all: Set<PartitionID> { owned.union(handedOver) }
}

/// Keeps the views: splits the partitions over workers, runs them, and answers reads from all of them.
public final class ComputeService: Sendable {
  let workers: [ComputeWorker]
  let book: GenerationBook
  let past: PastReader
  let log: any EventLog
  let logger: Logger
  let fence: PartitionFence
  let now: @Sendable () -> Timestamp
  let horizons: RetentionHorizons
  /// Rows that an event loop may have read and written while it does nothing else.
  static let rowsAtOnceMax = 256

  private let tasks = WorkerTasks()
  private let held = Mutex(Held())
  /// One at a time: what the workers do with generations follows the table's changes in their order.
  let steps = StepQueue()
  /// Whether other processes own partitions too.
  let sharesPartitions: Bool
  private let neighbours: Neighbours?
  /// What goes on beside the workers, until the service is shut down.
  private let background = Mutex<[Task<Void, Never>]>([])
  /// The wait for the next removed view to be purged.
  let purging = Mutex<Task<Void, Never>?>(nil)
  /// Why nothing that is counted may be used until somebody acts.
  let refusal: Refusal

  /// Opens the workers' files and loads what they hold.
  /// - Parameters:
  ///   - configuration: Within its bounds.
  ///   - catalog: The views to keep.
  ///   - log: What is folded.
  ///   - partitions: Those owned from the start; all of the log's when nil.
  ///   - fence: Says which partitions are still this process's.
  ///   - record: Of which generations there are, with the log's files; waited for, for as long as it takes or until the task is cancelled.
  ///   - sharesPartitions: Whether other processes own partitions too: they change the record as well.
  ///   - hold: Generations that the catalogue's changed definitions begin wait to be promoted.
  ///   - now: The clock that a generation's `createdAt` comes from.
  ///   - logger: Told when generations begin, change and end, and of what fails.
  public init(
    configuration: ComputeConfiguration, catalog: ViewCatalog, log: any EventLog, partitions: Set<PartitionID>? = nil,
    fence: PartitionFence = .open, record: any ViewsRecord = VolatileViewsRecord(), sharesPartitions: Bool = false,
    hold: Bool = false,
    now: @escaping @Sendable () -> Timestamp = { Timestamp.systemNow() },
    logger: Logger
  ) async throws(ComputeError) {
    self.logger = logger
    self.log = log
    self.fence = fence
    self.now = now
    self.sharesPartitions = sharesPartitions
    neighbours = configuration.neighbours.map { Neighbours(folder: $0, own: configuration.directory, logger: logger) }
    let wanted = configuration.workers > 0 ? configuration.workers : ProcessInfo.processInfo.activeProcessorCount
    let count = max(1, min(wanted, log.partitionCount))
    var configuration = configuration
    configuration.workers = count
    let files = try WorkerFiles(
      directory: configuration.directory, workers: count, lateMax: configuration.lateEventsMax, log: log.identity,
      accepted: configuration.acceptedLog, logger: logger)
    let horizons = RetentionHorizons(partitionCount: log.partitionCount)
    self.horizons = horizons
    let refusal = Refusal(files.refusal, logger: logger)
    self.refusal = refusal
    book = GenerationBook(record: record, store: files.stores[0], now: now, logger: logger)
    if refusal.now == nil {
      try await ComputeService.take(catalog, into: book, hold: hold, known: try files.known(), at: now(), refusal, logger)
    } else {
      try await book.openCopy()
    }
    if refusal.now == nil { try files.assign(book.table.kept, partitionCount: log.partitionCount) }
    let metrics = ComputeMetrics(workers: count)
    workers = files.stores.enumerated().map { number, store in
      ComputeWorker(
        number: number, log: log, store: store, configuration: configuration, fence: fence, horizons: horizons,
        refusal: refusal, metrics: metrics,
        now: now, logger: logger)
    }
    past = PastReader(log: log, readBytesMax: configuration.readBytesMax)
    // What is not used stays as it is.
    guard refusal.now == nil else { return }
    for store in files.stores { try store.generations.sweep(keeping: book.table) }
    for worker in workers {
      await worker.replays.notify { [weak self] id in self?.settle(id) }
    }
    try await own(partitions ?? Set((0..<log.partitionCount).map { PartitionID($0) }))
  }

  /// Takes in what others share, and what the file of views says.
  private static func take(
    _ catalog: ViewCatalog, into book: GenerationBook, hold: Bool, known: [KnownGeneration], at time: Timestamp,
    _ refusal: Refusal, _ logger: Logger
  ) async throws(ComputeError) {
    do throws(ViewStoreError) {
      try await untilAvailable(logger) { () async throws(ViewStoreError) in
        try await book.open()
        let loaded = try await book.change { table throws(ViewStoreError) in
          try table.load(catalog, hold: hold, known: known, at: time)
        }
        tellRemoved(loaded, logger)
      }
    } catch {
      guard case .unusable(_, let detail) = error else {
        throw ComputeError(.checkpoint, worker: 0, "the views cannot be taken in: \(error)")
      }
      refusal.note(detail)
    }
  }

  public func start() {
    guard refusal.now?.isAnotherLog != true else { return }
    tasks.start(workers)
    for record in book.table.kept where record.state == .building { settle(record.id) }
    schedulePurge()
    guard sharesPartitions else { return }
    let book = book
    background.withLock { tasks in
      tasks.append(
        Task { [weak self, logger] in
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
        })
    }
  }

  /// Stops reading, checkpoints, closes the files.
  public func shutDown() async {
    var ending = background.withLock { tasks in
      defer { tasks = [] }
      return tasks
    }
    if let purge = purging.withLock({ $0.take() }) { ending.append(purge) }
    for task in ending { task.cancel() }
    for task in ending { await task.value }
    steps.stop()
    await tasks.stop()
    for worker in workers {
      await worker.replays.stop()
      await worker.close()
    }
  }

  /// What keeps the workers from their work; nil when nothing does.
  public func problem() async -> String? {
    if let refused { return refused.detail }
    for worker in workers { if let problem = await worker.problem { return "worker \(worker.number): \(problem)" } }
    return nil
  }

  // MARK: partitions

  /// Takes partitions: their state from the local files, or a neighbour's where that is further on, or else from the log's start.
  public func own(_ partitions: Set<PartitionID>) async throws(ComputeError) {
    precondition(partitions.allSatisfy { $0.index < log.partitionCount }, "the log has the partitions")
    if let refused, refused.isAnotherLog { throw ComputeError(.anotherLog, refused.detail) }
    // A step: a generation that begins meanwhile would be missing in what is just being loaded.
    let outcome = await steps.run(endsWithCaller: true) { [self] () -> Result<Void, ComputeError> in
      do throws(ComputeError) {
        for partition in partitions.sorted() {
          try await workers[partition.index % workers.count].own(partition, book.table.kept, neighbours)
          held.withLock { held in
            held.owned.insert(partition)
            held.handedOver.remove(partition)
          }
        }
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try outcome?.get()
  }

  /// Owns partitions no more: their state is checkpointed, where the fence still allows it. They are counted and answered for until
  /// `release`, since nobody else may answer for them yet: rows are as of their offsets, whoever gives them, and of two that answer the
  /// one further on counts.
  public func handOver(_ partitions: Set<PartitionID>) async {
    let given = held.withLock { held in
      let given = held.owned.intersection(partitions)
      held.owned.subtract(given)
      held.handedOver.formUnion(given)
      return given
    }
    for number in Set(given.map { $0.index % workers.count }) { await workers[number].checkpointNow() }
  }

  /// Lets partitions go: their state is checkpointed, where the fence still allows it, and then forgotten.
  public func release(_ partitions: Set<PartitionID>) async {
    for partition in partitions.sorted() {
      held.withLock { held in
        held.owned.remove(partition)
        held.handedOver.remove(partition)
      }
      await workers[partition.index % workers.count].release(partition)
    }
  }

  /// What `own` is to be followed by where partitions change hands: their former owner's word that a generation has caught up is no longer
  /// worth anything.
  public func settleAnew(_ partitions: Set<PartitionID>) async {
    // A generation may have begun since its table was looked at.
    await takeShared()
    let building = book.table.kept.filter { $0.state == .building }
    if building.contains(where: { !$0.settled.isDisjoint(with: partitions) }) {
      do throws(ViewStoreError) {
        try await change { table throws(ViewStoreError) in table.movedOn(partitions) }
      } catch {
        logger.warning("what builds may take over before partitions \(partitions.sorted()) have caught up: \(error)")
      }
    }
    for record in building { settle(record.id) }
  }

  /// Those owned, and not fenced off.
  public var ownedPartitions: Set<PartitionID> { held.withLock { $0.owned }.filter { fence.mayAct($0) } }

  /// Those whose rows are here, to be read: a lease that is not certain, or handed over, keeps nobody from that.
  public var answeredPartitions: Set<PartitionID> { held.withLock { $0.all } }

  /// Whether all of the log's partitions are here.
  var ownsAll: Bool { held.withLock { $0.owned.count == log.partitionCount } }

  /// The lowest offset of each partition owned that some kept generation has not counted and checkpointed: what the log must keep.
  public func neededOffsets() async -> OffsetVector {
    var needed = OffsetVector()
    for worker in workers { needed.offsets.merge(await worker.neededOffsets().offsets) { min($0, $1) } }
    return needed
  }
}
