import Events
import Expressions
import Metrics
import Synchronization
import Views

/// Computes aggregations once, from the log: each partition is folded on one of a few threads, into a scratch fold that nobody
/// keeps.
public final class AdHocAggregation: AdHocStore {
  /// Aggregations at a time. Each may hold `AdHocRequest.rowsMax` rows and keeps all threads busy.
  public static let runningMax = 2

  private let log: any EventLog
  private let workers: [AdHocWorker]
  private let running = Atomic<Int>(0)
  private let folded = Counter(label: "penstock_compute_aggregate_partitions_total")

  /// - Parameters:
  ///   - log: The log whose events are aggregated.
  ///   - threads: The number of threads; one for each core makes sense.
  ///   - configuration: Says how far clocks may be ahead, and when a source is idle.
  public init(log: any EventLog, threads: Int, _ configuration: ComputeConfiguration) {
    precondition(threads > 0, "someone has to do the work")
    self.log = log
    workers = (0..<min(threads, log.partitionCount)).map {
      AdHocWorker(
        number: $0, log: log, aheadMax: configuration.clockAheadMax.nanosecondsHeld,
        ActiveSources(idle: configuration.sourceIdle.nanosecondsHeld))
    }
  }

  public nonisolated(nonsending) func aggregate(_ request: AdHocRequest) async throws(AdHocError) -> PartialResult {
    guard running.wrappingAdd(1, ordering: .relaxed).newValue <= AdHocAggregation.runningMax else {
      running.wrappingSubtract(1, ordering: .relaxed)
      throw .unavailable("\(AdHocAggregation.runningMax) run already")
    }
    defer { running.wrappingSubtract(1, ordering: .relaxed) }
    let job = AdHocJob(request, deadline: .now + request.timeout)
    let partitions = (0..<log.partitionCount).map { PartitionID($0) }.filter { request.partitions?.contains($0) ?? true }
    let workers = workers
    let outcome = await withTaskGroup(of: Result<[PartialResult], AdHocError>.self) { group in
      for (number, worker) in workers.enumerated() {
        let its = partitions.filter { $0.index % workers.count == number }
        group.addTask { await worker.run(job, its) }
      }
      var parts: [PartialResult] = []
      for await result in group {
        switch result {
        case .success(let some): parts += some
        case .failure(let error):
          // The other workers' results are of no use then.
          group.cancelAll()
          return Result<[PartialResult], AdHocError>.failure(error)
        }
      }
      return .success(parts)
    }
    var result = PartialResult(adHoc: job.definition)
    let parts = try outcome.get()
    folded.increment(by: parts.count)
    // Each is of one partition.
    for part in parts.sorted(by: { $0.asOf.sorted[0].partition < $1.asOf.sorted[0].partition }) {
      result.append(part)
    }
    result.rows = result.rows.windows(of: request.definition)
    return result
  }
}

/// One aggregation, as shared by its workers.
final class AdHocJob: Sendable {
  let definition: ViewDefinition
  let times: EventTimeBounds
  private let deadline: ContinuousClock.Instant
  private let rowsMax: Int
  private let rows = Atomic<Int>(0)

  init(_ request: AdHocRequest, deadline: ContinuousClock.Instant) {
    // The aggregation keeps no rows, so retention has none to delete.
    definition = request.definition.with(retention: nil)
    times = EventTimeBounds(from: request.from?.nanoseconds, to: request.to?.nanoseconds)
    rowsMax = request.rowsMax
    self.deadline = deadline
  }

  /// Whether the header's times alone show that no event is wanted.
  func skips(_ header: BatchHeader) -> Bool {
    times.excludes(first: header.firstEventTime.nanoseconds, last: header.lastEventTime.nanoseconds)
  }

