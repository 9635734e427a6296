#if os(Linux)
  import Serving
  import NIOCore
  import Sockets

  /// A session over a socket of its own, watched by a reactor. A message costs one read, its acknowledgement one write.
  final class ReactorTransport: SocketHandler, SessionTransport {
    private let session: WebSocketSession
    private let socket: StreamSocket
    private let key: SocketKey
    private let loop: ReactorLoop
    private let place: ConnectionPlace
    /// The bytes that the socket had no room for. While there are any, further bytes stay with the session, which bounds them.
    private var unsent = ByteBuffer()
    private var watched: Readiness = .read
    private var isCloseTimed = false
    private var isOutputEnded = false
    private var isClosed = false

    init(_ session: WebSocketSession, _ socket: StreamSocket, _ key: SocketKey, _ place: ConnectionPlace, _ loop: ReactorLoop) {
      self.session = session
      self.socket = socket
      self.key = key
      self.place = place
      self.loop = loop
    }

    /// Takes the socket over from the previous handler, and answers the handshake.
    func begin(with response: [UInt8]) {
      loop.reactor.replaceHandler(key, self)
      // From edges to levels: bytes after the handshake are reported.
      guard watch(.read) else { return }
      loop.reactor.setTimer(key, after: session.heartbeat)
      response.withUnsafeBytes { send($0) }
      guard !isClosed else { return }
      session.start(on: self)
      sessionChanged()
    }

    // MARK: reading

    func ready(_ readiness: Readiness) {
      guard !isClosed else { return }
      if readiness.contains(.write) { sendUnsent() }
      guard !isClosed else { return }
      if readiness.contains(.read), session.receivableBytesMax > 0 {
        read()
      } else if readiness.contains(.broken) {
        return close()
      } else if readiness.contains(.read) {
        // Only now: most pauses are over before any byte comes.
        guard watch(watched.subtracting(.read)) else { return }
      }
      sessionChanged()
    }

    private func read() {
      let room = min(loop.incoming.count, session.receivableBytesMax)
      switch socket.read(into: UnsafeMutableRawBufferPointer(rebasing: loop.incoming[..<room])) {
      case .bytes(let count): session.receive(UnsafeRawBufferPointer(rebasing: loop.incoming[..<count]))
      case .wouldBlock: break
      // The connection ended or broke: nothing can be sent any more, and the received messages go on to the log.
      case .ended, .failed: close()
      }
    }

    // MARK: writing

    func sessionChanged() {
      guard !isClosed else { return }
      while unsent.readableBytes == 0, session.outgoing.readableBytes > 0 { session.sendOutgoing { send($0) } }
      // Its number may belong to another connection by now.
      guard !isClosed else { return }
      if session.isClosing { endOutput() }
      guard !isClosed, !watched.contains(.read), session.receivableBytesMax > 0 else { return }
      watch(watched.union(.read))
    }

    var unsentBytes: Int { unsent.readableBytes }

    private func send(_ bytes: UnsafeRawBufferPointer) {
      guard !isClosed else { return }
      guard unsent.readableBytes == 0 else {
        unsent.writeBytes(bytes)
        return
      }
      switch socket.write(bytes) {
      case .bytes(bytes.count): return
      case .bytes(let count): keep(UnsafeRawBufferPointer(rebasing: bytes[count...]))
      case .wouldBlock: keep(bytes)
      case .ended, .failed: close()
      }
    }

    private func keep(_ rest: UnsafeRawBufferPointer) {
      unsent.writeBytes(rest)
      session.writabilityChanged(to: false)
      watch(watched.union(.write))
    }

    private func sendUnsent() {
      guard unsent.readableBytes > 0 else { return }
      switch unsent.withUnsafeReadableBytes({ socket.write($0) }) {
      case .bytes(let count): unsent.moveReaderIndex(forwardBy: count)
      case .wouldBlock: return
      case .ended, .failed: return close()
      }
      guard unsent.readableBytes == 0 else { return }
      unsent = ByteBuffer()
      guard watch(watched.subtracting(.write)) else { return }
      session.writabilityChanged(to: true)
    }

    var isFromThisMachine: Bool { socket.isFromThisMachine }

    // MARK: ending

    /// Ends our side once all is sent, the close frame last. The connection itself is closed when the peer has closed
    /// its side: closing with bytes unread would send a reset, which can overtake the close frame.
    private func endOutput() {
      guard !isOutputEnded else { return }
      if !isCloseTimed {
        isCloseTimed = true
        loop.reactor.setTimer(key, after: WebSocketSession.closeTimeout)
      }
      guard unsent.readableBytes == 0, session.outgoing.readableBytes == 0 else { return }
      isOutputEnded = true
      socket.shutDownOutput()
    }

    func timerFired() {
      guard !isClosed else { return }
      if isCloseTimed { return close() }
      loop.reactor.setTimer(key, after: session.heartbeat)
      session.beat()
      sessionChanged()
    }

    func reactorStops() { close() }

    private func close() {
      guard !isClosed else { return }
      isClosed = true
      loop.reactor.remove(key)
      socket.close()
      session.end()
      place.leave()
    }

    /// - Returns: False if the socket could not be watched, and was therefore closed.
    @discardableResult
    private func watch(_ wanted: Readiness) -> Bool {
      do throws(SocketError) {
        try loop.reactor.watch(key, wanted)
        watched = wanted
        return true
      } catch {
        loop.ingest.logger.error("closing a connection: \(error)")
        close()
        return false
      }
    }
  }
#endif
