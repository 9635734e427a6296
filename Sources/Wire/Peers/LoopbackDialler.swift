import NIOCore
import NIOPosix
import Synchronization

/// Reaches instances over plain sockets of this machine: for tests and measurements. Between machines, and between
/// services in operation, the mesh is used.
public final class LoopbackDialler: PeerDialler {
  public struct Instance: Sendable, Hashable {
    public var id: String
    public var port: Int
    public var metadata: [String: String]

    public init(id: String, port: Int, metadata: [String: String] = [:]) {
      self.id = id
      self.port = port
      self.metadata = metadata
    }
  }

  private struct State {
    var list: PeerList
    var ports: [String: Int]
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter: UInt64 = 0
  }

  public let service: String
  private let state: Mutex<State>
  /// The channels to be cut, as a mesh does when a permission is withdrawn.
  private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

  public init(service: String, _ instances: [Instance]) {
    self.service = service
    state = Mutex(State(list: LoopbackDialler.list(instances, version: 1), ports: LoopbackDialler.ports(instances)))
  }

  /// Replaces the instances; wakes callers that wait for a change.
  public func set(_ instances: [Instance]) {
    let waiters = state.withLock { state in
      state.list = LoopbackDialler.list(instances, version: state.list.version + 1)
      state.ports = LoopbackDialler.ports(instances)
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume() }
  }

  /// Cuts every open connection, in the middle of whatever is under way.
  public func cutConnections() {
    for channel in channels.withLock({ Array($0.values) }) { channel.close(promise: nil) }
  }

  public func peers() -> PeerList { state.withLock { $0.list } }

  public nonisolated(nonsending) func waitForChange(from version: UInt64) async {
    let id = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let mustWait = state.withLock { state in
          guard state.list.version == version, !Task.isCancelled else { return false }
          state.waiters[id] = continuation
          return true
        }
        if !mustWait { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }
  }

  public func connect(
    to peer: Peer, on eventLoop: any EventLoop, initialise: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
  ) -> EventLoopFuture<any Channel> {
    guard let port = state.withLock({ $0.ports[peer.id] }) else {
      return eventLoop.makeFailedFuture(PeerError(.unreachable, service: service, peer: peer, "the instance is gone"))
    }
    let service = service
    return ClientBootstrap(group: eventLoop)
      .connectTimeout(.seconds(2))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer(initialise)
      .connect(host: "127.0.0.1", port: port)
      .map { channel in
        let key = ObjectIdentifier(channel)
        self.channels.withLock { $0[key] = channel }
        channel.closeFuture.whenComplete { _ in self.channels.withLock { $0[key] = nil } }
        return channel
      }
      .flatMapErrorThrowing { throw PeerError(.unreachable, service: service, peer: peer, "\($0)") }
  }

  private static func list(_ instances: [Instance], version: UInt64) -> PeerList {
    PeerList(
      version: version,
      peers: instances.map { Peer(id: $0.id, address: "127.0.0.1:\($0.port)", metadata: $0.metadata) })
  }

  private static func ports(_ instances: [Instance]) -> [String: Int] {
    Dictionary(uniqueKeysWithValues: instances.map { ($0.id, $0.port) })
  }
}
