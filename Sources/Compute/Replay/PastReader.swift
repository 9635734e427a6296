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
  private let executor = WorkerExecutor(label: "penstock.past")

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(log: any EventLog, readBytesMax: Int) {
    self.log = log
    self.readBytesMax = readBytesMax
  }

  /// A generation's rows of one partition as they were when the events in `start ..< end` had been counted.
  /// `start` is where the generation began; with `base`, a kept state of it, the fold begins there instead.
  /// - Throws: `.asOfUnreachable` when the log starts later, `.timeout` at the deadline.
  func rows(
    _ record: GenerationRecord, _ partition: PartitionID, from start: Offset, to end: Offset, _ range: RowRange,
    base: KeptCheckpoints.Base? = nil, deadline: ContinuousClock.Instant
  ) async throws(ViewStoreError) -> PartialResult {
    let box = try await fold(
      record.definition, record.times, partition, from: start, to: end, base: base?.box, deadline: deadline)
    let fold = GenerationFold(id: record.id, viewID: base?.view ?? 0, box: box)
    var snapshot = ReadSnapshot(record)
    do throws(ComputeError) {
      let file = base.map { (pin: $0.store.file.pin(), store: $0.store) }
      if let (pin, store) = file { try store.file.typed { try pin.begin() } }
      snapshot.add(fold, range, file)
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
    let begin = ContinuousClock.now
    var events = 0
    for range in ranges where range.from < range.to && ContinuousClock.now - begin < time {
      let box = try await fold(
        definition, times, range.partition, from: range.from, to: range.to, deadline: begin + time, stopsQuietly: true)
      events += range.from.distance(to: box.fold.progress.nextOffset)
    }
    let elapsed = (ContinuousClock.now - begin) / .seconds(1)
    return events > 0 ? Double(events) / max(elapsed, 1e-6) : nil
  }

  private func fold(
    _ definition: ViewDefinition, _ times: EventTimeBounds, _ partition: PartitionID, from start: Offset, to end: Offset,
    base: FoldBox? = nil, deadline: ContinuousClock.Instant, stopsQuietly: Bool = false
  ) async throws(ViewStoreError) -> FoldBox {
    let box =
      base
      ?? FoldBox(
        ViewFold(
          definition: definition,
          progress: PartitionProgress(partition: partition, firstOffset: start, nextOffset: start)))
    box.fold.times = times
    let start = box.fold.progress.nextOffset
    var scratch = EvaluationScratch()
    while box.fold.progress.nextOffset < end {
      let batches: [ColumnBatch]
      do throws(LogError) {
        batches = try await log.read(partition, from: box.fold.progress.nextOffset, bytesMax: readBytesMax)
      } catch  where error.code == .outOfRange {
        throw await unreachable(partition, start)
      } catch {
        throw .failed(error.description)
      }
      guard !batches.isEmpty else {
        throw .refused(
          code: "as_of_ahead", detail: "partition \(partition) ends at offset \(box.fold.progress.nextOffset), before \(end)")
      }
      for batch in batches {
        guard ContinuousClock.now < deadline, !Task.isCancelled else {
          if stopsQuietly { return box }
          throw .timeout(reached: OffsetVector([partition: box.fold.progress.nextOffset]))
        }
        guard let part = batch.part(upTo: end) else { break }
        box.fold.fold(part, times: part.times(), scratch: &scratch)
        guard box.fold.rowCount <= PastReader.rowsMax else {
          throw .refused(
            code: "as_of_too_large",
            detail:
              "the past state of partition \(partition) has more than \(PastReader.rowsMax) rows, the most that are computed in memory"
          )
        }
        await Task.yield()
      }
    }
    return box
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
