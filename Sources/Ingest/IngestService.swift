import Events
import Logging
import NIOCore
import NIOPosix
import Resources
import Serving
import Synchronization

#if os(Linux)
  import Sockets
#endif

/// Takes events from devices over WebSocket and HTTP, and gives them to the log.
public final class IngestService: Sendable {
  /// The most bytes one event loop gives to one partition before the first of them is synced: a batch has about 1 MiB
  /// of text, and already received bytes are still taken when reading stops.
  public static let pendingBytesPerLoopMax = (IngestPipeline.batchesWaitingMax + 2) << 20

  private let configuration: IngestConfiguration
  private let group: any EventLoopGroup
  private let loops: [ObjectIdentifier: NIOLoopBoundBox<IngestLoop>]
  private let counters: IngestCounters
  private let log: any EventLog
  private let service: HTTPService<IngestEndpoint>
  private let http: HTTPListener
  private let gate: AccessGate
  private let limits: DeviceLimits
  private let bodies: AnswerThreads
  private let secure: (@Sendable (any Channel) throws -> Void)?
  private let logger: Logger
  #if os(Linux)
    private let reactors = Mutex<ReactorServer?>(nil)
  #endif
  private let observation = Mutex<AccessObservation?>(nil)

  /// - Parameters:
  ///   - configuration: Values within its bounds.
  ///   - log: The log that takes the events.
  ///   - gate: Identifies senders.
  ///   - secure: Puts TLS first in a new connection's pipeline; nil for plain text.
  ///   - group: The group whose loops serve the connections that the reactors do not; not shut down here.
  ///   - probe: Answers `/readyz`, `/health` and `/metrics`.
  ///   - logger: Logs failures.
  ///   - totals: Counts events, for the ledger and the overview.
  ///   - rejects: Keeps the last rejects.
  ///   - suspects: Keeps the sources of suspect duplicates.
  ///   - ahead: Keeps the sources of events ahead of the clock.
  ///   - bodies: Threads that inflate and check bodies which are too long for a turn of an event loop.
  public init(
    configuration: IngestConfiguration, log: any EventLog, gate: AccessGate = .open,
    secure: (@Sendable (any Channel) throws -> Void)? = nil, group: any EventLoopGroup, probe: ServiceProbe, logger: Logger,
    totals: ReceivedEventsCount = ReceivedEventsCount(), rejects: RecentRejects = RecentRejects(),
    suspects: SuspectSources = SuspectSources(), ahead: AheadEventSources = AheadEventSources(),
    bodies: AnswerThreads = AnswerThreads(label: "penstock.ingest.body", threads: 2)
  ) {
    self.bodies = bodies
    self.gate = gate
    self.secure = secure
    let limits = DeviceLimits(
      connectionsMax: configuration.deviceConnectionsMax, eventsPerSecondMax: configuration.deviceEventsPerSecondMax)
    self.limits = limits
    self.configuration = configuration
    http = HTTPListener("ingest", group: group, limits: configuration.serving)
    service = HTTPService(
      name: "ingest", routes: IngestEndpoint.routes(messageBytesMax: configuration.messageBytesMax),
      limits: configuration.serving,
      rules: configuration.rules, gate: gate, probe: probe, description: EmbeddedFile.ingestOpenAPI.bytes,
      hint: "ingest has POST /v1/events and WebSocket /v1/stream, queries go to the query service")
    self.group = group
    self.log = log
    self.logger = logger
    let counters = IngestCounters(totals: totals, rejects: rejects, suspects: suspects, ahead: ahead)
    self.counters = counters
    var loops: [ObjectIdentifier: NIOLoopBoundBox<IngestLoop>] = [:]
    for eventLoop in group.makeIterator() {
      loops[ObjectIdentifier(eventLoop)] = NIOLoopBoundBox.makeBoxSendingValue(
        IngestLoop(
          configuration: configuration, log: log, loop: EventLoopThread(eventLoop), counters: counters, gate: gate,
          limits: limits, bodies: bodies, logger: logger),
        eventLoop: eventLoop)
    }
    self.loops = loops
  }

