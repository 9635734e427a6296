import Events
import SQLite
import Views

extension ReadCoordinator: LateEventStore {
  public nonisolated(nonsending) func late(_ request: LateReadRequest) async throws(ViewStoreError) -> LateReadResult {
    let record = try find(request.view, request.generation)
    var result = LateReadResult(generation: record.number, asOf: OffsetVector(), events: [])
    for progress in await partitions.progress(of: record.id) {
      result.asOf[progress.partition] = progress.nextOffset
      result.counts[progress.partition] = LateCounts(counted: progress.late, listed: progress.lateListed)
      guard progress.partition >= request.partition, result.events.count < request.limit else { continue }
      let worker = partitions.worker(of: progress.partition)
      // Memory comes first: by the time the file is read the events may be there too, but never gone from both.
      var entries = await worker.unsavedLate(record.id, progress.partition)
      do throws(ComputeError) {
        entries += try await worker.store.late(record.id, progress.partition)
      } catch {
        throw .failed(error.description)
      }
      let range = LateRange(request, progress)
      let listed = Set(entries).filter { $0.offset < progress.nextOffset }.sorted { $0.offset < $1.offset }
        .suffix(progress.lateListed)
      result.events += listed.lazy.filter { range.contains($0) }.prefix(request.limit - result.events.count).map {
        LateEvent(progress.partition, $0, record.definition.window)
      }
    }
    return result
  }
}

/// The wanted late events of one partition.
private struct LateRange {
  private let start: Offset
  /// Bounds of event time in nanoseconds: inclusive; exclusive, nil where there is none.
  private let from: Int64
  private let to: Int64?

  init(_ request: LateReadRequest, _ progress: PartitionProgress) {
    start = progress.partition == request.partition ? request.offset : .zero
    from = request.from?.nanoseconds ?? .min
    to = request.to?.nanoseconds
  }

  func contains(_ entry: LateEntry) -> Bool {
    entry.offset >= start && entry.eventTime >= from && to.map { entry.eventTime < $0 } ?? true
  }
}

extension LateEvent {
  init(_ partition: PartitionID, _ entry: LateEntry, _ window: WindowDefinition) {
    self.init(
      partition: partition, offset: entry.offset, time: Timestamp(nanoseconds: entry.eventTime),
      windowStart: Timestamp(nanoseconds: window.lastStart(of: entry.eventTime)), reason: entry.reason)
  }
}

extension CheckpointStore {
  func late(_ id: GenerationID, _ partition: PartitionID) async throws(ComputeError) -> [LateEntry] {
    try await file.read { db, _ in try LateBlock.read(db, id, partition) }
  }
}
