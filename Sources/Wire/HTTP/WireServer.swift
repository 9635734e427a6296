import Events
import Logging
import NIOCore
import NIOHTTP1
import Serving
import Synchronization

/// What a service of the mesh answers with. A route is asked once its request has come whole, and within the server's bounds.
public protocol WireRoutes: Sendable {
  /// Answers a request; cancelled when the caller leaves or the server drains.
  func answer(_ request: WireRequest) async -> WireResponse
  /// The longest body a request may have. One that takes none is still read, up to `WireServer.strayBodyBytesMax`: its sender is told what
  /// is really wrong.
  func bodyBytesMax(_ method: HTTPMethod, _ path: Substring) -> Int
  /// `GET /openapi.json`.
  var openAPI: [UInt8] { get }
}

/// The HTTP/1.1 server of a service that other services ask: its sidecar stands before it, so it speaks plain text on loopback.
///
/// Bounds: those of `ServingLimits`, one request at a time on each connection, `bodyBytesMax` bytes of request bodies held at once.
public final class WireServer: Sendable {
  public static let bodyBytesMax = 256 << 20
  /// Of a request that should have none.
  public static let strayBodyBytesMax = 64 << 10

  private let host: String
  private let port: Int
  private let shared: WireServerShared
  private let limits: ServingLimits
  private let listener: HTTPListener

  /// - Parameters:
  ///   - name: The service's, for messages and metrics: `log`, `compute`.
  ///   - host: The address to bind.
  ///   - port: 0 takes a free one.
  ///   - limits: Of its connections. Behind a sidecar all come from one address.
  ///   - group: Whose loops serve the connections; not shut down here.
  ///   - routes: What answers.
  ///   - probe: What `/readyz`, `/health` and `/metrics` answer.
  ///   - callers: Whom the routes are for, of this machine's users; nil asks nobody.
  ///   - logger: Told of what fails.
  public init(
    name: String, host: String, port: Int, limits: ServingLimits = ServingLimits(), group: any EventLoopGroup,
    routes: any WireRoutes, probe: ServiceProbe, callers: LocalCallers? = nil, logger: Logger
  ) {
    self.host = host
    self.port = port
    self.limits = limits
    listener = HTTPListener(group: group, limits: limits)
    shared = WireServerShared(name: name, routes: routes, probe: probe, callers: callers, logger: logger)
  }

  /// Accepts connections.
  /// - Returns: The address listened on.
  public func start() async throws -> SocketAddress? {
    let (shared, limits) = (shared, limits)
    // Callers name the service they ask.
    let rules = HostRules(service: shared.name, listen: host, takesSingleLabels: true)
    return try await listener.start(
      host: host, port: port,
      options: {
        $0.childChannelOption(
          .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16 << 10, maximum: 512 << 10))
      },
      initialise: { channel, place in
        let operations = channel.pipeline.syncOperations
        try operations.configureHTTPServerPipeline()
        try operations.addHandlers([HTTPConnectionGuard(limits, rules, place), WireServerHandler(shared)])
      })
  }

  /// From now on `/readyz` says no.
  public func drain() { shared.drain() }

  /// Ends the connections that are open within a second, and goes on accepting: callers come again, if they may.
  public func renewConnections() async { await listener.renewConnections(grace: .milliseconds(300)) }

  /// Stops accepting, ends the waits, lets other requests under way end, closes the connections.
  /// - Parameter timeout: After which connections are cut.
  public func shutDown(timeout: Duration = .seconds(10)) async {
    drain()
    await listener.shutDown(timeout: timeout)
  }
}

/// What all connections of a server have in common.
final class WireServerShared: Sendable {
  let name: String
  let routes: any WireRoutes
  let probe: ServiceProbe
  let callers: LocalCallers?
  let logger: Logger
  let metrics: WireServerMetrics
  let threads: AnswerThreads
  private let bodyBytes = Atomic<Int>(0)
  private let draining = Atomic<Bool>(false)

  init(name: String, routes: any WireRoutes, probe: ServiceProbe, callers: LocalCallers?, logger: Logger) {
    self.callers = callers
    self.name = name
    self.routes = routes
    self.probe = probe
    self.logger = logger
    metrics = WireServerMetrics(service: name)
    threads = AnswerThreads(label: "penstock.\(name).answer")
  }

  var isDraining: Bool { draining.load(ordering: .acquiring) }

  func drain() { draining.store(true, ordering: .releasing) }

  /// Takes room for a body; false when there is none.
  func reserve(_ bytes: Int) -> Bool {
    let total = bodyBytes.add(bytes, ordering: .relaxed).newValue
    if total <= WireServer.bodyBytesMax { return true }
    bodyBytes.subtract(bytes, ordering: .relaxed)
    return false
  }

  func release(_ bytes: Int) { if bytes > 0 { bodyBytes.subtract(bytes, ordering: .relaxed) } }
}
