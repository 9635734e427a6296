import Events
import NIOCore
import NIOHTTP1
import Synchronization

/// A service, for all of its connections: its routes, who may ask for them, and the operations routes that every
/// service has.
public final class HTTPService<Endpoint: Sendable>: Sendable {
  /// The service's name in settings, messages and metrics: `query`.
  public let name: String
  public let routes: RouteTable<Endpoint>
  public let limits: ServingLimits
  /// The hosts that requests may be for, and the origins of pages that may send.
  public let rules: HostRules
  public let gate: AccessGate
  public let probe: ServiceProbe
  private let description: [UInt8]
  private let hint: String
  private let tooLargeCode: String
  private let heldBytes = Atomic<Int>(0)
  private let draining = Atomic<Bool>(false)
  private let date = Mutex(DateText())

  /// - Parameters:
  ///   - name: The service's name in settings, messages and metrics.
  ///   - routes: The routes besides those that every service has.
  ///   - limits: The limits of its connections.
  ///   - rules: The hosts that requests may be for, and the origins of pages that may send.
  ///   - gate: Identifies the holders of tokens.
  ///   - probe: Answers `/readyz`, `/health` and `/metrics`.
  ///   - description: The answer to `GET /openapi.json`.
  ///   - hint: The hint in a 404 on where to look.
  ///   - tooLargeCode: The code of a 413.
  public init(
    name: String, routes: RouteTable<Endpoint>, limits: ServingLimits = ServingLimits(), rules: HostRules,
    gate: AccessGate = .open,
    probe: ServiceProbe, description: [UInt8], hint: String = "GET /openapi.json lists what there is",
    tooLargeCode: String = "too_large"
  ) {
    self.name = name
    self.routes = routes
    self.limits = limits
    self.rules = rules
    self.gate = gate
    self.probe = probe
    self.description = description
    self.hint = hint
    self.tooLargeCode = tooLargeCode
  }

  /// From now on `/readyz` answers no.
  public func drain() { draining.store(true, ordering: .releasing) }
  public var isDraining: Bool { draining.load(ordering: .acquiring) }

  // MARK: admission

  /// Finds a request's route, and checks that its sender may use it: before the body comes, and before anything is done for it.
  /// - Parameters:
  ///   - request: Gets its parameters and its caller.
  ///   - match: The request's path in `routes`.
  /// - Throws: 404, 405, and the problems of `AccessGate`.
  public func admit(_ request: inout HTTPRequest, _ match: RouteTable<Endpoint>.Match?) throws(HTTPProblem) -> Route<Endpoint> {
    guard let match, let parameters = decoded(match.parameters) else {
      throw HTTPProblem(
        status: 404, code: "not_found", detail: "there is nothing at \(request.path.prefix(200)); \(hint)")
    }
    let path = routes.paths[match.index]
    guard let route = path.route(request.method) else {
      throw HTTPProblem(
        status: 405, code: "method_not_allowed",
        detail: "\(request.path.prefix(200)) takes \(path.allow), not \(request.method.rawValue.prefix(32))",
        headers: ["Allow": path.allow])
    }
    request.parameters = parameters
    guard let scope = route.scope, !gate.isOpen else { return route }
    do throws(AccessDenial) {
      request.caller = try gate.admit(authorization: request.headers["Authorization"], for: scope)
      return route
    } catch {
      throw error.problem
    }
  }

  private func decoded(_ parameters: [Substring]) -> [String]? {
    var all: [String] = []
    for parameter in parameters {
      guard let text = PercentText.decode(parameter) else { return nil }
      all.append(text)
    }
    return all
  }

  /// The access to check again during a long answer; nil where there is none.
  func standing(_ request: HTTPRequest, _ route: Route<Endpoint>) -> StandingAccess? {
    guard let scope = route.scope else { return nil }
    return StandingAccess(gate, request.caller, authorization: request.headers["Authorization"], scope: scope)
  }

  /// Counts received bytes of a body.
  /// - Throws: 503 where the bodies of all requests together would be too long.
  func hold(_ bytes: Int) throws(HTTPProblem) {
    guard heldBytes.add(bytes, ordering: .relaxed).newValue > limits.bodiesBytesMax else { return }
    heldBytes.subtract(bytes, ordering: .relaxed)
    throw overloaded
  }

  /// Checks whether there is room for a body now; it takes none before it comes.
  func checkRoom(_ bytes: Int) throws(HTTPProblem) {
    guard heldBytes.load(ordering: .relaxed) + bytes <= limits.bodiesBytesMax else { throw overloaded }
  }

  private var overloaded: HTTPProblem {
    HTTPProblem(
      status: 503, code: "overloaded", detail: "\(limits.bodiesBytesMax) bytes of requests are being answered; try again",
      headers: ["Retry-After": "1"])
  }

  func letGo(_ bytes: Int) { if bytes > 0 { heldBytes.subtract(bytes, ordering: .relaxed) } }

  func tooLarge(_ bytesMax: Int) -> HTTPProblem {
    HTTPProblem(status: 413, code: tooLargeCode, detail: "a body has \(bytesMax) bytes at most here")
  }

  var now: String { date.withLock { $0.text(at: Timestamp.systemNow()) } }

  // MARK: operations

  public func answer(_ operation: ServiceOperation) async -> HTTPAnswer {
    switch operation {
    case .alive: return alive
    case .description: return HTTPAnswer(200, "application/json", description)
    case .metrics: return HTTPAnswer(200, "text/plain; version=0.0.4; charset=utf-8", ByteBuffer(string: probe.metrics()))
    case .ready, .health:
      var readiness = await probe.readiness()
      if isDraining { readiness.checks.append((name, "shutting down")) }
      return HTTPAnswer(readiness.isReady ? 200 : 503, readiness.json)
    }
  }

  /// The process is alive while its loops turn, whatever else it does.
  var alive: HTTPAnswer { HTTPAnswer(200, "application/json", ByteBuffer(string: #"{"status":"alive"}"#)) }
}
