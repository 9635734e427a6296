import NIOCore
import NIOPosix
import Synchronization

/// Accepts a service's HTTP connections within its limits, knows which are open, and ends them in order.
public final class HTTPListener: Sendable {
  /// Sent down each connection's pipeline when the service stops: close once the answer under way is out.
  public struct Finish: Sendable {
    public init() {}
  }

  private let group: any EventLoopGroup
  private let table: ConnectionTable
  private let listener = Mutex<(any Channel)?>(nil)
  private let connections = Mutex<[ObjectIdentifier: any Channel]>([:])

  /// - Parameters:
  ///   - group: Whose loops serve the connections; not shut down here.
  ///   - limits: Hold for all connections together.
  public init(group: any EventLoopGroup, limits: ServingLimits) {
    self.group = group
    table = ConnectionTable(limits)
  }

  /// Accepts connections.
  /// - Parameters:
  ///   - host: A name or an address.
  ///   - port: 0 takes a free one.
  ///   - options: Sets what connections have besides TCP_NODELAY.
  ///   - initialise: Fills a new connection's pipeline, on its event loop, an `HTTPConnectionGuard` with the place in it; one that throws
  ///     is closed.
  /// - Returns: The address listened on.
  /// - Throws: What binding throws, such as an address in use.
  public func start(
    host: String, port: Int, options: (ServerBootstrap) -> ServerBootstrap = { $0 },
    initialise: @escaping @Sendable (any Channel, ConnectionPlace) throws -> Void
  ) async throws -> SocketAddress? {
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      // Whoever ends its side after a request waits for the answer.
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelInitializer { channel in
        guard let place = self.add(channel) else { return channel.close() }
        return channel.eventLoop.makeCompletedFuture { try initialise(channel, place) }
      }
    let bound = try await options(bootstrap).bind(host: host, port: port).get()
    listener.withLock { $0 = bound }
    return bound.localAddress
  }

  /// Stops accepting, lets requests under way end, closes the connections.
  /// - Parameter timeout: After which connections are cut.
  /// - Returns: How many had to be cut.
  @discardableResult
  public func shutDown(timeout: Duration) async -> Int {
    let listening = listener.withLock { listener -> (any Channel)? in
      defer { listener = nil }
      return listener
    }
    listening?.close(promise: nil)
    finish(connections.withLock { Array($0.values) })
    let deadline = ContinuousClock.now + timeout
    while ContinuousClock.now < deadline, !connections.withLock({ $0.isEmpty }) {
      do { try await Task.sleep(for: .milliseconds(5)) } catch { break }
    }
    let left = connections.withLock { Array($0.values) }
    for channel in left { channel.close(promise: nil) }
    return left.count
  }

  /// Ends the connections that are open, and goes on accepting: those without a request at once, others with the answer under way, if
  /// that takes no longer than `grace`. Those that begin meanwhile are ended likewise: whoever let them in may not have known better yet.
  /// - Parameters:
  ///   - grace: Returns after twice that.
  ///   - isMeant: Which are ended.
  public func renewConnections(grace: Duration, of isMeant: (any Channel) -> Bool = { _ in true }) async {
    var left: [any Channel] = []
    for _ in 0..<2 {
      for channel in left { channel.close(promise: nil) }
      left = connections.withLock { Array($0.values) }.filter(isMeant)
      finish(left)
      // Cancelled: the service stops, and its connections with it.
      do { try await Task.sleep(for: grace) } catch { return }
    }
    for channel in left { channel.close(promise: nil) }
  }

  private func finish(_ channels: [any Channel]) {
    for channel in channels {
      // Fails where the channel is closed by then, which is what is wanted.
      channel.eventLoop.execute { channel.pipeline.fireUserInboundEventTriggered(Finish()) }
    }
  }

  /// Nil when there is no room for it.
  private func add(_ channel: any Channel) -> ConnectionPlace? {
    guard let place = table.enter(PeerAddress(channel.remoteAddress), close: { channel.close(promise: nil) }) else { return nil }
    let key = ObjectIdentifier(channel)
    connections.withLock { $0[key] = channel }
    channel.closeFuture.whenComplete { _ in
      place.leave()
      self.connections.withLock { $0[key] = nil }
    }
    return place
  }
}
