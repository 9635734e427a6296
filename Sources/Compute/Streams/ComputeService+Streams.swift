import Events
import Views

extension ComputeService {
  /// The present rows, read from the workers' files as they are asked for: each file is seen as it was when its worker said what is in memory.
  public nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? {
    guard let stream = try await mergedRows(request) else { return nil }
    return RowStream(
      definition: stream.record.definition, generation: stream.record.number, asOf: stream.folds.asOf,
      eventTimeWatermarks: stream.folds.eventTimeWatermarks, pieces: stream.rows)
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
    // Dropped, or the lease lost, while the moments were taken: they may not be whole. What is pinned stays.
    _ = try book.table.find(record.definition.name, record.number)
    _ = try wanted(partitions)
    let rows = MergedRows(record.definition, taken.folds, to: range.to, rowsMax: rowsMax)
    return (record, taken, rows)
  }

  /// What the worker and its replays hold just now. A fold may be between the two, for an instant: it is looked for again.
  private func pinnedFolds(
    _ record: GenerationRecord, _ partitions: Set<PartitionID>, _ range: RowRange, _ worker: ComputeWorker
  ) async throws(ViewStoreError) -> PinnedFolds {
    for _ in 0..<100 {
      do throws(ComputeError) {
        var taken = try await worker.pinnedFolds(record.id, partitions, range, pin: nil)
        if taken == nil { taken = try await worker.pinnedFolds(record.id, partitions, range, pin: worker.store.file.pin()) }
        var folds = taken ?? PinnedFolds()
        let missing = partitions.filter { folds.asOf[$0] == nil }
        if !missing.isEmpty {
          var replayed = try await worker.replays.pinnedFolds(record.id, missing, range, pin: nil)
          if replayed == nil {
            replayed = try await worker.replays.pinnedFolds(record.id, missing, range, pin: worker.store.file.pin())
          }
          if let replayed { folds.append(replayed) }
        }
        if folds.asOf.offsets.count == partitions.count { return folds }
      } catch {
        throw .failed(error.description)
      }
      try? await Task.sleep(for: .milliseconds(1))
      _ = try wanted(partitions)
    }
    throw .unavailable("a generation's partitions are just being loaded")
  }
}
