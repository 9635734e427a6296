import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Accepts the analysts' connections, and knows which are open.
final class QueryServer: Sendable {
  private let configuration: QueryConfiguration
  private let group: any EventLoopGroup
  private let secure: (@Sendable (any Channel) throws -> Void)?
  private let makeConnection: @Sendable () -> QueryConnection
  private let listener = Mutex<(any Channel)?>(nil)
  private let connections = Mutex<[ObjectIdentifier: any Channel]>([:])

  /// - Parameters:
  ///   - secure: Puts TLS first in a new connection's pipeline; nil for plain text.
  ///   - makeConnection: The last handler of a new connection; called on the connection's event loop.
  init(
    _ configuration: QueryConfiguration, group: any EventLoopGroup, secure: (@Sendable (any Channel) throws -> Void)?,
    makeConnection: @escaping @Sendable () -> QueryConnection
  ) {
    self.configuration = configuration
    self.group = group
    self.secure = secure
    self.makeConnection = makeConnection
  }

  /// - Returns: The address listened on.
  /// - Throws: What binding throws, such as an address in use.
  func start() async throws -> SocketAddress? {
    let bound = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelInitializer { channel in
        guard self.add(channel) else { return channel.close() }
        return channel.eventLoop.makeCompletedFuture { try self.initialise(channel) }
      }
      .bind(host: configuration.host, port: configuration.port)
      .get()
    listener.withLock { $0 = bound }
    return bound.localAddress
  }

  private func initialise(_ channel: any Channel) throws {
    try secure?(channel)
    var limits = NIOHTTPDecoderLimitConfiguration()
    limits.maxHeaderFieldSize = QueryConfiguration.headerBytesMax
    limits.maxHeaderListSize = QueryConfiguration.headersBytesMax
    limits.maxHeaderFieldCount = QueryConfiguration.headersMax
    let operations = channel.pipeline.syncOperations
    try operations.configureHTTPServerPipeline(withEncoderConfiguration: .init(), withDecoderLimitConfiguration: limits)
    try operations.addHandler(makeConnection())
  }

  /// Stops accepting, lets requests under way end, closes the connections.
  /// - Parameter timeout: After which connections are cut.
  /// - Returns: How many had to be cut.
  func shutDown(timeout: Duration) async -> Int {
    let listening = listener.withLock { listener -> (any Channel)? in
      defer { listener = nil }
      return listener
    }
    listening?.close(promise: nil)
    for channel in connections.withLock({ Array($0.values) }) {
      // Fails where the channel is closed by then, which is what is wanted.
      channel.eventLoop.execute { channel.pipeline.fireUserInboundEventTriggered(QueryConnection.Finish()) }
    }
    let deadline = ContinuousClock.now + timeout
    while ContinuousClock.now < deadline, !connections.withLock({ $0.isEmpty }) {
      do { try await Task.sleep(for: .milliseconds(5)) } catch { break }
    }
    let left = connections.withLock { Array($0.values) }
    for channel in left { channel.close(promise: nil) }
    return left.count
  }

  /// False when there are as many as there may be.
  private func add(_ channel: any Channel) -> Bool {
    let key = ObjectIdentifier(channel)
    let isAdded = connections.withLock { connections in
      guard connections.count < configuration.connectionsMax else { return false }
      connections[key] = channel
      return true
    }
    if isAdded { channel.closeFuture.whenComplete { _ in self.connections.withLock { $0[key] = nil } } }
    return isAdded
  }
}
