import Events
import Views

/// Answers between two batches: each partition is read as of one offset.
extension ComputeWorker {
  func problem(of id: GenerationID) -> String? {
    owned.values.compactMap { one in one.fold(id)?.problem.map { "partition \(one.partition): \($0)" } }.first
  }

  func progress(of id: GenerationID) async -> [PartitionProgress] {
    var result = await replays.progress(of: id)
    result += owned.values.compactMap { $0.fold(id)?.box.fold.progress }
    for index in result.indices {
      result[index].highWatermark = result[index].nextOffset
      // Bounds that were read before the log went away say nothing about its present ones.
      if let known = await log.lastBounds(of: result[index].partition) {
        let (counted, highWatermark) = (result[index].nextOffset, known.bounds.highWatermark)
        result[index].highWatermark = known.isCurrent ? highWatermark : max(counted, highWatermark)
        if known.isCurrent { check(id, result[index].partition, counted: counted, highWatermark) }
      }
    }
    return result
  }

  /// Whether every owned partition counts the generation along with the live ones.
  func hasCaughtUp(_ id: GenerationID) -> Bool { owned.values.allSatisfy { $0.fold(id) != nil } }

  /// Whether a replay with an end has reached it in every owned partition, or can go no further.
  func hasCompleted(_ id: GenerationID) async -> Bool {
    let complete = await replays.completed(id)
    return owned.allSatisfy { partition, one in complete.contains(partition) || one.fold(id) != nil }
  }

  /// Where all of a partition has been counted, the clock says which sources are idle; the log's append times where not.
  private func activeSources(_ partition: PartitionID) -> ActiveSources {
    ActiveSources(idle: sourceIdle, now: owned[partition]?.isCaughtUp == true ? now() : nil)
  }

  /// The present rows of one or more generations. All that the worker itself counts are as of the same offsets.
  /// - Returns: Nil when a pin is needed and none is given.
  func snapshots(
    _ generations: [GenerationRecord], _ partitions: Set<PartitionID>, _ range: RowRange, pin: StatePin?
  ) throws(ComputeError) -> [ReadSnapshot]? {
    let wanted = owned.values.filter { partitions.contains($0.partition) }
    return try ReadSnapshot.take(
      generations.map { record in (record, wanted.compactMap { $0.fold(record.id) }) }, range, pin: pin, store, activeSources)
  }

  /// The rows of one key in this worker's memory.
  /// - Parameter partitions: All those owned when nil.
  /// - Returns: Nil when the file may have parts of rows in memory, or a partition is not here.
  func point(_ record: GenerationRecord, _ partitions: Set<PartitionID>?, _ range: RowRange) -> PointRead? {
    var point = PointRead(record, range, epoch: store.settled.epoch)
    for one in owned.values where partitions?.contains(one.partition) ?? true {
      guard let fold = one.fold(record.id), point.add(fold, activeSources(one.partition)) else { return nil }
    }
    return partitions.map { $0.count == point.read.asOf.offsets.count } ?? true ? point : nil
  }

  /// As `point`, if that takes no waiting: the worker does nothing else just now. Nil, too, when it takes some.
  nonisolated func pointAtOnce(
    _ record: GenerationRecord, _ partitions: Set<PartitionID>?, _ range: RowRange
  ) -> PointRead? {
    executor.whileIdle { assumeIsolated { $0.point(record, partitions, range) } } ?? nil
  }

  /// Waits until a generation has counted up to these offsets; offsets of other workers' partitions are ignored.
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

  /// Late events since the last checkpoint.
  func unsavedLate(_ id: GenerationID, _ partition: PartitionID) async -> [LateEntry] {
    if let fold = owned[partition]?.fold(id) { return Array(fold.box.fold.late.last) }
    return await replays.unsavedLate(id, partition)
  }
}
