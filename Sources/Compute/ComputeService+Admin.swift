import Aggregates
import Events
import Logging
import Views

extension ComputeService: ViewAdmin {
  private static let estimateTime = Duration.milliseconds(300)

  // MARK: what there is

  /// Entries of the record of views that this process goes by; rises with each change.
  public var generationsVersion: UInt64 { UInt64(book.count) }

  public nonisolated(nonsending) func generations(of view: String) async throws(ViewStoreError) -> [GenerationStatus] {
    let table = book.table
    if let refused, refused.isAnotherLog { throw refused.error }
    guard table.live(view) != nil else { throw .unknownView(view, known: table.viewNames) }
    var result: [GenerationStatus] = []
    for record in table.of(view) { result.append(await status(of: record)) }
    return result
  }

  private func status(of record: GenerationRecord) async -> GenerationStatus {
    var status = GenerationStatus(
      definition: record.definition, generation: record.number, state: record.state, promotes: record.promotes, to: record.to,
      times: record.times, createdAt: record.createdAt)
    guard record.state.isKept else { return status }
    status.partitions = await progress(of: record.id)
    for worker in workers {
      if let rate = await worker.replays.rate(of: record.id) { status.eventsPerSecond = (status.eventsPerSecond ?? 0) + rate }
      if status.problem == nil { status.problem = await worker.problem(of: record.id) }
      if status.problem == nil { status.problem = await worker.replays.problem(of: record.id) }
    }
    return status
  }

  private func status(_ view: String, _ number: Int) async throws(ViewStoreError) -> GenerationStatus {
    guard let record = book.table[GenerationID(view: view, number: number)] else {
      throw .unknownGeneration(number, view: view, known: book.table.of(view).map(\.number))
    }
    return await status(of: record)
  }

  // MARK: changes

  /// Changes the table, then has the workers follow.
  nonisolated(nonsending) func change<R: Sendable>(
    _ body: @escaping @Sendable (inout GenerationTable) throws(ViewStoreError) -> R
  ) async throws(ViewStoreError) -> R {
    if let refused, refused.isAnotherLog { throw refused.error }
    let result = await steps.run { [self] () -> Result<R, ViewStoreError> in
      let before = book.table
      do throws(ViewStoreError) {
        let result = try await book.change(body)
        try await follow(from: before)
        return .success(result)
      } catch {
        return .failure(error)
      }
    }
    guard let result else { throw .unavailable("compute is stopping") }
    return try result.get()
  }