  /// Accepts connections.
  /// - Returns: The address listened on.
  /// - Throws: `IOError` when the address is not available.
  public func start() async throws -> SocketAddress? {
    let address = try await listen()
    observation.withLock { $0 = gate.observe { [weak self] in self?.accessChanged() } }
    return address
  }

  /// Ends the streams whose tokens are no longer valid.
  private func accessChanged() {
    onLoops { $0.accessChanged() }
    #if os(Linux)
      reactors.withLock { $0 }?.accessChanged()
    #endif
  }

  /// Does something on each event loop, with what its connections share.
  private func onLoops(_ body: @escaping @Sendable (IngestLoop) -> Void) {
    for eventLoop in group.makeIterator() {
      guard let loop = loops[ObjectIdentifier(eventLoop)] else { continue }
      eventLoop.execute { body(loop.value) }
    }
  }

  private func listen() async throws -> SocketAddress? {
    #if os(Linux)
      // The reactors speak plain text.
      if configuration.reactors > 0, secure == nil { return try await startReactors() }
    #endif
    return try await http.start(
      service, host: configuration.host, port: configuration.port, secure: secure,
      options: {
        $0.childChannelOption(.maxMessagesPerRead, value: IngestService.readsPerTurn)
          .childChannelOption(.recvAllocator, value: IngestService.readAllocator)
      },
      responder: { self.responder(for: $0) })
  }

  private func responder(for channel: any Channel) -> IngestResponder {
    guard let loop = loops[ObjectIdentifier(channel.eventLoop)]?.value else {
      preconditionFailure("a channel on a loop that is not of the group")
    }
    return IngestResponder(loop)
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
            configuration: configuration, log: log, loop: loop, counters: counters, gate: gate, limits: limits, bodies: bodies,
            logger: logger)
        },
        connections: http.connections, handOver: { self.serveHTTP($0, $1) })
      do {
        try await server.start()
      } catch {
        await server.stop()
        throw error
      }
      reactors.withLock { $0 = server }
      return server.address
    }

    /// Serves a connection that is no plain stream.
    private func serveHTTP(_ socket: StreamSocket, _ place: ConnectionPlace) {
      Task {
        do {
          try await http.adopt(
            socket.descriptor, place, service,
            options: {
              $0.channelOption(.maxMessagesPerRead, value: IngestService.readsPerTurn)
                .channelOption(.recvAllocator, value: IngestService.readAllocator)
            },
            responder: { self.responder(for: $0) })
        } catch {
          logger.error("dropping a connection: \(error)")
        }
      }
    }
  #endif

  /// Ends the open connections of processes of this machine, the sidecar's included, once their messages are answered for, and
  /// goes on accepting: callers that are still allowed connect again. Connections that begin meanwhile are ended likewise. Takes
  /// some tenths of a second.
  public func renewLocalConnections() async {
    await http.renewConnections(
      grace: .milliseconds(300), cutsAnswers: false, of: { $0.isFromThisMachine }, together: renewLocalStreams)
  }

  private func renewLocalStreams() {
    onLoops { $0.renewLocal() }
    #if os(Linux)
      reactors.withLock { $0 }?.renewLocal()
    #endif
  }

  /// Stops accepting, answers for the received messages, closes the connections.
  /// - Parameter timeout: The time after which connections are cut.
  public func shutDown(timeout: Duration = .seconds(10)) async {
    observation.withLock { $0 = nil }
    service.drain()
    #if os(Linux)
      let reactors = reactors.withLock { $0.take() }
      reactors?.drain()
    #endif
    onLoops { $0.drain() }
    await http.shutDown(timeout: timeout)
    #if os(Linux)
      await reactors?.stop()
    #endif
  }
}
