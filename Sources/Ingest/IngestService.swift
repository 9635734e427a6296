import Events
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Serving
import Synchronization
import WebSocket

#if os(Linux)
  import Sockets
#endif

/// Takes events from devices over WebSocket and HTTP, and gives them to the log.
public final class IngestService: Sendable {
  /// The most bytes one event loop gives to one partition before the first of them is synced: batches are of about 1 MiB of text, and what
  /// was read already is still taken when reading stops.
  public static let pendingBytesPerLoopMax = (IngestPipeline.batchesWaitingMax + 2) << 20

  private let configuration: IngestConfiguration
  private let group: any EventLoopGroup
  private let loops: [ObjectIdentifier: NIOLoopBoundBox<IngestLoop>]
  private let counters: IngestCounters
  private let log: any EventLog
  private let probe: ServiceProbe
  private let gate: AccessGate
  private let limits: DeviceLimits
  private let secure: (@Sendable (any Channel) throws -> Void)?
  private let logger: Logger
  private let listener = Mutex<Listener?>(nil)
  private let connections: ConnectionTable
  private let observation = Mutex<AccessObservation?>(nil)

  private enum Listener: Sendable {
    case channel(any Channel)
    #if os(Linux)
      case reactors(ReactorServer)
    #endif
  }

  /// - Parameters:
  ///   - configuration: Within its bounds.
  ///   - log: What takes the events.
  ///   - gate: Tells who sends.
  ///   - secure: Puts TLS first in a new connection's pipeline; nil for plain text.
  ///   - group: Whose loops serve what the reactors do not; not shut down here.
  ///   - probe: What `/readyz`, `/health` and `/metrics` answer.
  ///   - logger: Told of what fails.
  ///   - totals: Counts what comes, for all who want to know.
  ///   - rejects: Keeps the last rejects.
  ///   - suspects: Keeps the sources whose duplicates may be none.
  public init(
    configuration: IngestConfiguration, log: any EventLog, gate: AccessGate = .open,
    secure: (@Sendable (any Channel) throws -> Void)? = nil, group: any EventLoopGroup, probe: ServiceProbe, logger: Logger,
    totals: ReceivedEventsCount = ReceivedEventsCount(), rejects: RecentRejects = RecentRejects(),
    suspects: SuspectSources = SuspectSources()
  ) {
    self.gate = gate
    self.secure = secure
    let limits = DeviceLimits(
      connectionsMax: configuration.deviceConnectionsMax, eventsPerSecondMax: configuration.deviceEventsPerSecondMax)
    self.limits = limits
    self.configuration = configuration
    connections = ConnectionTable(configuration.serving)
    self.group = group
    self.log = log
    self.probe = probe
    self.logger = logger
    let counters = IngestCounters(totals: totals, rejects: rejects, suspects: suspects)
    self.counters = counters
    var loops: [ObjectIdentifier: NIOLoopBoundBox<IngestLoop>] = [:]
    for eventLoop in group.makeIterator() {
      loops[ObjectIdentifier(eventLoop)] = NIOLoopBoundBox.makeBoxSendingValue(
        IngestLoop(
          configuration: configuration, log: log, loop: EventLoopThread(eventLoop), counters: counters, probe: probe,
          gate: gate, limits: limits, logger: logger),
        eventLoop: eventLoop)
    }
    self.loops = loops
  }

  /// Accepts connections.
  /// - Returns: The address listened on.
  /// - Throws: `IOError` when the address is not to be had.
  public func start() async throws -> SocketAddress? {
    let address = try await listen()
    observation.withLock { $0 = gate.observe { [weak self] in self?.accessChanged() } }
    return address
  }

  /// Ends the streams whose tokens are good no longer.
  private func accessChanged() {
    for eventLoop in group.makeIterator() {
      guard let loop = loops[ObjectIdentifier(eventLoop)] else { continue }
      eventLoop.execute { loop.value.accessChanged() }
    }
    #if os(Linux)
      if case .reactors(let server)? = listener.withLock({ $0 }) { server.accessChanged() }
    #endif
  }

