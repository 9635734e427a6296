import NIOCore
import NIOPosix
import Synchronization

/// Accepts a service's HTTP connections up to a number, knows which are open, and ends them in order.
public final class HTTPListener: Sendable {
  /// Sent down each connection's pipeline when the service stops: close once the answer under way is out.
  public struct Finish: Sendable {}

  private let group: any EventLoopGroup
  private let connectionsMax: Int
  private let listener = Mutex<(any Channel)?>(nil)
  private let connections = Mutex<[ObjectIdentifier: any Channel]>([:])

  /// - Parameters:
  ///   - group: Whose loops serve the connections; not shut down here.
  ///   - connectionsMax: Open at once; the next is closed at once.
  public init(group: any EventLoopGroup, connectionsMax: Int) {
    self.group = group
    self.connectionsMax = connectionsMax
  }

  /// Accepts connections.
  /// - Parameters:
  ///   - host: A name or an address.
  ///   - port: 0 takes a free one.
  ///   - options: Sets what connections have besides TCP_NODELAY.
  ///   - initialise: Fills a new connection's pipeline, on its event loop; one that throws is closed.
  /// - Returns: The address listened on.
  /// - Throws: What binding throws, such as an address in use.
  public func start(
    host: String, port: Int, options: (ServerBootstrap) -> ServerBootstrap = { $0 },
    initialise: @escaping @Sendable (any Channel) throws -> Void
  ) async throws -> SocketAddress? {
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { channel in
        guard self.add(channel) else { return channel.close() }
        return channel.eventLoop.makeCompletedFuture { try initialise(channel) }
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
  /// - Parameter grace: Returns after twice that.
  public func renewConnections(grace: Duration) async {
    var left: [any Channel] = []
    for _ in 0..<2 {
      for channel in left { channel.close(promise: nil) }
      left = connections.withLock { Array($0.values) }
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

  /// False when there are as many as there may be.
  private func add(_ channel: any Channel) -> Bool {
    let key = ObjectIdentifier(channel)
    let isAdded = connections.withLock { connections in
      guard connections.count < connectionsMax else { return false }
      connections[key] = channel
      return true
    }
    if isAdded { channel.closeFuture.whenComplete { _ in self.connections.withLock { $0[key] = nil } } }
    return isAdded
  }
}
