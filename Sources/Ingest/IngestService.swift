import Events
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import WebSocket

/// Takes events from devices over WebSocket and HTTP, and gives them to the log.
public final class IngestService: Sendable {
  /// The most bytes one event loop gives to one partition before the first of them is synced: batches are of about 1 MiB of text, and what
  /// was read already is still taken when reading stops.
  public static let pendingBytesPerLoopMax = (IngestPipeline.batchesWaitingMax + 2) << 20

  private let configuration: IngestConfiguration
  private let group: any EventLoopGroup
  private let loops: [ObjectIdentifier: NIOLoopBoundBox<IngestLoop>]
  private let counters: IngestCounters
  private let channel = Mutex<(any Channel)?>(nil)
  private let connections = ConnectionCount()

  public init(
    configuration: IngestConfiguration, log: any EventLog, group: any EventLoopGroup, probe: ServiceProbe, logger: Logger,
    totals: ReceivedEventsCount = ReceivedEventsCount()
  ) {
    self.configuration = configuration
    self.group = group
    counters = IngestCounters(totals: totals)
    var loops: [ObjectIdentifier: NIOLoopBoundBox<IngestLoop>] = [:]
    for eventLoop in group.makeIterator() {
      loops[ObjectIdentifier(eventLoop)] = NIOLoopBoundBox.makeBoxSendingValue(
        IngestLoop(
          configuration: configuration, log: log, eventLoop: eventLoop, counters: counters, probe: probe, logger: logger),
        eventLoop: eventLoop)
    }
    self.loops = loops
  }

  /// Accepts connections.
  /// - Returns: The address listened on.
  public func start() async throws -> SocketAddress? {
    let bound = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 4096)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
      // One read a turn of the loop: a second would mostly find nothing, and costs as much as the first.
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: 256 * 1024)
      )
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try self.initialise(channel) }
      }
      .bind(host: configuration.host, port: configuration.port)
      .get()
    channel.withLock { $0 = bound }
    return bound.localAddress
  }

  /// Stops accepting, answers for what was received, closes the connections.
  /// - Parameter timeout: After which connections are cut.
  public func shutDown(timeout: Duration = .seconds(10)) async {
    let listener = channel.withLock { channel -> (any Channel)? in
      defer { channel = nil }
      return channel
    }
    listener?.close(promise: nil)
    for eventLoop in group.makeIterator() {
      guard let loop = loops[ObjectIdentifier(eventLoop)] else { continue }
      eventLoop.execute { loop.value.drain() }
    }
    await connections.waitForNone(timeout: timeout)
  }

  private func initialise(_ channel: any Channel) throws {
    guard let loop = loops[ObjectIdentifier(channel.eventLoop)]?.value else {
      preconditionFailure("a channel on a loop that is not of the group")
    }
    guard connections.add(max: configuration.connectionsMax) else {
      channel.close(promise: nil)
      return
    }
    let counters = counters, connections = connections
    counters.connections.record(connections.count)
    channel.closeFuture.whenComplete { _ in
      connections.remove()
      counters.connections.record(connections.count)
    }
    let handler = IngestHTTPHandler(ingest: loop)
    let upgrader = WebSocketServerUpgrader(deflate: loop.deflate) { channel, head in
      channel.eventLoop.makeSucceededFuture(IngestService.decide(head, isDraining: loop.isDraining))
    } upgradePipelineHandler: { context, agreement, head in
      let session = WebSocketSession(
        ingest: loop, subprotocol: agreement.subprotocol.flatMap(WebSocketSession.Subprotocol.init) ?? .penstock,
        sources: IngestService.sources(of: head), deflate: agreement.deflate)
      let operations = context.pipeline.syncOperations
      do {
        try operations.addHandler(session)
      } catch {
        return context.eventLoop.makeFailedFuture(error)
      }
      return operations.removeHandler(handler)
    }
    let operations = channel.pipeline.syncOperations
    try operations.configureHTTPServerPipeline(withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
    try operations.addHandler(handler)
  }

  private static func decide(_ head: HTTPRequestHead, isDraining: Bool) -> WebSocketUpgradeDecision {
    guard IngestHTTPHandler.path(of: head) == "/v1/stream" else {
      return .refuse(WebSocketRefusal(status: .notFound, detail: "WebSocket is spoken at /v1/stream"))
    }
    if isDraining {
      return .refuse(
        WebSocketRefusal(status: .serviceUnavailable, headers: ["Retry-After": "1"], detail: "shutting down; try again"))
    }
    guard sources(of: head).allSatisfy({ (1...EventReader.attributeBytesMax).contains($0.utf8.count) }),
      sources(of: head).count <= 1024
    else {
      return .refuse(WebSocketRefusal(status: .badRequest, detail: "?source= is empty or too long, or there are over 1024"))
    }
    let offered = WebSocketHandshake.subprotocols(head.headers)
    guard !offered.isEmpty else { return .accept(subprotocol: nil) }
    guard let chosen = offered.first(where: { WebSocketSession.Subprotocol(rawValue: $0) != nil }) else {
      let known = WebSocketSession.Subprotocol.allCases.map(\.rawValue).joined(separator: ", ")
      return .refuse(WebSocketRefusal(status: .badRequest, detail: "no known subprotocol among those offered; known: \(known)"))
    }
    return .accept(subprotocol: chosen)
  }

  /// The values of `?source=`, in order.
  private static func sources(of head: HTTPRequestHead) -> [String] {
    guard let query = head.uri.split(separator: "?", maxSplits: 1).dropFirst().first else { return [] }
    return query.split(separator: "&").compactMap { pair in
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts[0] == "source" else { return nil }
      return parts.count == 2 ? PercentCoding.decode(parts[1], plusIsSpace: true) : ""
    }
  }
}
