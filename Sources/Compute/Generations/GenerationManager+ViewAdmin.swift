import Events
import Views

extension GenerationManager: ViewAdmin {
  public nonisolated(nonsending) func generations(of view: String) async throws(ViewStoreError) -> [GenerationStatus] {
    try refusal.checkLog()
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
    status.partitions = await partitions.progress(of: record.id)
    for worker in partitions.workers {
      if let rate = await worker.replays.rate(of: record.id) { status.eventsPerSecond = (status.eventsPerSecond ?? 0) + rate }
      if status.problem == nil { status.problem = await worker.problem(of: record.id) }
      if status.problem == nil { status.problem = await worker.replays.problem(of: record.id) }
    }
    return status
  }

  private func status(_ view: String, _ number: Int) async throws(ViewStoreError) -> GenerationStatus {
    guard let record = table[GenerationID(view: view, number: number)] else {
      throw .unknownGeneration(number, view: view, known: table.of(view).map(\.number))
    }
    return await status(of: record)
  }

  // MARK: changes

  public nonisolated(nonsending) func apply(_ catalog: ViewCatalog, hold: Bool) async throws(ViewStoreError) -> [AppliedView] {
    let time = now()
    return try await change { table throws(ViewStoreError) in
      var applied: [AppliedView] = []
      for definition in catalog.views { applied.append(try table.apply(definition, hold: hold, at: time)) }
      return applied
    }
  }

  /// The file of views has been read again: the changes since the last reading take effect.
  public func reload(_ catalog: ViewCatalog, hold: Bool = false) async throws(ViewStoreError) -> [AppliedView] {
    let time = now()
    let loaded = try await change { table throws(ViewStoreError) in try table.load(catalog, hold: hold, at: time) }
    book.tellRemoved(loaded)
    return loaded
  }

  public nonisolated(nonsending) func promote(_ request: PromoteRequest) async throws(ViewStoreError) -> GenerationStatus {
    let record = try table.promotable(request.view, request.generation)
    if let changesMax = request.changesMax, record.state != .live, let live = table.live(request.view) {
      guard record.state != .building else { throw PromoteRequest.notCaughtUp(request.view, record.number) }
      try PromoteRequest.check(
        try await reads.pinned(
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

  public nonisolated(nonsending) func remove(_ view: String, purgeAfter: Int64) async throws(ViewStoreError) -> ViewRemoval {
    let time = now()
    let purgeAt = Timestamp(nanoseconds: time.nanoseconds(plus: purgeAfter))
    return try await change { table throws(ViewStoreError) in
      let removed = try table.remove(view, purgeAt: purgeAt, at: time)
      table.purge(at: time)
      return ViewRemoval(
        view: view, generations: removed.records.filter(\.state.isKept).map(\.number), removedAt: removed.at,
        purgeAt: removed.purgeAt,
        isConfigured: table.configured[view] != nil)
    }
  }

  // MARK: replays

  public nonisolated(nonsending) func replay(_ request: ReplayRequest) async throws(ViewStoreError) -> GenerationStatus {
    let plan = try await ReplayPlan(request, of: try table.find(request.view, nil), log)
    let time = now()
    let number = try await change { table throws(ViewStoreError) in
      try table.replay(
        plan.definition, from: plan.from, to: plan.to, times: plan.times, promotes: request.promotes, at: time)
    }
    return try await status(request.view, number)
  }

  public nonisolated(nonsending) func estimate(_ request: ReplayRequest) async throws(ViewStoreError) -> ReplayEstimate {
    let plan = try await ReplayPlan(request, of: try table.find(request.view, nil), log)
    return try await plan.estimate(reads.past, workers: partitions.workers.count)
  }

  // MARK: comparing

  public nonisolated(nonsending) func pinned(_ request: PinnedRequest) async throws(ViewStoreError) -> PinnedResults {
    try await reads.pinned(request)
  }

  public nonisolated(nonsending) func verify(
    _ view: String, generation: Int?, timeout: Duration
  ) async throws(ViewStoreError) -> VerifyReport {
    try await reads.verify(view, generation: generation, timeout: timeout)
  }
}
