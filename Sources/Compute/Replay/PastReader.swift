import Events
import Expressions
import Views

/// Folds a part of the log in memory, for a read at a past point, a verification or an estimate. Nothing is kept.
///
/// An actor on a thread of its own, which folds a few events at a time, so that several such reads share it.
actor PastReader {
  /// The most rows in memory; a read that needs more is refused.
  private static let rowsMax = 4_000_000

  private let log: any EventLog
  private let readBytesMax: Int
  /// `compute.clock_ahead_max` and `compute.source_idle`, in nanoseconds.
  private let aheadMax: Int64
  private let sourceIdle: Int64
  private let executor = WorkerExecutor(label: "penstock.past")

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(log: any EventLog, _ configuration: ComputeConfiguration) {
    self.log = log
    readBytesMax = configuration.readBytesMax
    aheadMax = configuration.clockAheadMax.nanosecondsHeld
    sourceIdle = configuration.sourceIdle.nanosecondsHeld
  }

  /// A generation's rows of one partition as they were when the events in `start ..< end` had been counted.
  /// `start` is where the generation began; with `base`, a kept state of it, the fold begins there instead.
  /// - Throws: `.asOfUnreachable` when the log starts later, `.timeout` at the deadline.
  func rows(
    _ record: GenerationRecord, _ partition: PartitionID, from start: Offset, to end: Offset, _ range: RowRange,
    base: KeptCheckpoints.Base? = nil, deadline: ContinuousClock.Instant
  ) async throws(ViewStoreError) -> PartialResult {
    let fold =
      base.map { base in
        base.box.fold.times = record.times
        return GenerationFold(id: record.id, viewID: base.view, box: base.box, sources: base.sources)
      } ?? GenerationFold(inMemory: record.definition, record.id, record.times, partition, at: start, aheadMax: aheadMax)
    try await count(fold, base?.store, to: end, deadline: deadline)
    var snapshot = ReadSnapshot(record)
    do throws(ComputeError) {
      let file = base.map { (pin: $0.store.file.pin(), store: $0.store) }
      if let (pin, store) = file { try store.file.typed { try pin.begin() } }
      snapshot.add(fold, range, file, ActiveSources(idle: sourceIdle))
    } catch {
      throw .failed(error.description)
    }
    return try await snapshot.result(through: range.through)
  }

  /// The events a second, measured on the first of them for up to `time`; nil when there are none.
  func rate(
    _ definition: ViewDefinition, _ times: EventTimeBounds, _ ranges: [(partition: PartitionID, from: Offset, to: Offset)],
    time: Duration
  ) async throws(ViewStoreError) -> Double? {
    let start = ContinuousClock.now
    let id = GenerationID(view: definition.name, number: 0)
    var events = 0
    for range in ranges where range.from < range.to && ContinuousClock.now - start < time {
      let fold = GenerationFold(inMemory: definition, id, times, range.partition, at: range.from, aheadMax: aheadMax)
      try await count(fold, nil, to: range.to, deadline: start + time, stopsQuietly: true)
      events += range.from.distance(to: fold.next)
    }
    let elapsed = (ContinuousClock.now - start) / .seconds(1)
    return events > 0 ? Double(events) / max(elapsed, 1e-6) : nil
  }

  /// Counts the events up to `end`.
  /// - Parameter store: The file that has what the fold has not in memory; nil where it has all.
  private func count(
    _ fold: GenerationFold, _ store: CheckpointStore?, to end: Offset, deadline: ContinuousClock.Instant, stopsQuietly: Bool = false
  ) async throws(ViewStoreError) {
    let (partition, start) = (fold.partition, fold.next)
    var scratch = EvaluationScratch()
    while fold.next < end {
      let batches: [ColumnBatch]
      do throws(LogError) {
        batches = try await log.read(partition, from: fold.next, bytesMax: readBytesMax)
      } catch  where error.code == .outOfRange {
        throw await unreachable(partition, start)
      } catch {
        throw .failed(error.description)
      }
      guard !batches.isEmpty else {
        throw .refused(
          code: "as_of_ahead", detail: "partition \(partition) ends at offset \(fold.next), before \(end)")
      }
      for batch in batches {
        guard ContinuousClock.now < deadline, !Task.isCancelled else {
          if stopsQuietly { return }
          throw .timeout(reached: OffsetVector([partition: fold.next]))
        }
        guard let part = batch.part(upTo: end) else { break }
        if let store {
          do throws(ComputeError) { try fold.count(part, store, aheadMax: aheadMax, scratch: &scratch) } catch {
            throw .failed(error.description)
          }
        } else {
          fold.count(part, aheadMax: aheadMax, scratch: &scratch)
        }
        guard fold.box.fold.rowCount <= PastReader.rowsMax else {
          throw .refused(
            code: "as_of_too_large",
            detail:
              "the past state of partition \(partition) has more than \(PastReader.rowsMax) rows, the most that are computed in memory"
          )
        }
        await Task.yield()
      }
    }
  }

  private func unreachable(_ partition: PartitionID, _ start: Offset) async -> ViewStoreError {
    do throws(LogError) {
      return PastReader.unreachable(start, partition, logStart: try await log.bounds(of: partition).startOffset)
    } catch {
      return .failed(error.description)
    }
  }

  static func unreachable(_ start: Offset, _ partition: PartitionID, logStart: Offset) -> ViewStoreError {
    .asOfUnreachable(
      logStarts: OffsetVector([partition: logStart]),
      detail: "this needs the events of partition \(partition) from offset \(start) on, but the log now starts at \(logStart)")
  }
}