  /// Another instance may have changed the record of views.
  func takeShared() async {
    let outcome = await steps.run { [self] () -> Result<Void, ViewStoreError> in
      let before = book.table
      do throws(ViewStoreError) {
        try await book.refresh()
        try await follow(from: before)
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    if case .failure(.unusable(_, let detail))? = outcome { return refusal.note(detail) }
    if case .failure(let error)? = outcome { logger.warning("\(error)") }
  }

  /// Tries until the place where generations are kept answers, or the task is cancelled.
  static func untilAvailable(
    _ logger: Logger, _ body: () async throws(ViewStoreError) -> Void
  ) async throws(ViewStoreError) {
    while true {
      do throws(ViewStoreError) { return try await body() } catch {
        guard case .unavailable = error, !Task.isCancelled else { throw error }
        logger.info("\(error); it is tried again")
        // Cancelled: the next round's failure is the last.
        try? await Task.sleep(for: .milliseconds(500))
      }
    }
  }

  private func follow(from before: GenerationTable) async throws(ViewStoreError) {
    let after = book.table
    let (kept, stored) = (Set(after.kept.map(\.id)), after.stored)
    for record in before.kept where !kept.contains(record.id) && stored.contains(record.id) {
      logger.notice("\(record.id) counts no further: its view is removed")
      for worker in workers { await worker.forget(record.id) }
    }
    for id in before.stored.subtracting(stored) {
      logger.notice("\(id) ends, with its rows")
      for worker in workers { await worker.remove(id) }
    }
    for record in after.kept {
      guard let known = before[record.id] else {
        logger.notice("\(record.id) begins; it is \(record.state.rawValue)")
        do throws(ComputeError) {
          for worker in workers { try await worker.add(record) }
        } catch {
          throw .failed(error.description)
        }
        if record.state == .building { settle(record.id) }
        continue
      }
      if known.state != record.state {
        logger.notice("\(record.id) was \(known.state.rawValue) and is \(record.state.rawValue)")
      } else if record.state == .building, record.promotes != known.promotes {
        settle(record.id)
      }
    }
    if before.nextPurge != after.nextPurge { schedulePurge() }
  }

  /// A generation may have caught up: if so, it is told, and takes over if it is to.
  func settle(_ id: GenerationID) {
    Task { [weak self] in await self?.settleNow(id) }
  }

  private func settleNow(_ id: GenerationID) async {
    let partitions = ownedPartitions
    guard let record = book.table[id], record.state == .building, !partitions.isEmpty else { return }
    for worker in workers {
      guard await worker.replays.isSettled(id) else { return }
      // It may have begun in some workers only.
      let isThere = await record.to == nil ? worker.hasCaughtUp(id) : worker.hasCompleted(id)
      guard isThere else { return }
    }
    if record.to == nil, let live = book.table.live(id.view) {
      // Not one event less than the live one, or the swap would take results back.
      let target = OffsetVector(
        Dictionary(uniqueKeysWithValues: await progress(of: live.id).map { ($0.partition, $0.nextOffset) }))
      for worker in workers {
        guard await worker.wait(id, for: target, timeout: .seconds(60)) else {
          logger.warning("\(id) does not keep up with the live generation; it is tried again when it is promoted")
          return
        }
      }
    }
    // Handed over meanwhile: their new owner speaks for them.
    let settled = partitions.intersection(ownedPartitions)
    do throws(ViewStoreError) {
      try await change { [self] table throws(ViewStoreError) in
        // Asked within the step: a partition that has come since the first look has yet to speak for itself.
        table.caughtUp(id, settled, of: sharesPartitions ? log.partitionCount : ownedPartitions.count)
      }
    } catch {
      guard case .unavailable = error else { return logger.error("\(id) has caught up, but: \(error)") }
      guard !steps.isStopped else { return }
      logger.warning("\(id) has caught up, but: \(error); it is tried again")
      do { try await Task.sleep(for: .seconds(1)) } catch { return }
      settle(id)
    }
  }

  public nonisolated(nonsending) func apply(_ catalog: ViewCatalog, hold: Bool) async throws(ViewStoreError) -> [AppliedView] {
    let time = now()
    return try await change { table throws(ViewStoreError) in
      var applied: [AppliedView] = []
      for definition in catalog.views { applied.append(try table.apply(definition, hold: hold, at: time)) }
      return applied
    }
  }

  /// The file of views has been read again: what has changed in it since it was last read takes effect.
  public func reload(_ catalog: ViewCatalog, hold: Bool = false) async throws(ViewStoreError) -> [AppliedView] {
    let time = now()
    let loaded = try await change { table throws(ViewStoreError) in try table.load(catalog, hold: hold, at: time) }
    ComputeService.tellRemoved(loaded, logger)
    return loaded
  }

  static func tellRemoved(_ loaded: [AppliedView], _ logger: Logger) {
    for one in loaded where one.action == .removed {
      logger.notice(
        """
        view \(one.view) is in the file of views and stays removed: `penstock view apply` brings it back, as does a change of its \
        definition in the file
        """)
    }
  }

  public nonisolated(nonsending) func promote(_ request: PromoteRequest) async throws(ViewStoreError) -> GenerationStatus {
    let record = try book.table.promotable(request.view, request.generation)
    if let changesMax = request.changesMax, record.state != .live, let live = book.table.live(request.view) {
      guard record.state != .building else { throw PromoteRequest.notCaughtUp(request.view, record.number) }
      try PromoteRequest.check(
        try await pinned(
          PinnedRequest(view: request.view, first: live.number, second: record.number, timeout: request.timeout)),
        changesMax: changesMax)
    }
    let number = try await change { table throws(ViewStoreError) in try table.promote(request.view, record.number) }
    return try await status(request.view, number)
  }

  public nonisolated(nonsending) func rollback(_ view: String) async throws(ViewStoreError) -> GenerationStatus {
    let number = try await change { table throws(ViewStoreError) in try table.rollback(view) }
    return try await status(view, number)
  }

  public nonisolated(nonsending) func drop(_ view: String, generation: Int) async throws(ViewStoreError) -> GenerationStatus {
    _ = try await change { table throws(ViewStoreError) in try table.drop(view, generation) }
    return try await status(view, generation)
  }

  // MARK: replays

  public nonisolated(nonsending) func replay(_ request: ReplayRequest) async throws(ViewStoreError) -> GenerationStatus {
    let plan = try await plan(request)
    let time = now()
    let number = try await change { table throws(ViewStoreError) in
      try table.replay(
        plan.definition, from: plan.from, to: plan.to, times: plan.times, promotes: request.promotes, at: time)
    }
    return try await status(request.view, number)
  }

  public nonisolated(nonsending) func estimate(_ request: ReplayRequest) async throws(ViewStoreError) -> ReplayEstimate {
    let plan = try await plan(request)
    var from = OffsetVector(), to = OffsetVector()
    var events = 0
    var ranges: [(partition: PartitionID, from: Offset, to: Offset)] = []
    for partition in allPartitions.sorted() {
      let bounds = try await bounds(of: partition)
      let first = max(bounds.startOffset, plan.from[partition] ?? bounds.startOffset)
      let end = max(first, min(plan.to.map { $0[partition] ?? first } ?? bounds.highWatermark, bounds.highWatermark))
      from[partition] = first
      to[partition] = end
      events += first.distance(to: end)
      ranges.append((partition, first, end))
    }
    var rate = try await past.rate(plan.definition, plan.times, ranges, time: ComputeService.estimateTime)
    // Each worker has a replay of its own.
    rate = rate.map { $0 * Double(min(workers.count, max(1, ranges.count { $0.from < $0.to }))) }
    return ReplayEstimate(from: from, to: to, events: events, eventsPerSecond: rate)
  }

  /// What a replay is to count.
  private struct ReplayPlan: Sendable {
    var definition: ViewDefinition
    var from = OffsetVector()
    var to: OffsetVector?
    var times = EventTimeBounds.all
  }

  private nonisolated(nonsending) func plan(_ request: ReplayRequest) async throws(ViewStoreError) -> ReplayPlan {
    guard !request.promotes || request.to == nil else {
      throw .refused(
        code: "replay_bounded",
        detail: "a replay that ends counts no more events, so it cannot be promoted: leave out 'to' or 'promote'")
    }
    let live = try book.table.find(request.view, nil)
    var plan = ReplayPlan(definition: live.definition)
    if let lateness = request.allowedLateness { plan.definition = plan.definition.with(allowedLateness: lateness) }
    if case .time(let time) = request.from { plan.times.from = time.nanoseconds }
    if case .time(let time)? = request.to { plan.times.to = time.nanoseconds }
    if request.to != nil { plan.to = OffsetVector() }
    for partition in allPartitions.sorted() {
      let bounds = try await bounds(of: partition)
      let first = try await firstOffset(request.from, partition, bounds)
      if first != bounds.startOffset || request.from != .earliest { plan.from[partition] = first }
      if let end = request.to { plan.to?[partition] = max(first, try endOffset(end, partition, bounds, first: first)) }
    }
    return plan
  }

  /// Where a replay begins to read: no event that it is to count lies before.
  private nonisolated(nonsending) func firstOffset(
    _ bound: ReplayBound, _ partition: PartitionID, _ bounds: PartitionBounds
  ) async throws(ViewStoreError) -> Offset {
    switch bound {
    case .earliest: return bounds.startOffset
    case .offsets(let offsets):
      guard let offset = offsets[partition] else { return bounds.startOffset }
      return try within(offset, partition, bounds)
    case .time(let time):
      do throws(LogError) {
        let found = try await log.firstOffset(of: partition, atOrAfter: time) ?? bounds.highWatermark
        return min(max(found, bounds.startOffset), bounds.highWatermark)
      } catch {
        throw .failed(error.description)
      }
    }
  }

  /// Where a replay with an end stops reading. Events of any time lie anywhere, so one that ends at a time reads all there is now.
  private func endOffset(
    _ bound: ReplayBound, _ partition: PartitionID, _ bounds: PartitionBounds, first: Offset
  ) throws(ViewStoreError) -> Offset {
    switch bound {
    case .earliest: return first
    case .offsets(let offsets):
      guard let offset = offsets[partition] else { return first }
      return try within(offset, partition, bounds)
    case .time: return bounds.highWatermark
    }
  }

  private func within(
    _ offset: Offset, _ partition: PartitionID, _ bounds: PartitionBounds
  ) throws(ViewStoreError) -> Offset {
    guard offset >= bounds.startOffset else {
      throw PastReader.unreachable(offset, partition, logStart: bounds.startOffset)
    }
    guard offset <= bounds.highWatermark else {
      throw .refused(
        code: "offset_ahead", detail: "partition \(partition) ends at offset \(bounds.highWatermark), before \(offset)")
    }
    return offset
  }

  private nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(ViewStoreError) -> PartitionBounds {
    do throws(LogError) { return try await log.bounds(of: partition) } catch { throw .failed(error.description) }
  }

  // MARK: comparing

  public nonisolated(nonsending) func pinned(_ request: PinnedRequest) async throws(ViewStoreError) -> PinnedResults {
    if let refused { throw refused.error }
    let table = book.table
    let first = try table.find(request.view, request.first)
    let second = try table.find(request.view, request.second)
    let deadline = ContinuousClock.now + request.timeout
    let pair = try await read([first, second], answeredPartitions, .all)
    if pair[0].asOf == pair[1].asOf { return PinnedResults(first: pair[0], second: pair[1]) }
    // One is behind, or has ended: both as they were when that much had been counted.
    var common = OffsetVector()
    for (partition, offset) in pair[0].asOf.offsets { common[partition] = min(offset, pair[1].asOf[partition] ?? offset) }
    let partitions = Set(common.offsets.keys)
    return PinnedResults(
      first: try await read(first, asOf: common, partitions, .all, deadline: deadline),
      second: try await read(second, asOf: common, partitions, .all, deadline: deadline))
  }

  public nonisolated(nonsending) func verify(
    _ view: String, generation: Int?, timeout: Duration
  ) async throws(ViewStoreError) -> VerifyReport {
    if let refused { throw refused.error }
    let record = try book.table.find(view, generation)
    let deadline = ContinuousClock.now + timeout
    let starts = Dictionary(
      uniqueKeysWithValues: await progress(of: record.id).map { ($0.partition, $0.firstOffset) })
    var report = VerifyReport(definition: record.definition, generation: record.number, partitions: [], difference: nil)
    // Partition by partition: each is pinned by itself, and only one is in memory.
    for partition in answeredPartitions.sorted() {
      let kept = try await read([record], [partition], .all)[0]
      guard let end = kept.asOf[partition], let start = starts[partition] else { continue }
      // When parts of rows go depends on other partitions too: those that may have gone are left out on both sides.
      let rows = kept.rows.retained(after: kept.droppedEnd)
      let replayed = try await past.rows(
        record.definition, record.times, partition, from: start, to: end, .all, deadline: deadline
      ).windows(of: record.definition).retained(after: kept.droppedEnd)
      report.partitions.append(
        VerifyReport.Partition(
          partition: partition, offset: end, rows: rows.count, kept: StateHash(rows), replayed: StateHash(replayed)
        ))
      if report.difference == nil {
        report.difference = VerifyReport.Difference(rows, replayed, partition, record.definition.layout)
      }
    }
    return report
  }
}
