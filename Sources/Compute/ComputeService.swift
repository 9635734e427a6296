import Events
import Foundation
import Logging
import Views

/// Keeps the views: what owns the partitions, what reads them and what changes the generations, opened and wired together.
public final class ComputeService: Sendable {
  public let partitions: PartitionOwnership
  public let reads: ReadCoordinator
  public let generations: GenerationManager
  private let refusal: Refusal

  /// Opens the workers' files and loads their state.
  /// - Parameters:
  ///   - configuration: Values within its bounds.
  ///   - catalog: The views to maintain.
  ///   - log: The log to fold.
  ///   - partitions: The partitions owned from the start; nil for all of the log's.
  ///   - fence: Says for which partitions this process may act.
  ///   - record: The record of views; awaited until it answers or the task is cancelled.
  ///   - sharesPartitions: Whether other processes own partitions too: they change the record as well.
  ///   - hold: Whether generations that the catalogue's changed definitions begin wait to be promoted.
  ///   - now: The clock for a generation's `createdAt`.
  ///   - logger: Logs generations that begin, change and end, and failures.
  public init(
    configuration: ComputeConfiguration, catalog: ViewCatalog, log: any EventLog, partitions: Set<PartitionID>? = nil,
    fence: PartitionFence = .open, record: any ViewsRecord = VolatileViewsRecord(), sharesPartitions: Bool = false,
    hold: Bool = false,
    now: @escaping @Sendable () -> Timestamp = { Timestamp.systemNow() },
    logger: Logger
  ) async throws(ComputeError) {
    let neighbours = configuration.neighbours.map { Neighbours(folder: $0, own: configuration.directory, logger: logger) }
    let wanted = configuration.workers > 0 ? configuration.workers : ProcessInfo.processInfo.activeProcessorCount
    let count = max(1, min(wanted, log.partitionCount))
    var configuration = configuration
    configuration.workers = count
    let files = try WorkerFiles(
      directory: configuration.directory, workers: count, lateMax: configuration.lateEventsMax, log: log.identity,
      accepted: configuration.acceptedLog, logger: logger)
    let horizons = RetentionHorizons(partitionCount: log.partitionCount)
    let refusal = Refusal(files.refusal, log: log, logger: logger)
    self.refusal = refusal
    let book = GenerationBook(record: record, store: files.stores[0], now: now, logger: logger)
    if refusal.now == nil {
      let known = try files.known()
      do throws(ViewStoreError) { try await book.open(with: catalog, hold: hold, known: known) } catch {
        guard case .unusable(_, let detail) = error else {
          throw ComputeError(.checkpoint, worker: 0, "the views cannot be taken in: \(error)")
        }
        refusal.note(detail)
      }
    } else {
      try await book.openCopy()
    }
    if refusal.now == nil { try files.assign(book.table.kept, partitionCount: log.partitionCount) }
    let metrics = ComputeMetrics(workers: count)
    let workers = files.stores.enumerated().map { number, store in
      ComputeWorker(
        number: number, log: log, store: store, configuration: configuration, fence: fence, horizons: horizons,
        refusal: refusal, metrics: metrics,
        now: now, logger: logger)
    }
    self.partitions = PartitionOwnership(workers, partitionCount: log.partitionCount, fence: fence, neighbours: neighbours)
    reads = ReadCoordinator(
      self.partitions, book: book, log: log, past: PastReader(log: log, configuration),
      refusal: refusal, horizons: horizons)
    generations = GenerationManager(
      book, self.partitions, reads, log: log, refusal: refusal, sharesPartitions: sharesPartitions, now: now, logger: logger)
    // A state that is not used stays as it is.
    guard refusal.now == nil else { return }
    for store in files.stores {
      try store.generations.sweep(keeping: book.table)
      try store.sweepSources()
    }
    await generations.watchReplays()
    try await own(partitions ?? self.partitions.all)
  }

  public func start() {
    guard refusal.now?.isAnotherLog != true else { return }
    partitions.start()
    generations.start()
  }

  /// Stops reading, checkpoints, closes the files.
  public func shutDown() async {
    await generations.stop()
    await partitions.stop()
  }

  /// The problem that keeps the workers from their work; nil when there is none.
  public func problem() async -> String? {
    if let reason = refusal.reason { return reason.detail }
    return await partitions.problem()
  }

  /// Takes partitions over: their state comes from the local files, or from a neighbour's if that is further on; else they begin
  /// at the log's start.
  public func own(_ taken: Set<PartitionID>) async throws(ComputeError) {
    precondition(taken.allSatisfy { $0.index < partitions.partitionCount }, "the log has the partitions")
    if let reason = refusal.reason, reason.isAnotherLog { throw ComputeError(.anotherLog, reason.detail) }
    // A generation that begins meanwhile would be missing in what is just being loaded.
    let outcome = await generations.whileSteady { [partitions] kept -> Result<Void, ComputeError> in
      do throws(ComputeError) {
        return .success(try await partitions.own(taken, kept))
      } catch {
        return .failure(error)
      }
    }
    try outcome?.get()
  }
}
