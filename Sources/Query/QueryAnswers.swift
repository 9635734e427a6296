import Events
import Logging
import Resources
import Serving
import Synchronization
import Views

/// Answers requests; knows nothing of connections.
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
  private let rejects: RejectAnswers
  private let admin: AdminAnswers
  private let probe: ServiceProbe
  private let instances: @Sendable () async -> ServiceInstances
  private let gate: AccessGate
  private let counters = QueryCounters()
  private let logger: Logger
  private let draining = Atomic<Bool>(false)

  /// By it is judged which partitions are idle: a moment's jump of the system's clock must not make rows final.
  static func settledNow() -> @Sendable () -> Timestamp {
    let clock = SettledClock()
    return { clock.now() }
  }

  init(
    configuration: QueryConfiguration, store: any ViewStore, admin: (any ViewAdmin)? = nil, log: any EventLog,
    probe: ServiceProbe, logger: Logger, late: (any LateEventStore)? = nil, adHoc: (any AdHocStore)? = nil,
    reports: (any IngestReports)? = nil,
    instances: @escaping @Sendable () async -> ServiceInstances = { ServiceInstances() }, gate: AccessGate = .open,
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
    overview = OverviewAnswers(store: store, admin: admin, log: log, probe: probe, reports: reports, now: now)
    self.rejects = RejectAnswers(reports: reports)
    self.admin = AdminAnswers(admin: admin, rowsMax: configuration.rowsMax)
    self.probe = probe
    self.instances = instances
    self.gate = gate
    self.logger = logger
  }

  /// From now on `/readyz` says no, and streams end.
  func drain() {
    draining.store(true, ordering: .relaxed)
    streams.drain.set()
  }

  /// - Parameter match: What the request's path stands for.
  func answer(_ request: QueryRequest, _ match: RouteMatch) async -> Answer {
    await RequestID.$current.withValue(request.id) { await answerCounted(request, match) }
  }

  /// As `answer`, where that takes no waiting for anything; may be called on an event loop.
  func answerAtOnce(_ request: QueryRequest, _ match: RouteMatch) -> Answer? {
    // Whatever else the process does: it is alive while its loops turn.
    if match.route == .alive, match.route.allows(request.method) {
      counters.answered(.alive, 200, after: .zero)
      return QueryAnswers.alive
    }
    guard match.route == .view, request.method != .DELETE, match.route.allows(request.method),
      let plan = views.plans.pointPlan(request.query)
    else {
      return nil
    }
    let start = ContinuousClock.now
    let found: Answer?
    do throws(QueryFailure) {
      try admit(request, match.route)
      found = try views.rowsAtOnce(try match.parameter(), plan, accept: request.accept)
    } catch {
      found = answer(error, to: request, match)
    }
    guard let found else { return nil }
    counters.answered(match.route, found.status, after: ContinuousClock.now - start)
    return found
  }

  private func answerCounted(_ request: QueryRequest, _ match: RouteMatch) async -> Answer {
    let start = ContinuousClock.now
    var answer: Answer
    do throws(QueryFailure) {
      guard match.route != .unknown else { throw QueryFailure.notFound(String(request.path)) }
      guard match.route.allows(request.method) else {
        throw QueryFailure(
          405, "method_not_allowed",
          "\(request.path.prefix(200)) takes \(match.route.allow), not \(request.method.rawValue.prefix(32))",
          headers: ["Allow": match.route.allow])
      }
      let access = try admit(request, match.route)
      answer = try await self.route(request, match)
      answer.access = access
    } catch {
      answer = self.answer(error, to: request, match)
    }
    counters.answered(match.route, answer.status, after: ContinuousClock.now - start)
    return answer
  }

  private func answer(_ failure: QueryFailure, to request: QueryRequest, _ match: RouteMatch) -> Answer {
    let problem = failure.problem
    if problem.status >= 500 {
      // What is missing or late is its owner's to log; what is broken is found here.
      logger.log(
        level: problem.status == 500 ? .error : .debug,
        "answering \(problem.status) \(problem.code) to \(match.route.rawValue): \(problem.detail)",
        metadata: ["request": "\(request.id)"])
    }
    var failure = failure
    failure.extra["request_id"] = .string(request.id.description)
    return Answer(failure)
  }

  /// Every request but those for what anybody may see passes here, before anything is done for it.
  /// - Returns: What a long answer has to ask again; nil where nobody is asked.
  @discardableResult
  private func admit(_ request: QueryRequest, _ route: Route) throws(QueryFailure) -> StandingAccess? {
    guard let scope = route.scope(request.method) else { return nil }
    do throws(AccessDenial) {
      let authorization = request.headers["Authorization"]
      let caller = try gate.admit(authorization: authorization, for: scope)
      let access = StandingAccess(gate, caller, authorization: authorization, scope: scope)
      guard let caller, scope == .admin else { return access }
      logger.notice(
        "\(request.method.rawValue) \(request.path.prefix(200)) by \(caller.subject)", metadata: ["request": "\(request.id)"])
      return access
    } catch {
      throw QueryFailure(error.problem)
    }
  }

  private func route(_ request: QueryRequest, _ match: RouteMatch) async throws(QueryFailure) -> Answer {
    switch match.route {
    case .view where request.method == .DELETE: return try await admin.answer(request, match)
    case .view: return try await views.rows(try match.parameter(), request.query, accept: request.accept)
    case .views: return try await views.list(request.query, accept: request.accept)
    case .live: return try await live.answer(try match.parameter(), request)
    case .aggregate: return try await aggregates.answer(request)
    case .late: return try await late.answer(try match.parameter(), request.query, accept: request.accept)
    case .sql: return try await sql.answer(request)
    case .ledger: return try await ledger.answer(request.query)
    case .apply, .generations, .generation, .replays, .replay, .promote, .rollback, .diff, .verify:
      return try await admin.answer(request, match)
    case .rejects: return try await rejects.answer(request.query)
    case .events: return try await events.answer(request.query, accept: request.accept)
    case .alive: return QueryAnswers.alive
    case .ready, .health: return await readiness()
    case .metrics: return Answer(200, "text/plain; version=0.0.4; charset=utf-8", Array(probe.metrics().utf8))
    case .openAPI: return Answer(200, "application/json", EmbeddedFile.queryOpenAPI.bytes)
    case .root: return ConsoleAnswers.page(request.headers)
    case .consoleFile: return try ConsoleAnswers.part(try match.parameter(), request.headers)
    case .mesh: return Answer(200, await instances().json)
    case .overview: return Answer(200, try await overview.json())
    case .liveOverview: return try await overview.live(try streams.open()) { [self] in draining.load(ordering: .relaxed) }
    case .unknown: throw .notFound("this path")
    }
  }

  private static let alive = Answer(200, "application/json", Array(#"{"status":"alive"}"#.utf8))

  private func readiness() async -> Answer {
    var readiness = await probe.readiness()
    if draining.load(ordering: .relaxed) { readiness.checks.append(("query", "shutting down")) }
    var bytes: [UInt8] = []
    readiness.json.write(to: &bytes)
    return Answer(readiness.isReady ? 200 : 503, "application/json", bytes)
  }
}
