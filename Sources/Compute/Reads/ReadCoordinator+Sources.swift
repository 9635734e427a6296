import Events
import Views

extension ReadCoordinator: SourceStore {
  public nonisolated(nonsending) func sources(_ request: SourceReadRequest) async throws(ViewStoreError) -> SourceReadResult {
    try refusal.check()
    let wanted = try partitions.wanted(nil, allowsPartial: request.allowsPartial)
    var results: [SourceReadResult] = []
    for worker in partitions.workers {
      let mine = partitions.share(of: worker, wanted)
      guard !mine.isEmpty else { continue }
      do throws(ComputeError) { results.append(try await worker.sources(mine, request)) } catch { throw .failed(error.description) }
    }
    let result = SourceReadResult(merging: results, of: request)
    // A partition may have been released meanwhile.
    let missing = wanted.subtracting(result.asOf.offsets.keys)
    guard missing.isEmpty || request.allowsPartial else { throw .missingPartitions(missing.sorted()) }
    return result
  }
}

extension ComputeWorker {
  /// The wanted sources of some of the worker's partitions, each partition's as of one moment: the worker takes the moments
  /// between two batches, and a reader's thread goes through the sources.
  nonisolated func sources(
    _ partitions: Set<PartitionID>, _ request: SourceReadRequest
  ) async throws(ComputeError) -> SourceReadResult {
    let pin = await store.file.pinInTurn()
    let moments = try await sourceMoments(partitions, pin)
    let asOf = OffsetVector(Dictionary(uniqueKeysWithValues: moments.map { ($0.partition, $0.nextOffset) }))
    do {
      return try await pin.read { db, stop in
        var first = FirstSources(request)
        for moment in moments { try moment.collect(request, into: &first, db, stop) }
        let (sources, next) = first.finish()
        return SourceReadResult(asOf: asOf, sources: sources, next: next)
      }
    } catch {
      throw CheckpointFile.failure(error, store.worker)
    }
  }

  private func sourceMoments(_ partitions: Set<PartitionID>, _ pin: StatePin) throws(ComputeError) -> [SourceMoment] {
    let wanted = owned.values.filter { partitions.contains($0.partition) }
    if wanted.contains(where: \.sources.clocks.mayBeInFile) { try store.file.typed { try pin.begin() } }
    return wanted.map { SourceMoment($0.sources) }
  }
}
