#if os(Linux)
  import Serving
  import NIOCore
  import Sockets

  /// A session over a socket of its own, watched by a reactor. A message costs one read, its acknowledgement one write.
  ///
  /// The socket is watched for arrival: bytes are reported once, and remembered in `pending` until a read has taken all. While
  /// the session takes nothing, nothing has to be watched otherwise.
  final class ReactorTransport: SocketHandler, SessionTransport {
    private let session: WebSocketSession
    private let socket: StreamSocket
    private let key: SocketKey
    private let loop: ReactorLoop
    private let place: ConnectionPlace
    /// The bytes that the socket had no room for. While there are any, further bytes stay with the session, which bounds them.
    private var unsent = ByteBuffer()
    private var watched: Readiness = [.read, .onArrival]
    /// The readiness that was reported and not used up: `read` for as long as there may be more, `ended` and `broken` to the end.
    private var pending = Readiness()
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
      // Watched anew, bytes that came with the handshake are reported, and the end if it came too.
      guard watch(watched) else { return }
      loop.reactor.setTimer(key, after: session.heartbeat)
      response.withUnsafeBytes { send($0) }
      guard !isClosed else { return }
      session.start(on: self)
      sessionChanged()
    }

    // MARK: reading

    func ready(_ readiness: Readiness) {
      guard !isClosed else { return }
      pending.formUnion(readiness.subtracting(.write))
      if readiness.contains(.write) { sendUnsent() }
      guard !isClosed else { return }
      if pending.contains(.read), session.receivableBytesMax > 0 {
        read()
      } else if pending.contains(.broken) {
        return close()
      }
      sessionChanged()
    }

    /// Reads once: what is left is read in the next turn, so that others have theirs.
    private func read() {
      let room = min(loop.incoming.count, session.receivableBytesMax)
      switch socket.read(into: UnsafeMutableRawBufferPointer(rebasing: loop.incoming[..<room])) {
      case .bytes(let count):
        // Fewer bytes than there was room for were the last. The peer's end, if it has been reported, comes behind them.
        if count < room, pending.isDisjoint(with: [.ended, .broken]) { pending.remove(.read) }
        session.receive(UnsafeRawBufferPointer(rebasing: loop.incoming[..<count]))
      case .wouldBlock: if pending.contains(.broken) { close() } else { pending.remove(.read) }
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
      guard !isClosed, pending.contains(.read), session.receivableBytesMax > 0 else { return }
      loop.reactor.readAgain(key)
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
