#if os(Linux)
  import Logging
  import Sockets

  /// Accepts connections on a reactor.
  final class ReactorListener: SocketHandler {
    /// Connections accepted before the reactor looks at others' sockets.
    private static let acceptsPerTurn = 64
    /// The pause when, say, descriptors have run out.
    private static let failedPause = Duration.milliseconds(100)

    private let socket: ListeningSocket
    private let reactor: Reactor
    private let logger: Logger
    private let take: (StreamSocket) -> Void
    private var key: SocketKey?

    /// - Parameter take: Gets each connection, and has to close it.
    init(_ socket: ListeningSocket, _ reactor: Reactor, logger: Logger, take: @escaping (StreamSocket) -> Void) {
      self.socket = socket
      self.reactor = reactor
      self.logger = logger
      self.take = take
    }

    func begin() throws(SocketError) { key = try reactor.add(socket.descriptor, self, .read) }

    func close() {
      guard let key else { return }
      self.key = nil
      reactor.remove(key)
      socket.close()
    }

    func ready(_ readiness: Readiness) {
      for _ in 0..<ReactorListener.acceptsPerTurn {
        switch socket.accept() {
        case .connection(let connection):
          connection.setNoDelay()
          take(connection)
        case .none: return
        case .failed(let errno):
          logger.error(
            "no connections are accepted for \(ReactorListener.failedPause): \(SocketError("accept", errno: errno))")
          watch([])
          if let key { reactor.setTimer(key, after: ReactorListener.failedPause) }
          return
        }
      }
    }

    func timerFired() { watch(.read) }

    func reactorStops() { close() }

    private func watch(_ readiness: Readiness) {
      guard let key else { return }
      do throws(SocketError) {
        try reactor.watch(key, readiness)
      } catch {
        logger.critical("no more connections are accepted: \(error)")
        close()
      }
    }
  }
#endif
