import Events
import Logging
import Serving
import Views

/// Answers requests, independent of connections.
final class QueryAnswers: Sendable {
  private let views: ViewAnswers
  private let live: LiveAnswers
  private let late: LateAnswers
  private let streams: LiveStreams
  private let sql: SQLAnswers
  private let aggregates: AggregateAnswers
  private let ledger: LedgerAnswers
  private let events: EventAnswers
  private let overview: OverviewAnswers
  private let sources: SourceAnswers
  private let rejects: RejectAnswers
  private let admin: AdminAnswers
  private let instances: @Sendable () async -> ServiceInstances

  /// The clock that decides which partitions are idle: a moment's jump of the system's clock must not make rows final.
  static func settledNow() -> @Sendable () -> Timestamp {
    let clock = SettledClock()
    return { clock.now() }
  }

  init(
    configuration: QueryConfiguration, store: any ViewStore, admin: (any ViewAdmin)? = nil, log: any EventLog,
    probe: ServiceProbe, logger: Logger, late: (any LateEventStore)? = nil, adHoc: (any AdHocStore)? = nil,
    sources: (any SourceStore)? = nil, reports: (any IngestReports)? = nil,
    instances: @escaping @Sendable () async -> ServiceInstances = { ServiceInstances() },
    now: @escaping @Sendable () -> Timestamp = QueryAnswers.settledNow()
  ) {
    let source = ViewSource(store: store, idleAfter: configuration.partitionIdleAfter, now: now)
    views = ViewAnswers(
      source: source, partitionCount: log.partitionCount, rowsMax: configuration.rowsMax,
      pins: KeptResults(bytesMax: configuration.pinnedBytesMax, lifetime: configuration.pinnedLifetime),
      exports: ExportSlots(exportsMax: configuration.exportsMax), exportTimeMax: configuration.exportTimeMax, logger: logger,
      now: now)
    streams = LiveStreams(
      streamsMax: configuration.streamsMax, streamBytesMax: configuration.streamBytesMax, bytesMax: configuration.streamsBytesMax)
    live = LiveAnswers(source: source, log: log, streams: streams, rowsMax: configuration.streamRowsMax)
    self.late = LateAnswers(store: late, log: log)
    aggregates = AggregateAnswers(store: adHoc, source: source, rowsMax: configuration.aggregateRowsMax)
    sql = SQLAnswers(
      views: source, rowsMax: configuration.rowsMax, limits: configuration.sql,
      threads: BoundedThreads(
        label: "penstock.query.sql", threads: configuration.sqlThreads, waitingMax: configuration.sqlThreads * 16,
        report: { report in
          switch report {
          case .abandoned(let count):
            logger.warning(
              "SQL: a statement does not end by its timeout; it was answered 504 and runs on by itself, as \(count) do now")
          case .ended: logger.notice("SQL: a statement that was answered 504 has ended")
          }
        }))
    ledger = LedgerAnswers(source: source, log: log, reports: reports)
    events = EventAnswers(
      log: log, rowsMax: configuration.rowsMax, scanBytesMax: configuration.eventsScanBytesMax,
      answerBytesMax: configuration.eventsAnswerBytesMax)
    overview = OverviewAnswers(
      store: store, admin: admin, log: log, probe: probe, reports: reports, ahead: sources.map { AheadSources($0) }, now: now)
    self.sources = SourceAnswers(store: sources, partitionCount: log.partitionCount, now: now)
    self.rejects = RejectAnswers(reports: reports)
    self.admin = AdminAnswers(admin: admin, rowsMax: configuration.rowsMax)
    self.instances = instances
  }

  /// From now on streams end.
  func drain() { streams.drain.set() }

  func answer(_ request: HTTPRequest, _ endpoint: QueryEndpoint) async -> HTTPAnswer {
    do throws(QueryFailure) { return try await route(request, endpoint) } catch { return HTTPAnswer(error) }
  }

  /// The answer of `answer`, if that takes no waiting; may be called on an event loop.
  func answerAtOnce(_ request: HTTPRequest, _ endpoint: QueryEndpoint) -> HTTPAnswer? {
    guard case .rows = endpoint, let plan = views.plans.pointPlan(request.query) else { return nil }
    do throws(QueryFailure) {
      return try views.rowsAtOnce(request.parameters[0], plan, accept: request.accept)
    } catch {
      return HTTPAnswer(error)
    }
  }

  private func route(_ request: HTTPRequest, _ endpoint: QueryEndpoint) async throws(QueryFailure) -> HTTPAnswer {
    func parameter(_ index: Int = 0) -> String { request.parameters[index] }
    switch endpoint {
    case .rows: return try await views.rows(parameter(), request.query, accept: request.accept)
    case .views: return try await views.list(request.query, accept: request.accept)
    case .live: return try await live.answer(parameter(), request)
    case .late: return try await late.answer(parameter(), request.query, accept: request.accept)
    case .aggregate: return try await aggregates.answer(request)
    case .sql: return try await sql.answer(request)
    case .ledger: return try await ledger.answer(request.query)
    case .sources: return try await sources.answer(request.query, accept: request.accept)
    case .rejects: return try await rejects.answer(request.query)
    case .events: return try await events.answer(request.query, accept: request.accept)
    case .overview: return HTTPAnswer(200, try await overview.json())
    case .liveOverview: return try await overview.live(try streams.open()) { [streams] in streams.drain.isSet }
    case .mesh: return HTTPAnswer(200, await instances().json)
    case .console: return ConsoleAnswers.page(request.headers)
    case .consoleFile: return try ConsoleAnswers.part(parameter(), request.headers)
    case .apply: return try await admin.apply(request)
    case .remove: return try await admin.remove(parameter(), request)
    case .generations: return try await admin.list(parameter(), "generations", request)
    case .generation: return try await admin.generation(parameter(), parameter(1), request)
    case .dropGeneration: return try await admin.drop(parameter(), parameter(1), request)
    case .replays: return try await admin.list(parameter(), "replays", request)
    case .beginReplay: return try await admin.replay(parameter(), request)
    case .promote: return try await admin.promote(parameter(), request)
    case .rollback: return try await admin.rollback(parameter(), request)
    case .diff: return try await admin.diff(parameter(), request)
    case .verify: return try await admin.verify(parameter(), request)
    }
  }
}
