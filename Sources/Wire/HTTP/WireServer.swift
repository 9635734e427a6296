import Events
import Logging
import NIOCore
import NIOHTTP1
import Serving
import Synchronization

/// Answers a request to a service of the mesh, once it has come whole.
public typealias WireEndpoint = @Sendable (HTTPRequest) async -> WireResponse

/// The routes of a service of the mesh.
public protocol WireRoutes: Sendable {
  /// Besides what every service answers. An answer is cancelled when the caller leaves or the server drains.
  var table: RouteTable<WireEndpoint> { get }
  var openAPI: [UInt8] { get }
  /// Headers that every answer has besides its own.
  var headers: [(name: String, value: String)] { get }
}

extension WireRoutes {
  public var headers: [(name: String, value: String)] { [] }
}

extension Route where Endpoint == WireEndpoint {
  static func read(_ path: String, _ endpoint: @escaping WireEndpoint) -> Route { .get(path, endpoint, pace: .whileServed) }

  static func ask(_ path: String, bodyBytesMax: Int, _ endpoint: @escaping WireEndpoint) -> Route {
    .post(path, endpoint, bodyBytesMax: bodyBytesMax, pace: .whileServed)
  }
}

/// The HTTP/1.1 server for requests of other services: its sidecar stands before it, so it speaks plain text on loopback.
public final class WireServer: Sendable {
  private let host: String
  private let port: Int
  private let service: HTTPService<WireEndpoint>
  private let listener: HTTPListener
  private let shared: WireShared

  /// - Parameters:
  ///   - name: The service's name, for messages and metrics: `log`, `compute`.
  ///   - host: The address to bind.
  ///   - port: 0 takes a free one.
  ///   - limits: The limits of its connections. Behind a sidecar all come from one address.
  ///   - group: The group whose loops serve the connections; not shut down here.
  ///   - routes: The routes to answer with.
  ///   - probe: Answers `/readyz`, `/health` and `/metrics`.
  ///   - callers: The users of this machine that the routes are for; nil for everybody.
  ///   - logger: Logs failures.
  public init(
    name: String, host: String, port: Int, limits: ServingLimits = ServingLimits(), group: any EventLoopGroup,
    routes: any WireRoutes, probe: ServiceProbe, callers: LocalCallers? = nil, logger: Logger
  ) {
    self.host = host
    self.port = port
    // Callers name the service they ask.
    service = HTTPService(
      name: name, routes: routes.table, limits: limits, rules: HostRules(service: name, listen: host, takesSingleLabels: true),
      probe: probe, description: routes.openAPI)
    listener = HTTPListener(name, group: group, limits: limits)
    shared = WireShared(name, routes, callers, logger)
  }

  /// Accepts connections.
  /// - Returns: The address listened on.
  public func start() async throws -> SocketAddress? {
    let shared = shared
    return try await listener.start(
      service, host: host, port: port,
      options: {
        $0.childChannelOption(
          .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16 << 10, maximum: 512 << 10))
      },
      responder: { channel in WireResponder(shared, remote: channel.remoteAddress, local: channel.localAddress) })
  }

  /// From now on `/readyz` answers no.
  public func drain() { service.drain() }

  /// Ends the open connections within a second, and goes on accepting: callers that are still allowed connect again.
  public func renewConnections() async { await listener.renewConnections(grace: .milliseconds(300)) }

  /// Stops accepting, ends the waits, lets other requests under way end, closes the connections.
  /// - Parameter timeout: The time after which connections are cut.
  public func shutDown(timeout: Duration = .seconds(10)) async {
    drain()
    await listener.shutDown(timeout: timeout)
  }
}

private final class WireShared: Sendable {
  let name: String
  let headers: [(name: String, value: String)]
  let callers: LocalCallers?
  let logger: Logger
  let metrics: WireServerMetrics
  let threads: AnswerThreads

  init(_ name: String, _ routes: any WireRoutes, _ callers: LocalCallers?, _ logger: Logger) {
    self.name = name
    headers = [(WireVersion.header, String(WireVersion.current))] + routes.headers
    self.callers = callers
    self.logger = logger
    metrics = WireServerMetrics(service: name)
    threads = AnswerThreads(label: "penstock.\(name).answer")
  }
}

/// Answers the requests of one connection: those of this version, of a user whom they are for.
private final class WireResponder: HTTPResponder {
  /// The user that opened the connection.
  private final class Caller: Sendable {
    private let remote: SocketAddress?
    private let local: SocketAddress?
    /// Nil before it was asked.
    private let known = Mutex<Bool?>(nil)

    init(_ remote: SocketAddress?, _ local: SocketAddress?) {
      self.remote = remote
      self.local = local
    }

    func isAdmitted(by callers: LocalCallers?) async -> Bool {
      guard let callers else { return true }
      if let known = known.withLock({ $0 }) { return known }
      guard let remote, let local else { return false }
      let admits = callers.admits(await SocketOwner.user(of: remote, connectedTo: local))
      known.withLock { $0 = admits }
      return admits
    }
  }

  private let shared: WireShared
  private let caller: Caller

  init(_ shared: WireShared, remote: SocketAddress?, local: SocketAddress?) {
    self.shared = shared
    caller = Caller(remote, local)
  }

  var headers: [(name: String, value: String)] { shared.headers }

  func admit(_ request: HTTPRequest, _ route: Route<WireEndpoint>) throws(HTTPProblem) {
    // People ask without a version and are answered; a service with another version is not.
    guard let version = request.headers.first(name: WireVersion.header), version != String(WireVersion.current) else { return }
    throw HTTPProblem(
      status: 426, code: "wire_version",
      detail: "this is wire version \(WireVersion.current), not \(version.prefix(16)): run the same version of all services")
  }

  func answer(_ request: HTTPRequest, _ endpoint: @escaping WireEndpoint, _ reply: HTTPReply) {
    reply.send(on: shared.threads) { [shared, caller] in
      guard await caller.isAdmitted(by: shared.callers) else {
        return HTTPAnswer(
          HTTPProblem(
            status: 403, code: "forbidden",
            detail:
              "\(shared.name) answers its sidecar's user on this machine, nobody else (mesh.sidecar_user); others come through the mesh"
          ))
      }
      return HTTPAnswer(await endpoint(request))
    }
  }

  func answered(_ answer: AnsweredRequest) {
    let request = answer.request
    shared.metrics.answered(request.method.rawValue, answer.status, received: answer.receivedBytes, after: answer.duration)
    guard answer.status >= 500 else { return }
    shared.logger.debug(
      "answering \(answer.status) to \(request.method) \(request.path.prefix(200))", metadata: ["request": "\(request.id)"])
  }
}

extension HTTPAnswer {
  fileprivate init(_ response: WireResponse) {
    self.init(response.status, response.contentType, response.body)
    headers = response.headers.map { ($0.key, $0.value) }
  }
}
