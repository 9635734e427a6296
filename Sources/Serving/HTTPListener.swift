import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Accepts a service's HTTP connections within its limits, knows which are open, and ends them in order.
public final class HTTPListener: Sendable {
  /// Sent down each connection's pipeline when the service stops: close once the answer under way is out.
  public struct Finish: Sendable {
    public init() {}
  }

  /// The longest header or request line: expressions and cursors travel in it, and `?source=` may come many times.
  static let headerBytesMax = 64 << 10
  static let headersBytesMax = 128 << 10
  static let headersMax = 100

  public let connections: ConnectionTable
  private let group: any EventLoopGroup
  private let listener = Mutex<(any Channel)?>(nil)
  private let isEnding = Atomic<Bool>(false)
  /// The connections that speak HTTP.
  private let open = Mutex<[ObjectIdentifier: any Channel]>([:])

  /// - Parameters:
  ///   - service: The service's name, for metrics.
  ///   - group: The group whose loops serve the connections; not shut down here.
  ///   - limits: The limits of all connections together.
  public init(_ service: String, group: any EventLoopGroup, limits: ServingLimits) {
    self.group = group
    connections = ConnectionTable(limits, of: service)
  }

  /// Accepts connections.
  /// - Parameters:
  ///   - service: The service that answers.
  ///   - host: A name or an address.
  ///   - port: 0 takes a free one.
  ///   - secure: Puts TLS first in a new connection's pipeline; nil for plain text.
  ///   - options: Sets further options of connections besides TCP_NODELAY.
  ///   - responder: Makes a new connection's responder, on its event loop.
  /// - Returns: The address listened on.
  /// - Throws: The error of binding, such as an address in use.
  public func start<Responder: HTTPResponder>(
    _ service: HTTPService<Responder.Endpoint>, host: String, port: Int, secure: (@Sendable (any Channel) throws -> Void)? = nil,
    options: (ServerBootstrap) -> ServerBootstrap = { $0 }, responder: @escaping @Sendable (any Channel) -> Responder
  ) async throws -> SocketAddress? {
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 4096)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      // A client that ends its side after a request waits for the answer.
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelInitializer { channel in
        guard let place = self.connections.enter(PeerAddress(channel.remoteAddress), close: { channel.close(promise: nil) })
        else {
          return channel.close()
        }
        return channel.eventLoop.makeCompletedFuture {
          self.add(channel, place)
          try secure?(channel)
          try self.serve(channel, place, service, responder(channel))
        }
      }
    let bound = try await options(bootstrap).bind(host: host, port: port).get()
    listener.withLock { $0 = bound }
    return bound.localAddress
  }

  /// Serves a connection that somebody else has accepted.
  /// - Parameters:
  ///   - socket: Its descriptor, which is the connection's from now on.
  ///   - place: In `connections`; left when the connection has ended.
  ///   - service: The service that answers.
  ///   - options: Sets what the connection has.
  ///   - responder: Makes the connection's responder, on its event loop.
  /// - Throws: The reason why it could not be served; it is closed then.
  public func adopt<Responder: HTTPResponder>(
    _ socket: NIOBSDSocket.Handle, _ place: ConnectionPlace, _ service: HTTPService<Responder.Endpoint>,
    options: (ClientBootstrap) -> ClientBootstrap = { $0 }, responder: @escaping @Sendable (any Channel) -> Responder
  ) async throws {
    let bootstrap = ClientBootstrap(group: group)
      .channelOption(.allowRemoteHalfClosure, value: true)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          self.add(channel, place)
          try self.serve(channel, place, service, responder(channel))
          // The connection may have had to give way meanwhile.
          if !place.attach(close: { channel.close(promise: nil) }) { throw ChannelError.alreadyClosed }
        }
      }
    do {
      _ = try await options(bootstrap).withConnectedSocket(socket).get()
    } catch {
      place.leave()
      if error as? ChannelError != .alreadyClosed { throw error }
    }
  }

  /// Fills a connection's pipeline. On its event loop.
  func serve<Responder: HTTPResponder>(
    _ channel: any Channel, _ place: ConnectionPlace, _ service: HTTPService<Responder.Endpoint>, _ responder: Responder
  ) throws {
    var limits = NIOHTTPDecoderLimitConfiguration()
    limits.maxHeaderFieldSize = HTTPListener.headerBytesMax
    limits.maxHeaderListSize = HTTPListener.headersBytesMax
    limits.maxHeaderFieldCount = HTTPListener.headersMax
    let (arrival, encoder) = (ArrivalWatch(), HTTPResponseEncoder())
    let decoding: [any ChannelHandler & RemovableChannelHandler] = [
      arrival, ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)),
      HTTPServerPipelineHandler(), NIOHTTPResponseHeadersValidator(), HTTPServerProtocolErrorHandler(),
    ]
    let connection = HTTPConnection(service, responder, place, decoding: decoding, encoding: encoder) { [weak channel] in
      if let channel { self.forget(channel) }
    }
    arrival.came = { [weak connection] in connection?.bytesCame() }
    try channel.pipeline.syncOperations.addHandlers([encoder] + decoding + [connection])
    if isEnding.load(ordering: .acquiring) { channel.pipeline.fireUserInboundEventTriggered(Finish()) }
  }

  /// Stops accepting, lets requests under way end, and waits until all connections have ended.
  /// - Parameter timeout: The time after which connections that still speak HTTP are cut.
  /// - Returns: The number of connections that were cut.
  @discardableResult
  public func shutDown(timeout: Duration) async -> Int {
    let listening = listener.withLock { listener -> (any Channel)? in
      defer { listener = nil }
      return listener
    }
    listening?.close(promise: nil)
    isEnding.store(true, ordering: .releasing)
    finish(open.withLock { Array($0.values) })
    await connections.waitForNone(timeout: timeout)
    let left = open.withLock { Array($0.values) }
    for channel in left { channel.close(promise: nil) }
    return left.count
  }

  /// Ends the open connections, and goes on accepting: those without a request at once, others with the answer under way, if that
  /// takes no longer than `grace`. Connections that begin meanwhile are ended likewise: the sidecar may have let them in by its
  /// old knowledge.
  /// - Parameters:
  ///   - grace: The call returns after twice that.
  ///   - cutsAnswers: False to wait for answers however long they take; requests that are still being read are cut all the same.
  ///   - isMeant: Chooses the connections to end.
  ///   - endOthers: Called in each of the two rounds, to end the service's connections that are not the listener's.
  public func renewConnections(
    grace: Duration, cutsAnswers: Bool = true, of isMeant: @Sendable (any Channel) -> Bool = { _ in true },
    together endOthers: @Sendable () -> Void = {}
  ) async {
    var left: [any Channel] = []
    for _ in 0..<2 {
      if cutsAnswers { for channel in left { channel.close(promise: nil) } }
      left = open.withLock { Array($0.values) }.filter(isMeant)
      finish(left)
      endOthers()
      // Cancelled: the service stops, and its connections with it.
      do { try await Task.sleep(for: grace) } catch { return }
    }
    if cutsAnswers { for channel in left { channel.close(promise: nil) } }
  }

  private func finish(_ channels: [any Channel]) {
    for channel in channels {
      // Fails if the channel is closed by then, which is the goal.
      channel.eventLoop.execute { channel.pipeline.fireUserInboundEventTriggered(Finish()) }
    }
  }

  private func add(_ channel: any Channel, _ place: ConnectionPlace) {
    open.withLock { $0[ObjectIdentifier(channel)] = channel }
    channel.closeFuture.whenComplete { _ in
      place.leave()
      self.forget(channel)
    }
  }

  /// Forgets a connection that has ended or speaks another protocol.
  private func forget(_ channel: any Channel) { _ = open.withLock { $0.removeValue(forKey: ObjectIdentifier(channel)) } }
}
