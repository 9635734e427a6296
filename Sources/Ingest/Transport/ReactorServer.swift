#if os(Linux)
  import Glibc
  import Serving
  import Logging
  import NIOCore
  import Sockets
  import Synchronization

  /// The listener and the reactors that carry its streams, in turn.
  final class ReactorServer: Sendable {
    private let reactors: [Reactor]
    private let loops: [LoopBound<ReactorLoop>]
    private let listener: LoopBound<ReactorListener>
    let address: SocketAddress

    /// Accepts connections.
    /// - Parameters:
    ///   - makeLoop: Makes the state that the connections of one loop share.
    ///   - connections: Have a place for each.
    ///   - handOver: Takes those that ask for no stream.
    /// - Throws: `IOError` when the address is not available, else `SocketError`.
    init(
      _ configuration: IngestConfiguration, logger: Logger, makeLoop: (any ConnectionLoop) -> IngestLoop,
      connections: ConnectionTable,
      handOver: @escaping @Sendable (StreamSocket, ConnectionPlace) -> Void
    ) throws {
      let wanted = try SocketAddress.makeAddressResolvingHost(configuration.host, port: configuration.port)
      let socket: ListeningSocket
      do {
        socket = try wanted.withSockAddr { try ListeningSocket.open($0, length: socklen_t($1)) }
      } catch let error as SocketError {
        throw IOError(errnoCode: error.errno, reason: error.call)
      }
      address = ReactorServer.address(try socket.localAddress())
      var reactors: [Reactor] = []
      for number in 0..<configuration.reactors { reactors.append(try Reactor.start(name: "ingest-\(number)")) }
      let loops = reactors.map { reactor in
        LoopBound(ReactorLoop(reactor: reactor, ingest: makeLoop(reactor), handOver: handOver), reactor)
      }
      self.reactors = reactors
      self.loops = loops
      var next = 0
      let listener = ReactorListener(socket, reactors[0], logger: logger) { connection in
        let address = connection.peerAddress().map { ReactorServer.address($0) }
        // Closed by whoever it is given to.
        guard let place = connections.enter(PeerAddress(address), close: {}) else { return connection.close() }
        let loop = loops[next]
        let reactor = reactors[next]
        next = (next + 1) % loops.count
        reactor.execute { ArrivingConnection.begin(connection, place, on: loop.value) }
      }
      self.listener = LoopBound(listener, reactors[0])
    }

    private static func address(_ storage: sockaddr_storage) -> SocketAddress {
      withUnsafePointer(to: storage) { pointer in
        Int32(pointer.pointee.ss_family) == AF_INET6
          ? pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { SocketAddress($0.pointee) }
          : pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { SocketAddress($0.pointee) }
      }
    }

    /// Begins to accept.
    func start() async throws(SocketError) {
      let failure = await withCheckedContinuation { continuation in
        reactors[0].execute { [listener] in
          do throws(SocketError) {
            try listener.value.begin()
            continuation.resume(returning: SocketError?.none)
          } catch {
            continuation.resume(returning: error)
          }
        }
      }
      if let failure { throw failure }
    }

    /// Ends the streams whose tokens are no longer valid.
    func accessChanged() {
      for (reactor, loop) in zip(reactors, loops) { reactor.execute { loop.value.ingest.accessChanged() } }
    }

    /// Ends the open connections of processes of this machine once their messages are answered for.
    func renewLocal() {
      for (reactor, loop) in zip(reactors, loops) { reactor.execute { loop.value.ingest.renewLocal() } }
    }

    /// Accepts no more, and ends each connection once its messages are answered for.
    func drain() {
      reactors[0].execute { [listener] in listener.value.close() }
      for (reactor, loop) in zip(reactors, loops) { reactor.execute { loop.value.ingest.drain() } }
    }

    /// Cuts the remaining connections, and ends the threads.
    func stop() async {
      for reactor in reactors { await reactor.stop() }
    }
  }
#endif