  /// To be called between two batches.
  /// - Parameter newRows: The rows that the last batch made.
  func check(newRows: Int) throws(AdHocError) {
    if Task.isCancelled { throw .cancelled }
    if ContinuousClock.now >= deadline { throw .timeout }
    guard rows.wrappingAdd(newRows, ordering: .relaxed).newValue <= rowsMax else { throw .tooLarge(rowsMax: rowsMax) }
  }
}

/// Folds some partitions, one after the other, on a thread of its own.
actor AdHocWorker {
  private static let readBytes = 4 << 20

  private let log: any EventLog
  private let aheadMax: Int64
  private let active: ActiveSources
  private let executor: WorkerExecutor
  private var scratch = EvaluationScratch()

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(number: Int, log: any EventLog, aheadMax: Int64, _ active: ActiveSources) {
    self.log = log
    self.aheadMax = aheadMax
    self.active = active
    executor = WorkerExecutor(label: "penstock.adhoc.\(number)")
  }

  func run(_ job: AdHocJob, _ partitions: [PartitionID]) async -> Result<[PartialResult], AdHocError> {
    var parts: [PartialResult] = []
    do throws(AdHocError) {
      for partition in partitions { parts.append(try await run(job, partition)) }
      return .success(parts)
    } catch {
      return .failure(error)
    }
  }

  private func run(_ job: AdHocJob, _ partition: PartitionID) async throws(AdHocError) -> PartialResult {
    let bounds: PartitionBounds
    var next: Offset
    do throws(LogError) {
      bounds = try await log.bounds(of: partition)
      next = bounds.startOffset
      if let from = job.times.from {
        let found = try await log.firstOffset(of: partition, atOrAfter: Timestamp(nanoseconds: from)) ?? bounds.highWatermark
        next = min(max(next, found), bounds.highWatermark)
      }
    } catch {
      throw .log(error)
    }
    let fold = GenerationFold(
      inMemory: job.definition, GenerationID(view: job.definition.name, number: 0), job.times, partition, at: next,
      aheadMax: aheadMax)
    var rows = 0
    while next < bounds.highWatermark {
      for batch in try await read(partition, &next) where batch.endOffset > next {
        // Retention may have taken the events before.
        if batch.baseOffset > fold.next { fold.skip(to: batch.baseOffset) }
        if job.skips(batch.header) {
          fold.skip(to: batch.endOffset)
        } else {
          fold.count(batch, aheadMax: aheadMax, scratch: &scratch)
        }
        next = batch.endOffset
        let count = fold.box.fold.rowCount
        try job.check(newRows: count - rows)
        rows = count
        if next >= bounds.highWatermark { break }
      }
      try job.check(newRows: 0)
    }
    var part = PartialResult(adHoc: job.definition)
    part.note(fold, active)
    fold.box.fold.copyRows(.min ... .max, key: nil, into: &part.rows)
    fold.fillSourceWatermarks(&part.rows)
    return part
  }

  private func read(_ partition: PartitionID, _ next: inout Offset) async throws(AdHocError) -> [ColumnBatch] {
    do throws(LogError) {
      return try await log.read(partition, from: next, bytesMax: AdHocWorker.readBytes)
    } catch {
      guard error.code == .outOfRange else { throw .log(error) }
      // Retention may delete these events meanwhile.
      do throws(LogError) {
        let start = try await log.bounds(of: partition).startOffset
        guard start > next else { throw error }
        next = start
        return []
      } catch {
        throw .log(error)
      }
    }
  }
}

extension GenerationFold {
  /// Goes on at an offset: no event before it counts.
  fileprivate func skip(to next: Offset) {
    box.fold.progress.nextOffset = next
    sources?.clocks.skip(to: next)
  }
}

extension PartialResult {
  /// A result of no partition yet.
  fileprivate init(adHoc definition: ViewDefinition) {
    self.init(
      definition: definition, generation: 0, asOf: OffsetVector(), eventTimeWatermarks: [:],
      rows: PartialRows(stride: definition.layout.stride))
  }
}
