import Events
import Expressions
import Logging
import Views

/// One partition of a generation that has not caught up.
struct ReplayJob: Sendable {
  var fold: GenerationFold
  var to: Offset?
  /// Whether a bounded replay has reached its end.
  var isComplete = false
}

/// Catches generations up with the log, beside a worker: on a thread of lower priority, one read at a time, pausing
/// while there are live events to fold. It checkpoints by itself, so that a crash costs a second's work, and hands a
/// fold over to the worker once it has caught up. Folds of bounded replays stay here.
actor ReplayWorker {
  /// The longest that live folding keeps a read waiting: a replay makes progress beside a stream that never pauses.
  private static let yieldMax = Duration.milliseconds(10)
  /// A fold this many events behind the log's end is handed over: the worker folds them in one turn.
  private static let handOverEvents = 65_536

  private struct Key: Hashable {
    var generation: GenerationID
    var partition: PartitionID
  }

  nonisolated let number: Int
  private let executor: WorkerExecutor
  private let log: any EventLog
  private let store: CheckpointStore
  private let configuration: ComputeConfiguration
  private let fence: PartitionFence
  private let horizons: RetentionHorizons
  private let load: LiveLoad
  private let logger: Logger
  private var jobs: [Key: ReplayJob] = [:] {
    didSet { if jobs.isEmpty != oldValue.isEmpty { load.note(isReplaying: !jobs.isEmpty) } }
  }
  private var task: Task<Void, Never>?
  private weak var worker: ComputeWorker?
  private var scratch = EvaluationScratch()
  private var lastCheckpoint = ContinuousClock.now
  private var counted: [GenerationID: (events: Int, time: Duration)] = [:]
  private var isStopped = false
  /// Called when a generation may have caught up.
  private var onSettled: (@Sendable (GenerationID) -> Void)?

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(
    number: Int, log: any EventLog, store: CheckpointStore, configuration: ComputeConfiguration, fence: PartitionFence,
    horizons: RetentionHorizons, load: LiveLoad, logger: Logger
  ) {
    self.number = number
    self.log = log
    self.store = store
    self.configuration = configuration
    self.fence = fence
    self.horizons = horizons
    self.load = load
    self.logger = logger
    // It takes the processor time that ingest and live folding leave.
    executor = WorkerExecutor(label: "penstock.replay.\(number)", niceness: 10)
  }

  func notify(_ body: @escaping @Sendable (GenerationID) -> Void) { onSettled = body }

  // MARK: jobs

  func add(_ job: ReplayJob, for worker: ComputeWorker) {
    self.worker = worker
    jobs[Key(generation: job.fold.id, partition: job.fold.partition)] = job
    guard task == nil, !isStopped else { return }
    task = Task { await self.run() }
  }

  func remove(_ partition: PartitionID) {
    checkpoint()
    for key in jobs.keys where key.partition == partition { jobs[key] = nil }
  }

  /// Stops counting a generation, and leaves its rows as they were checkpointed.
  func forget(_ id: GenerationID) {
    checkpoint()
    for key in jobs.keys where key.generation == id { jobs[key] = nil }
    counted[id] = nil
  }

  /// Ends a generation and drops its rows, on this thread, where nobody waits for it.
  func drop(_ id: GenerationID) {
    for key in jobs.keys where key.generation == id { jobs[key] = nil }
    counted[id] = nil
    do throws(ComputeError) { try store.generations.drop(id) } catch {
      logger.error("dropping \(id): \(error); it is tried again at the next start")
    }
  }

  /// Ends the work, and returns when all is checkpointed.
  func stop() async {
    isStopped = true
    let running = task
    running?.cancel()
    await running?.value
    checkpoint()
  }

  // MARK: the loop

  private func run() async {
    while !Task.isCancelled {
      let open = jobs.filter { !$0.value.isComplete && $0.value.fold.problem == nil }.keys
      guard !open.isEmpty else { break }
      for key in open.sorted(by: { ($0.generation.number, $0.partition) < ($1.generation.number, $1.partition) }) {
        await yieldToLive()
        if Task.isCancelled { break }
        await step(key)
        await store.compactor.waitUntilCaughtUp()
        if ContinuousClock.now - lastCheckpoint >= configuration.checkpointInterval { checkpoint() }
      }
    }
    checkpoint()
    task = nil
    // A job may have been added between the last look and here.
    if !isStopped, jobs.contains(where: { !$0.value.isComplete && $0.value.fold.problem == nil }) {
      task = Task { await self.run() }
    }
  }

  private func yieldToLive() async {
    let start = ContinuousClock.now
    while load.isBusy, ContinuousClock.now - start < ReplayWorker.yieldMax, !Task.isCancelled {
      try? await Task.sleep(for: .milliseconds(1))
    }
  }

  private func step(_ key: Key) async {
    guard let job = jobs[key] else { return }
    if let to = job.to, job.fold.next >= to { return await finish(key) }
    let start = ContinuousClock.now
    let before = job.fold.readNext
    do throws(LogError) {
      let batches = try await log.read(key.partition, from: before, bytesMax: configuration.readBytesMax)
      for batch in batches {
        guard jobs[key] != nil else { return }
        guard let part = batch.part(upTo: job.to) else { break }
        do throws(ComputeError) {
          try job.fold.count(part, store, aheadMax: configuration.clockAheadMax.nanosecondsHeld, scratch: &scratch)
        } catch {
          jobs[key]?.fold.problem = error.description
          logger.error("the replay of \(key.generation) reads partition \(key.partition) no further: \(error)")
          return
        }
        if unsavedRows >= configuration.changedRowsMax || memoryBound.isExceeded(by: boxes, clocks) { checkpoint() }
        await executor.letOthersGo()
      }
      guard jobs[key] != nil else { return }
      var count = counted[key.generation] ?? (0, .zero)
      count.events += before.distance(to: job.fold.readNext)
      count.time += ContinuousClock.now - start
      counted[key.generation] = count
      if let to = job.to {
        // An end beyond the log's is reached when the events have come.
        if job.fold.next >= to || batches.isEmpty { await finish(key) }
        return
      }
      let bounds = try await log.bounds(of: key.partition)
      if job.fold.readNext.distance(to: bounds.highWatermark) <= ReplayWorker.handOverEvents { await handOver(key) }
    } catch {
      guard !Task.isCancelled, jobs[key] != nil else { return }
      // A log in another process is away now: the replay goes on when it is back.
      guard error.code != .unavailable else { return }
      jobs[key]?.fold.problem = error.description
      logger.error("the replay of \(key.generation) reads partition \(key.partition) no further: \(error)")
    }
  }

  private func finish(_ key: Key) async {
    checkpoint()
    jobs[key]?.isComplete = true
    onSettled?(key.generation)
  }

  private func handOver(_ key: Key) async {
    checkpoint()
    guard let job = jobs.removeValue(forKey: key), let worker else { return }
    await worker.adopt(job.fold)
    onSettled?(key.generation)
  }

  // MARK: checkpoints

  private var memoryBound: MemoryBound { MemoryBound(bytesMax: configuration.workerBytesMax / 2) }

  private var unsavedRows: Int {
    jobs.values.reduce(0) { $0 + $1.fold.box.fold.unsavedCount + ($1.fold.sources?.clocks.unsavedCount ?? 0) }
  }

  private var boxes: [FoldBox] { jobs.values.map(\.fold.box) }

  /// No two jobs share any.
  private var clocks: [SourceBox] { jobs.values.compactMap(\.fold.sources) }

  private func checkpoint() {
    lastCheckpoint = .now
    let changed = jobs.values.filter { job in
      (job.fold.next > job.fold.box.savedOffset || job.fold.readNext > job.fold.savedOffset) && fence.mayAct(job.fold.partition)
    }
    guard !changed.isEmpty else { return }
    do throws(ComputeError) {
      _ = try store.checkpoint(changed.map(\.fold), [], horizons)
      memoryBound.enforce(on: boxes, clocks)
    } catch {
      logger.error("a replay's checkpoint: \(error); it is tried again")
    }
  }

  func neededOffsets() -> OffsetVector {
    var needed = OffsetVector()
    for (key, job) in jobs where !job.isComplete && job.fold.problem == nil {
      needed[key.partition] = min(needed[key.partition] ?? job.fold.savedOffset, job.fold.savedOffset)
    }
    return needed
  }

  // MARK: answers

  func progress(of id: GenerationID) -> [PartitionProgress] {
    jobs.filter { $0.key.generation == id }.map { $0.value.fold.box.fold.progress }
  }

  /// Late events since the last checkpoint.
  func unsavedLate(_ id: GenerationID, _ partition: PartitionID) -> [LateEntry] {
    jobs[Key(generation: id, partition: partition)].map { Array($0.fold.box.fold.late.last) } ?? []
  }

  func problem(of id: GenerationID) -> String? {
    jobs.first { $0.key.generation == id && $0.value.fold.problem != nil }.flatMap { key, job in
      job.fold.problem.map { "partition \(key.partition): \($0)" }
    }
  }

  /// Whether nothing of a generation waits to be counted here.
  func isSettled(_ id: GenerationID) -> Bool { jobs.allSatisfy { $0.key.generation != id || $0.value.isComplete } }

  /// The partitions in which a replay with an end has reached it.
  func completed(_ id: GenerationID) -> Set<PartitionID> {
    Set(jobs.filter { $0.key.generation == id && $0.value.isComplete }.keys.map(\.partition))
  }

  /// The events counted per second of the time spent on this generation here; nil before the first.
  func rate(of id: GenerationID) -> Double? {
    guard let count = counted[id], count.time > .zero else { return nil }
    return Double(count.events) / (count.time / .seconds(1))
  }

  /// The present rows of a generation.
  /// - Returns: Nil when a pin is needed and none is given.
  func snapshot(
    _ record: GenerationRecord, _ partitions: Set<PartitionID>, _ range: RowRange, pin: StatePin?
  ) throws(ComputeError) -> ReadSnapshot? {
    let wanted = jobs.filter { $0.key.generation == record.id && partitions.contains($0.key.partition) }
    let active = ActiveSources(idle: configuration.sourceIdle.nanosecondsHeld)
    return try ReadSnapshot.take([(record, wanted.values.map(\.fold))], range, pin: pin, store, { _ in active })?[0]
  }
}

extension ColumnBatch {
  /// The batch's events below `end`; nil when there are none.
  func part(upTo end: Offset?) -> ColumnBatch? {
    guard let end, end < endOffset else { return self }
    let rows = baseOffset.distance(to: end)
    guard rows > 0, var part = selecting(Array(0..<rows)) else { return nil }
    part.place(partition: partition, baseOffset: baseOffset, appendTime: header.appendTime)
    return part
  }
}
