import Events
import HTTPTypes
import Logging
import Synchronization
import Views

/// Answers requests; knows nothing of connections.
final class QueryAnswers: Sendable {
  private let views: ViewAnswers
  private let events: EventAnswers
  private let probe: ServiceProbe
  private let counters = QueryCounters()
  private let logger: Logger
  private let draining = Atomic<Bool>(false)

  init(
    configuration: QueryConfiguration, store: any ViewStore, log: any EventLog, probe: ServiceProbe, logger: Logger,
    now: @escaping @Sendable () -> Timestamp = { Timestamp.systemNow() }
  ) {
    views = ViewAnswers(
      store: store, partitionCount: log.partitionCount, rowsMax: configuration.rowsMax,
      idleAfter: configuration.partitionIdleAfter, now: now)
    events = EventAnswers(
      log: log, rowsMax: configuration.rowsMax, scanBytesMax: configuration.eventsScanBytesMax,
      answerBytesMax: configuration.eventsAnswerBytesMax)
    self.probe = probe
    self.logger = logger
  }

  /// From now on `/readyz` says no.
  func drain() { draining.store(true, ordering: .relaxed) }

  /// - Parameters:
  ///   - target: Path and query as the request line has them.
  ///   - accept: The `Accept` header.
  func answer(_ method: HTTPRequest.Method, _ target: String, accept: String?) async -> Answer {
    let start = ContinuousClock.now
    let end = target.utf8.firstIndex { $0 == 0x3F || $0 == 0x23 } ?? target.utf8.endIndex
    let path = target[..<end]
    var query = end == target.utf8.endIndex ? target[end...] : target[target.utf8.index(after: end)...]
    if end < target.utf8.endIndex, target.utf8[end] == 0x23 { query = "" }
    let (route, view) = Route.find(path)
    var answer: Answer
    do throws(QueryFailure) {
      guard route != .unknown else { throw QueryFailure.notFound(String(path)) }
      guard method == .get || method == .head else {
        throw QueryFailure(
          405, "method_not_allowed", "\(path) takes GET, not \(method.rawValue.prefix(32))", headers: ["Allow": "GET, HEAD"])
      }
      answer = try await self.answer(route, view, query, accept)
    } catch {
      if error.problem.status >= 500 {
        // What is missing or late is its owner's to log; what is broken is found here.
        logger.log(
          level: error.problem.status == 500 ? .error : .debug,
          "answering \(error.problem.status) \(error.problem.code) to \(route.rawValue): \(error.problem.detail)")
      }
      answer = Answer(error)
    }
    counters.answered(route, answer.status, after: ContinuousClock.now - start)
    return answer
  }

  private func answer(
    _ route: Route, _ view: Substring, _ query: Substring, _ accept: String?
  ) async throws(QueryFailure) -> Answer {
    switch route {
    case .view:
      guard let name = PercentText.decode(view.utf8, plusIsSpace: false) else { throw .notFound("/v1/views/\(view)") }
      return try await views.rows(name, query, accept: accept)
    case .views: return try await views.list(query)
    case .events: return try await events.answer(query, accept: accept)
    case .alive: return Answer(200, "application/json", Array(#"{"status":"alive"}"#.utf8))
    case .ready, .health: return await readiness()
    case .metrics: return Answer(200, "text/plain; version=0.0.4; charset=utf-8", Array(probe.metrics().utf8))
    case .openAPI: return Answer(200, "application/json", Array(QueryOpenAPI.document.utf8))
    case .root: return Answer(200, "application/json", QueryAnswers.index)
    case .unknown: throw .notFound("this path")
    }
  }

  private func readiness() async -> Answer {
    var readiness = await probe.readiness()
    if draining.load(ordering: .relaxed) { readiness.checks.append(("query", "shutting down")) }
    var bytes: [UInt8] = []
    readiness.json.write(to: &bytes)
    return Answer(readiness.isReady ? 200 : 503, "application/json", bytes)
  }

  private static let index: [UInt8] = {
    let paths = Route.allCases.filter { $0 != .unknown && $0 != .root }.map { JSONValue.string($0.rawValue) }
    let json: JSONValue = [
      "service": .string("penstock query"), "about": .string("results of views and raw events, over HTTP"),
      "endpoints": .array(paths),
    ]
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    return bytes
  }()
}
