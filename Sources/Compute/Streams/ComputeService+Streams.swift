import Events
import Views

extension ComputeService {
  /// The present rows, read from the workers' files as they are asked for: each file is seen as it was when its worker said what is in memory.
  public nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? {
    let merged = try await whilePartitionsMove(request) { () throws(ViewStoreError) in try await mergedRows(request) }
    guard let stream = merged else { return nil }
    return RowStream(
      definition: stream.record.definition, generation: stream.record.number, asOf: stream.folds.asOf,
      eventTimeWatermarks: stream.folds.eventTimeWatermarks, droppedEnd: stream.folds.droppedEnd, pieces: stream.rows)
  }

  /// - Parameter rowsMax: Rows of the files held at a time.
  nonisolated(nonsending) func mergedRows(
    _ request: ViewReadRequest, rowsMax: Int = MergedRows.rowsMax
  ) async throws(ViewStoreError) -> (record: GenerationRecord, folds: PinnedFolds, rows: MergedRows)? {
    guard request.asOf == nil else { return nil }
    let (record, partitions, range) = try await begin(request)
    guard !record.definition.joinsSessions(keptKeys: nil) else { return nil }
    var taken = PinnedFolds()
    for worker in workers {
      let mine = partitions.filter { $0.index % workers.count == worker.number }
      if !mine.isEmpty { taken.append(try await pinnedFolds(record, mine, range, worker)) }
    }
    // Dropped, or let go, while the moments were taken: they may not be whole. What is pinned stays.
    _ = try book.table.find(record.definition.name, record.number)
    _ = try wanted(partitions)
    let rows = MergedRows(record.definition, taken.folds, through: range.through, rowsMax: rowsMax)
    return (record, taken, rows)
  }

  /// What the worker and its replays hold just now.
  private func pinnedFolds(
    _ record: GenerationRecord, _ partitions: Set<PartitionID>, _ range: RowRange, _ worker: ComputeWorker
  ) async throws(ViewStoreError) -> PinnedFolds {
    try await takeWhole(partitions, asOf: { (taken: PinnedFolds) in [taken.asOf] }) { () throws(ComputeError) in
      let taken = try await takePinned(worker) { pin throws(ComputeError) in
        try await worker.pinnedFolds(record.id, partitions, range, pin: pin)
      }
      var folds = taken ?? PinnedFolds()
      let missing = partitions.filter { folds.asOf[$0] == nil }
      guard !missing.isEmpty else { return folds }
      let replayed = try await takePinned(worker) { pin throws(ComputeError) in
        try await worker.replays.pinnedFolds(record.id, missing, range, pin: pin)
      }
      if let replayed { folds.append(replayed) }
      return folds
    }
  }
}
