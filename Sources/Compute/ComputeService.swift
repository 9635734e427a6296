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
public final class ComputeService: ViewStore {
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
    for store in files.stores { try store.sweep(keeping: book.table) }
    for worker in workers {
      await worker.replays.notify { [weak self] id in self?.settle(id) }
    }
    try await own(partitions ?? Set((0..<log.partitionCount).map { PartitionID($0) }))
  }

  /// Takes in what others share, and what the file of views says.
  private static func take(
    _ catalog: ViewCatalog, into book: GenerationBook, hold: Bool, known: [CheckpointStore.KnownGeneration], at time: Timestamp,
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

  /// The lowest offset of each partition owned that some kept generation has not counted and checkpointed: what the log must keep.
  public func neededOffsets() async -> OffsetVector {
    var needed = OffsetVector()
    for worker in workers { needed.offsets.merge(await worker.neededOffsets().offsets) { min($0, $1) } }
    return needed
  }

  // MARK: reading

  public nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] {
    if let refused, refused.isAnotherLog { throw refused.error }
    let table = book.table
    var result: [ViewStatus] = []
    for view in table.viewNames {
      guard let live = table.live(view) else { continue }
      result.append(
        ViewStatus(definition: live.definition, generation: live.number, partitions: await progress(of: live.id)))
    }
    return result
  }

  public func noteSlowest(_ view: String, generation: Int, _ eventTimeWatermark: Timestamp) {
    let id = GenerationID(view: view, number: generation)
    guard book.table[id] != nil else { return }
    horizons.noteSlowest(id, eventTimeWatermark)
  }

  public nonisolated(nonsending) func tallies() async throws(ViewStoreError) -> [ViewTally] {
    let table = book.table
    // Of those handed over, or whose lease is not certain, as of their last checkpoint: of two that have one on disk, the further counts.
    let answered = answeredPartitions
    var tallies: [ViewTally] = []
    for view in table.viewNames {
      guard let live = table.live(view) else { continue }
      var tally = ViewTally(view: view, generation: live.number, partitions: [])
      for worker in workers {
        do throws(ComputeError) {
          tally.partitions += try await worker.store.tallies(of: live).filter { answered.contains($0.partition) }
        } catch {
          throw .failed(error.description)
        }
      }
      tally.partitions.sort { $0.partition < $1.partition }
      tallies.append(tally)
    }
    return tallies
  }

  func progress(of id: GenerationID) async -> [PartitionProgress] {
    var partitions: [PartitionProgress] = []
    for worker in workers { partitions += await worker.progress(of: id) }
    partitions.sort { $0.partition < $1.partition }
    return partitions
  }

  /// What a request is of, once what it waits for is counted.
  nonisolated(nonsending) func begin(
    _ request: ViewReadRequest
  ) async throws(ViewStoreError) -> (record: GenerationRecord, partitions: Set<PartitionID>, range: RowRange) {
    let record = try book.table.find(request.view, request.generation)
    let deadline = ContinuousClock.now + request.timeout
    let partitions = try wanted(request.partitions, allowsPartial: request.allowsPartial)
    if let after = request.after {
      for worker in workers {
        guard await worker.wait(record.id, for: after, timeout: max(.zero, deadline - .now)) else {
          let reached = OffsetVector(
            Dictionary(uniqueKeysWithValues: await progress(of: record.id).map { ($0.partition, $0.nextOffset) }))
          // A generation that still builds, or has an end, is no worker's to wait for.
          if reached.reaches(after) { continue }
          throw .timeout(reached: reached)
        }
      }
    }
    let key = request.key ?? request.keyFilter?.pointKey(record.definition.keys.map(\.name))?.key
    return (record, partitions, range(request, key, record.definition))
  }

  private func range(_ request: ViewReadRequest, _ key: [UInt8]?, _ definition: ViewDefinition) -> RowRange {
    var range = RowRange(key: key)
    // A joined session may begin before the parts of it that are within bounds: which there are is known when all have been joined.
    // Only whoever wants none, but to know what the view is, gets none.
    let isBounded = !definition.joinsSessions(keptKeys: nil) || request.from?.nanoseconds ?? .min >= .max - 1
    if isBounded, let from = request.from?.nanoseconds { range.from = from }
    if isBounded, let to = request.to?.nanoseconds {
      // No time lies before the first.
      if to == .min { range.from = .max }
      range.through = to == .min ? .min : to - 1
    }
    // All events of a source are in its own partition.
    if let key, let source = definition.keys.firstIndex(where: { $0.path == .attribute("source") }),
      case .string(let name)? = key.withUnsafeBytes({ KeyCodec.decode($0) })?[source]
    {
      range.home = log.partition(of: name)
    }
    return range
  }

  public func readAtOnce(_ request: ViewReadRequest) -> PartialResult? {
    guard let key = request.key, request.asOf == nil, !request.allowsPartial, request.partitions == nil,
      let record = book.table.live(request.view), request.generation ?? record.number == record.number, refused == nil
    else { return nil }
    let range = range(request, key, record.definition)
    var snapshot = FoldSnapshot(record.definition)
    for worker in workers {
      guard worker.copyAtOnce(record.id, nil, range, into: &snapshot), worker.completeAtOnce(&snapshot),
        snapshot.rows.count <= ComputeService.rowsAtOnceMax
      else { return nil }
    }
    // A partition may be on its way from one process to another.
    guard snapshot.asOf.offsets.count == log.partitionCount, request.after.map({ snapshot.asOf.reaches($0) }) ?? true,
      held.withLock({ $0.owned.count == log.partitionCount })
    else { return nil }
    var result = PartialResult(
      definition: record.definition, generation: record.number, asOf: snapshot.asOf,
      eventTimeWatermarks: snapshot.eventTimeWatermarks, rows: snapshot.windows(of: record.definition))
    result.noteDropped(through: snapshot.droppedEnds.values.max())
    return result
  }

  public nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    let deadline = ContinuousClock.now + request.timeout
    return try await whilePartitionsMove(request) { () throws(ViewStoreError) in
      try await readOnce(request, deadline: deadline)
    }
  }

  /// Reads again what it was let go under: whoever takes what there is gets the rest.
  func whilePartitionsMove<Read>(
    _ request: ViewReadRequest, _ read: () async throws(ViewStoreError) -> Read
  ) async throws(ViewStoreError) -> Read {
    for _ in 0..<3 {
      do throws(ViewStoreError) { return try await read() } catch {
        guard request.allowsPartial, case .missingPartitions = error else { throw error }
      }
    }
    return try await read()
  }

  private func readOnce(
    _ request: ViewReadRequest, deadline: ContinuousClock.Instant
  ) async throws(ViewStoreError) -> PartialResult {
    let (record, partitions, range) = try await begin(request)
    var result: PartialResult
    if let asOf = request.asOf {
      result = try await read(record, asOf: asOf, partitions, range, deadline: deadline)
    } else {
      result = try await read([record], partitions, range)[0]
    }
    if request.allowsPartial {
      result.missing = (request.partitions ?? allPartitions).subtracting(partitions).sorted()
    }
    return result
  }

  var allPartitions: Set<PartitionID> { Set((0..<log.partitionCount).map { PartitionID($0) }) }

  /// Those asked for, which all must be here.
  func wanted(
    _ partitions: Set<PartitionID>?, allowsPartial: Bool = false
  ) throws(ViewStoreError) -> Set<PartitionID> {
    if let refused { throw refused.error }
    let wanted = partitions ?? allPartitions
    let answered = answeredPartitions
    if allowsPartial { return wanted.intersection(answered) }
    let missing = wanted.subtracting(answered)
    guard missing.isEmpty else { throw .missingPartitions(missing.sorted()) }
    return wanted
  }

  /// The present rows of generations of one view: what counts along with the live one is as of the same offsets.
  func read(
    _ records: [GenerationRecord], _ partitions: Set<PartitionID>, _ range: RowRange
  ) async throws(ViewStoreError) -> [PartialResult] {
    var results = records.map { record in
      PartialResult(
        definition: record.definition, generation: record.number, asOf: OffsetVector(), eventTimeWatermarks: [:],
        rows: PartialRows(stride: record.definition.layout.stride))
    }
    for worker in workers {
      let mine = partitions.filter { $0.index % workers.count == worker.number }
      guard !mine.isEmpty else { continue }
      for (index, snapshot) in try await snapshots(records, mine, range, worker).enumerated() {
        let complete: (rows: PartialRows, droppedEnd: Int64?)
        do throws(ComputeError) {
          complete = try await worker.complete(snapshot, records[index].definition)
        } catch {
          throw .failed(error.description)
        }
        results[index].asOf.formMaximum(snapshot.asOf)
        results[index].eventTimeWatermarks.merge(snapshot.eventTimeWatermarks) { $1 }
        results[index].noteDropped(through: complete.droppedEnd)
        results[index].rows.append(contentsOf: complete.rows)
      }
    }
    // Dropped, or let go, while the rows were read: they may not be whole.
    for record in records { _ = try book.table.find(record.definition.name, record.number) }
    _ = try wanted(partitions)
    return results
  }

  private func snapshots(
    _ records: [GenerationRecord], _ partitions: Set<PartitionID>, _ range: RowRange, _ worker: ComputeWorker
  ) async throws(ViewStoreError) -> [FoldSnapshot] {
    try await takeWhole(partitions, asOf: { (taken: [FoldSnapshot]) in taken.map(\.asOf) }) { () throws(ComputeError) in
      try await snapshots(of: records, partitions, range, worker)
    }
  }

  /// A fold may be between a replay and its worker, for an instant: it is looked for again.
  /// - Parameters:
  ///   - partitions: All of which what is taken has to be of.
  ///   - asOf: What it is of.
  func takeWhole<Taken>(
    _ partitions: Set<PartitionID>, asOf: (Taken) -> [OffsetVector], _ take: () async throws(ComputeError) -> Taken
  ) async throws(ViewStoreError) -> Taken {
    for _ in 0..<100 {
      let taken: Taken
      do throws(ComputeError) { taken = try await take() } catch { throw .failed(error.description) }
      if asOf(taken).allSatisfy({ $0.offsets.count == partitions.count }) { return taken }
      try? await Task.sleep(for: .milliseconds(1))
      _ = try wanted(partitions)
    }
    throw .unavailable("a generation's partitions are just being loaded")
  }

  /// With the worker's file pinned only where it is needed, which the first try says by nil.
  func takePinned<Taken>(
    _ worker: ComputeWorker, _ take: (StatePin?) async throws(ComputeError) -> Taken?
  ) async throws(ComputeError) -> Taken? {
    if let taken = try await take(nil) { return taken }
    return try await take(worker.store.file.pin())
  }

  /// What the worker and its replays hold just now: with the file pinned where rows that can change are in it only.
  private func snapshots(
    of records: [GenerationRecord], _ partitions: Set<PartitionID>, _ range: RowRange, _ worker: ComputeWorker
  ) async throws(ComputeError) -> [FoldSnapshot] {
    if let record = records.first, records.count == 1, range.key != nil {
      var snapshot = FoldSnapshot(record.definition)
      if worker.copyAtOnce(record.id, partitions, range, into: &snapshot) { return [snapshot] }
    }
    let taken = try await takePinned(worker) { pin throws(ComputeError) in
      try await worker.snapshots(records, partitions, range, pin: pin)
    }
    var snapshots = taken ?? []
    for (index, record) in records.enumerated() where snapshots[index].asOf.offsets.count < partitions.count {
      let missing = partitions.filter { snapshots[index].asOf[$0] == nil }
      let replayed = try await takePinned(worker) { pin throws(ComputeError) in
        try await worker.replays.snapshot(record, missing, range, pin: pin)
      }
      if let replayed { snapshots[index].append(replayed) }
    }
    return snapshots
  }
}
