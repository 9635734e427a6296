import Events
import Views

/// What the worker answers between two batches, each partition as of one offset.
extension ComputeWorker {
  /// What keeps one generation from its work.
  func problem(of id: GenerationID) -> String? {
    owned.values.compactMap { one in one.fold(id)?.problem.map { "partition \(one.partition): \($0)" } }.first
  }

  /// How far one generation has come in each partition.
  func progress(of id: GenerationID) async -> [PartitionProgress] {
    var result = await replays.progress(of: id)
    result += owned.values.compactMap { $0.fold(id)?.box.fold.progress }
    for index in result.indices {
      result[index].highWatermark = result[index].nextOffset
      // What was told before the log went away says nothing of what it has now.
      if let known = await log.lastBounds(of: result[index].partition) {
        let (counted, highWatermark) = (result[index].nextOffset, known.bounds.highWatermark)
        result[index].highWatermark = known.isCurrent ? highWatermark : max(counted, highWatermark)
        if known.isCurrent { check(id, result[index].partition, counted: counted, highWatermark) }
      }
    }
    return result
  }

  /// Whether every partition owned counts along with the live ones.
  func hasCaughtUp(_ id: GenerationID) -> Bool { owned.values.allSatisfy { $0.fold(id) != nil } }

  /// Whether a replay with an end has come to it in every partition owned, or can come no further.
  func hasCompleted(_ id: GenerationID) async -> Bool {
    let complete = await replays.completed(id)
    return owned.allSatisfy { partition, one in complete.contains(partition) || one.fold(id) != nil }
  }

  /// The rows of one or more generations, taken together: what the worker counts is as of the same offsets in all of them.
  /// - Returns: Nil when a pin is needed and none is given.
  func snapshots(
    _ generations: [GenerationRecord], _ partitions: Set<PartitionID>, _ range: RowRange, pin: StatePin?
  ) throws(ComputeError) -> [FoldSnapshot]? {
    let isCold = owned.values.contains { one in
      partitions.contains(one.partition) && generations.contains { one.fold($0.id)?.isCold(range) ?? false }
    }
    if isCold {
      guard let pin else { return nil }
      try store.file.typed { try pin.begin() }
    }
    return generations.map { record in
      var snapshot = FoldSnapshot(record.definition)
      for one in owned.values where partitions.contains(one.partition) {
        one.fold(record.id)?.copy(range, pin: pin, into: &snapshot)
      }
      return snapshot
    }
  }

  /// Adds the rows of one key, if that takes no waiting: the worker does nothing else just now, and what can still change is in memory.
  /// - Parameters:
  ///   - partitions: All those owned when nil.
  ///   - range: Of a key.
  /// - Returns: False, with nothing of use added, when it takes some.
  nonisolated func copyAtOnce(
    _ id: GenerationID, _ partitions: Set<PartitionID>?, _ range: RowRange, into snapshot: inout FoldSnapshot
  ) -> Bool {
    let isCopied = executor.whileIdle {
      assumeIsolated { worker in
        for one in worker.owned.values where partitions?.contains(one.partition) ?? true {
          guard let fold = one.fold(id), !fold.isCold(range) else { return false }
          fold.copy(range, into: &snapshot)
        }
        return true
      }
    }
    return isCopied ?? false
  }

  /// Adds what of the snapshot is in the file, if that is known without reading it.
  /// - Returns: False, with nothing of use added, when it is not.
  nonisolated func completeAtOnce(_ snapshot: inout FoldSnapshot) -> Bool {
    for range in snapshot.stored {
      guard let rows = store.settled.rows(of: range) else { return false }
      snapshot.rows.append(contentsOf: rows)
    }
    snapshot.stored = []
    return true
  }

  /// What a generation holds of these partitions just now, to be read piece by piece.
  /// - Returns: Nil when a pin is needed and none is given.
  func pinnedFolds(
    _ id: GenerationID, _ partitions: Set<PartitionID>, _ range: RowRange, pin: StatePin?
  ) throws(ComputeError) -> PinnedFolds? {
    let folds = owned.values.filter { partitions.contains($0.partition) }.compactMap { $0.fold(id) }
    return try PinnedFolds.take(folds, range, pin: pin, store)
  }

  /// - Returns: The results' windows; and up to where parts of rows may be gone.
  nonisolated func complete(
    _ snapshot: FoldSnapshot, _ definition: ViewDefinition
  ) async throws(ComputeError) -> (rows: PartialRows, droppedEnd: Int64?) {
    var snapshot = snapshot
    var droppedEnd = snapshot.droppedEnds.values.max()
    if !snapshot.stored.isEmpty {
      let (rows, end) = try await store.read(snapshot.stored, definition, into: snapshot.rows)
      snapshot.rows = rows
      if let end { droppedEnd = max(end, droppedEnd ?? end) }
    }
    return (snapshot.windows(of: definition), droppedEnd)
  }

  /// Waits until a generation has counted up to these offsets; those of other workers' partitions are passed over.
  /// - Returns: False when the time was up or the worker stopped.
  func wait(_ id: GenerationID, for offsets: OffsetVector, timeout: Duration) async -> Bool {
    guard !hasReached(id, offsets) else { return true }
    let number = nextWaiter
    nextWaiter += 1
    let timer = Task {
      try? await Task.sleep(for: timeout)
      self.giveUp(number)
    }
    let hasReached = await withCheckedContinuation {
      waiters[number] = Waiter(generation: id, offsets: offsets, continuation: $0)
    }
    timer.cancel()
    return hasReached
  }

  private func hasReached(_ id: GenerationID, _ offsets: OffsetVector) -> Bool {
    owned.allSatisfy { partition, one in
      guard let wanted = offsets[partition], wanted > .zero else { return true }
      guard let fold = one.fold(id) else { return false }
      return fold.next >= wanted
    }
  }

  func wakeWaiters() {
    for (number, waiter) in waiters where hasReached(waiter.generation, waiter.offsets) {
      waiters[number] = nil
      waiter.continuation.resume(returning: true)
    }
  }

  private func giveUp(_ number: Int) { waiters.removeValue(forKey: number)?.continuation.resume(returning: false) }

  /// Late events that no checkpoint holds yet.
  func unsavedLate(_ id: GenerationID, _ partition: PartitionID) async -> [LateEntry] {
    if let fold = owned[partition]?.fold(id) { return Array(fold.box.fold.late.last) }
    return await replays.unsavedLate(id, partition)
  }
}