  private func listen() async throws -> SocketAddress? {
    #if os(Linux)
      // The reactors speak plain text.
      if configuration.reactors > 0, secure == nil { return try await startReactors() }
    #endif
    let bound = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 4096)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelOption(.maxMessagesPerRead, value: IngestService.readsPerTurn)
      .childChannelOption(.recvAllocator, value: IngestService.readAllocator)
      .childChannelInitializer { channel in
        guard let place = self.admit(channel.remoteAddress, close: { channel.close(promise: nil) }) else {
          return channel.close()
        }
        channel.closeFuture.whenComplete { _ in self.ended(place) }
        return channel.eventLoop.makeCompletedFuture { try self.initialise(channel, place) }
      }
      .bind(host: configuration.host, port: configuration.port)
      .get()
    listener.withLock { $0 = .channel(bound) }
    return bound.localAddress
  }

  /// One read a turn of the loop: a second would mostly find nothing, and costs as much as the first.
  private static let readsPerTurn: UInt = 1
  private static let readAllocator = AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: 256 * 1024)

  #if os(Linux)
    private func startReactors() async throws -> SocketAddress {
      let server = try ReactorServer(
        configuration, logger: logger,
        makeLoop: { loop in
          IngestLoop(
            configuration: configuration, log: log, loop: loop, counters: counters, probe: probe, gate: gate,
            limits: limits, logger: logger)
        },
        admit: { self.admit($0, close: {}) }, ended: { self.ended($0) }, handOver: { self.serveHTTP($0, $1) })
      do {
        try await server.start()
      } catch {
        await server.stop()
        throw error
      }
      listener.withLock { $0 = .reactors(server) }
      return server.address
    }

    /// Serves a connection that the reactors have no use for.
    private func serveHTTP(_ socket: StreamSocket, _ place: ConnectionPlace) {
      ClientBootstrap(group: group)
        .channelOption(.allowRemoteHalfClosure, value: true)
        .channelOption(.maxMessagesPerRead, value: IngestService.readsPerTurn)
        .channelOption(.recvAllocator, value: IngestService.readAllocator)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try self.initialise(channel, place)
            // It may have had to give way on its way here.
            if !place.attach(close: { channel.close(promise: nil) }) { throw ChannelError.alreadyClosed }
          }
        }
        .withConnectedSocket(socket.descriptor)
        .whenComplete { result in
          switch result {
          case .success(let channel): channel.closeFuture.whenComplete { _ in self.ended(place) }
          case .failure(let error):
            if error as? ChannelError != .alreadyClosed { self.logger.error("dropping a connection: \(error)") }
            self.ended(place)
          }
        }
    }
  #endif

  /// Ends the connections that processes of this machine have open, among them the sidecar's, once what they sent is answered for, and goes
  /// on accepting: whoever may still call comes again. Those that begin meanwhile are ended likewise. Takes some tenths of a second.
  public func renewLocalConnections() async {
    for _ in 0..<2 {
      for eventLoop in group.makeIterator() {
        guard let loop = loops[ObjectIdentifier(eventLoop)] else { continue }
        eventLoop.execute { loop.value.renewLocal() }
      }
      #if os(Linux)
        if case .reactors(let server)? = listener.withLock({ $0 }) { server.renewLocal() }
      #endif
      // Cancelled: the service stops, and its connections with it.
      do { try await Task.sleep(for: .milliseconds(300)) } catch { return }
    }
  }

  /// Stops accepting, answers for what was received, closes the connections.
  /// - Parameter timeout: After which connections are cut.
  public func shutDown(timeout: Duration = .seconds(10)) async {
    observation.withLock { $0 = nil }
    let listener = listener.withLock { $0.take() }
    switch listener {
    case .channel(let channel): channel.close(promise: nil)
    #if os(Linux)
      case .reactors(let server): server.drain()
    #endif
    case nil: break
    }
    for eventLoop in group.makeIterator() {
      guard let loop = loops[ObjectIdentifier(eventLoop)] else { continue }
      eventLoop.execute { loop.value.drain() }
    }
    await connections.waitForNone(timeout: timeout)
    #if os(Linux)
      if case .reactors(let server) = listener { await server.stop() }
    #endif
  }

  private func admit(_ address: SocketAddress?, close: @escaping @Sendable () -> Void) -> ConnectionPlace? {
    let place = connections.enter(PeerAddress(address), close: close)
    counters.connections.record(connections.count)
    return place
  }

  private func ended(_ place: ConnectionPlace) {
    place.leave()
    counters.connections.record(connections.count)
  }

  private func initialise(_ channel: any Channel, _ place: ConnectionPlace) throws {
    guard let loop = loops[ObjectIdentifier(channel.eventLoop)]?.value else {
      preconditionFailure("a channel on a loop that is not of the group")
    }
    let connectionGuard = HTTPConnectionGuard(configuration.serving, loop.rules, place)
    let handler = IngestHTTPHandler(ingest: loop)
    let admission = DeviceAdmission()
    channel.closeFuture.assumeIsolated().whenComplete { _ in admission.leave(loop) }
    let upgrader = WebSocketServerUpgrader(deflate: loop.deflate) { channel, head in
      channel.eventLoop.makeSucceededFuture(StreamAdmission.decide(head, loop, admission))
    } upgradePipelineHandler: { context, agreement, head in
      let session = WebSocketSession(
        ingest: loop, agreement: agreement, sources: StreamAdmission.sources(of: head), admission: admission)
      let operations = context.pipeline.syncOperations
      // The guard first, which is gone when the call returns: the transport's bytes are no HTTP.
      let removed = operations.removeHandler(connectionGuard)
      do {
        try operations.addHandler(NIOTransport(session))
      } catch {
        return context.eventLoop.makeFailedFuture(error)
      }
      return removed.and(operations.removeHandler(handler)).map { _, _ in () }
    }
    let operations = channel.pipeline.syncOperations
    try secure?(channel)
    var limits = NIOHTTPDecoderLimitConfiguration()
    limits.maxHeaderFieldSize = IngestConfiguration.headerBytesMax
    limits.maxHeaderListSize = IngestConfiguration.headersBytesMax
    limits.maxHeaderFieldCount = IngestConfiguration.headersMax
    try operations.configureHTTPServerPipeline(
      withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }), withEncoderConfiguration: .init(),
      withDecoderLimitConfiguration: limits)
    let upgrade = try operations.handler(type: HTTPServerUpgradeHandler.self)
    try operations.addHandler(connectionGuard, position: .before(upgrade))
    try operations.addHandler(handler)
  }
}
