#if Secure
  import Logging
  import NIOCore
  import NIOPosix
  import NIOSSL
  import Synchronization

  /// Opens connections to the sidecars of one service, as a Connect-native client.
  ///
  /// An upstream of our own sidecar would balance to one instance, and ask the servers at each connection. Queries have to reach
  /// every worker, also while servers elect a leader. So the dialler watches the instances and dials their sidecars.
  public final class ConnectDialler: Sendable {
    public let target: MeshService
    private let identity: ConnectIdentity
    private let client: ConsulClient
    /// The time limit of a connection and its TLS handshake together.
    private let deadline: Duration
    private let logger: Logger
    private let known = Watched(MeshInstanceList())
    private let listed = Mutex(ListedInstances())
    private let state = Mutex(State())

    private struct State {
      var isAllowed = true
      var isShutDown = false
      var open: [ObjectIdentifier: any Channel] = [:]
    }

    init(
      to target: MeshService, identity: ConnectIdentity, client: ConsulClient,
      deadline: Duration = .seconds(5), logger: Logger
    ) {
      self.target = target
      self.identity = identity
      self.client = client
      self.deadline = deadline
      self.logger = logger
    }

    /// The instances whose checks pass, or did until just now. Empty until the first answer; the last list while the agent is
    /// away.
    public var instances: MeshInstanceList {
      let (list, version) = known.current
      return MeshInstanceList(version: version, instances: list.instances)
    }

    /// Returns when the list has another version than the one given, or the task is cancelled.
    public nonisolated(nonsending) func waitForChange(from version: UInt64) async {
      await known.waitForChange(from: version)
    }

    /// Watches the instances until the task is cancelled.
    func run() async {
      // `cached`: the agent answers while the servers are away, too.
      await client.watch("/v1/health/connect/\(target.rawValue)", query: "cached") { response, request throws(ConsulError) in
        let entries = try self.client.decode([ConnectHealthEntry].self, response, of: request)
        let mustLookAgain = self.list { $0.take(entries, at: .now) }
        if mustLookAgain {
          Task {
            // The newest list is looked at then.
            if await slept(ListedInstances.grace) { _ = self.list { $0.expire(at: .now) } }
          }
        }
      }
    }

    /// - Returns: Whether some listed instances do not pass.
    private func list(_ change: (inout ListedInstances) -> Void) -> Bool {
      // Under the lock, so that the newest list is the one that stays.
      listed.withLock { listed in
        change(&listed)
        known.set(MeshInstanceList(instances: Array(listed.instances.prefix(ConnectDialler.instancesMax))))
        return listed.hasFailing
      }
    }

    /// The most instances that are dialled; further ones are left out.
    static let instancesMax = 1024

    /// Opens a connection to one instance; keeps the promises of `PeerDialler` in module Wire.
    /// - Returns: The channel, once plain bytes may be written; fails with `MeshError` and nothing else.
    public func connect(
      to instance: MeshInstance, on eventLoop: any EventLoop,
      initialise: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
    ) -> EventLoopFuture<any Channel> {
      func failure(_ code: MeshError.Code, _ detail: String) -> EventLoopFuture<any Channel> {
        eventLoop.makeFailedFuture(
          MeshError(code, service: target.rawValue, address: instance.address, detail))
      }
      let (isAllowed, isShutDown) = state.withLock { ($0.isAllowed, $0.isShutDown) }
      guard !isShutDown else { return failure(.closed, "the dialler is shut down") }
      guard isAllowed else { return failure(.refused, "no intention allows it") }
      guard let current = identity.current else { return failure(.notReady, "no certificate from the agent yet") }

      let expected = SpiffeID(
        trustDomain: current.trustDomain, datacenter: instance.datacenter,
        service: target.rawValue)
      let admitted = eventLoop.makePromise(of: Void.self)
      let service = target.rawValue
      let deadline = deadline
      return ClientBootstrap(group: eventLoop)
        .connectTimeout(TimeAmount(deadline))
        .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(NIOSSLClientHandler(context: current.tls, serverHostname: nil))
            let handler = PeerIdentityHandler(
              expecting: expected, address: instance.address, promise: admitted, initialise: initialise)
            try pipeline.addHandler(handler)
            let bound = NIOLoopBound(
              (handler: handler, context: try pipeline.context(handler: handler)), eventLoop: channel.eventLoop)
            let expiry = channel.eventLoop.scheduleTask(in: TimeAmount(deadline)) {
              bound.value.handler.expire(bound.value.context, after: deadline)
            }
            admitted.futureResult.whenComplete { _ in expiry.cancel() }
          }
        }
        .connect(host: instance.host, port: instance.port)
        .flatMapError { error in
          let mesh = MeshError(.unreachable, service: service, address: instance.address, "\(error)")
          admitted.fail(mesh)
          return eventLoop.makeFailedFuture(mesh)
        }
        .flatMap { channel in
          admitted.futureResult.flatMapThrowing { () throws -> any Channel in
            try self.keep(channel, instance)
            return channel
          }
        }
    }

    /// Remembers an open connection, to be closed when the intention goes.
    private func keep(_ channel: any Channel, _ instance: MeshInstance) throws {
      let key = ObjectIdentifier(channel)
      let isKept = state.withLock { state in
        guard state.isAllowed, !state.isShutDown else { return false }
        state.open[key] = channel
        return true
      }
      guard isKept else {
        channel.close(promise: nil)
        throw MeshError(
          .refused, service: target.rawValue, address: instance.address, "the intention was withdrawn while connecting")
      }
      channel.closeFuture.whenComplete { _ in self.state.withLock { _ = $0.open.removeValue(forKey: key) } }
    }

    /// The serial number of the certificate shown now; nil before the first.
    public var certificateSerial: String? { identity.current?.serial }

    public var openCount: Int { state.withLock { $0.open.count } }

    /// Whether the mesh allows this service to be dialled, by its last answer.
    public var isAllowed: Bool { state.withLock { $0.isAllowed } }

    /// Sets whether the target may be dialled; false ends the open connections.
    func set(allowed: Bool) {
      let (hasChanged, ended) = state.withLock { state in
        defer { state.isAllowed = allowed }
        return (state.isAllowed != allowed, allowed ? [] : Array(state.open.values))
      }
      if hasChanged {
        let what = allowed ? "may be dialled" : "may not be dialled any more; connections closed: \(ended.count)"
        logger.notice("\(target.rawValue) \(what)")
      }
      close(ended, .refused, "the intention was withdrawn")
    }

    func shutDown() {
      let ended = state.withLock { state in
        state.isShutDown = true
        return Array(state.open.values)
      }
      close(ended, .closed, "the dialler is shut down")
    }

    private func close(_ channels: [any Channel], _ code: MeshError.Code, _ detail: String) {
      for channel in channels {
        let address = channel.remoteAddress.map { "\($0.ipAddress ?? "?"):\($0.port ?? 0)" } ?? "?"
        let error = MeshError(code, service: target.rawValue, address: address, detail)
        channel.eventLoop.execute {
          channel.pipeline.fireErrorCaught(error)
          do {
            // Closes below TLS, at once: a peer that does not answer TLS's goodbye would keep the connection for seconds.
            try channel.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self).close(promise: nil)
          } catch {
            channel.close(promise: nil)
          }
        }
      }
    }
  }
#endif
