import Events
import Views

/// Answering from all workers.
extension ComputeService: ViewStore {
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
          tally.partitions += try await worker.store.tallies.tallies(of: live).filter { answered.contains($0.partition) }
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
    // First: another log's folder may have no views.
    if let refused { throw refused.error }
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
      ownsAll
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
