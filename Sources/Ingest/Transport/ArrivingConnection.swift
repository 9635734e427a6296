#if os(Linux)
  import NIOHTTP1
  import Sockets
  import WebSocket

  /// A connection of which it is not known yet what it wants. Its bytes are looked at and left in the socket, until it becomes a stream here or is
  /// handed over to the HTTP server, which answers whatever a stream is not opened for.
  final class ArrivingConnection: SocketHandler, DrainableConnection {
    /// A peer that has asked for nothing until then is cut off.
    static let headTimeout = Duration.seconds(30)

    private let socket: StreamSocket
    private let loop: ReactorLoop
    private var key: SocketKey?
    private var isGone = false

    private init(_ socket: StreamSocket, _ loop: ReactorLoop) {
      self.socket = socket
      self.loop = loop
    }

    /// Takes a connection that was accepted.
    static func begin(_ socket: StreamSocket, on loop: ReactorLoop) {
      let connection = ArrivingConnection(socket, loop)
      do throws(SocketError) {
        // By edges: what is looked at stays readable.
        let key = try loop.reactor.add(socket.descriptor, connection, [.read, .onArrival])
        connection.key = key
        loop.reactor.setTimer(key, after: headTimeout)
        loop.ingest.add(connection)
        if loop.ingest.isDraining { connection.close() }
      } catch {
        loop.ingest.logger.error("dropping a connection: \(error)")
        connection.close()
      }
    }

    func ready(_ readiness: Readiness) {
      guard key != nil else { return }
      switch socket.peek(into: UnsafeMutableRawBufferPointer(rebasing: loop.incoming[..<StreamRequest.headBytesMax])) {
      case .bytes(let count): look(UnsafeRawBufferPointer(rebasing: loop.incoming[..<count]))
      case .wouldBlock: if readiness.contains(.broken) { close() }
      case .ended, .failed: close()
      }
    }

    private func look(_ bytes: UnsafeRawBufferPointer) {
      switch StreamRequest.read(bytes) {
      case .incomplete: break
      case .other: handOver()
      case .head(let head, let byteCount):
        guard let (agreement, response) = answer(to: head) else { return handOver() }
        // They are there: they have just been looked at.
        guard
          socket.read(into: UnsafeMutableRawBufferPointer(rebasing: loop.incoming[..<byteCount])) == .bytes(byteCount)
        else { return close() }
        open(head, agreement, response)
      }
    }

    /// Nil if the answer is not 101.
    private func answer(to head: HTTPRequestHead) -> (WebSocketAgreement, response: [UInt8])? {
      let key: String
      do throws(WebSocketHandshakeError) { key = try WebSocketHandshake.check(head) } catch { return nil }
      guard case .accept(let subprotocol, let added) = StreamAdmission.decide(head, isDraining: loop.ingest.isDraining) else {
        return nil
      }
      var (agreement, headers) = WebSocketHandshake.accept(
        head, key: key, subprotocol: subprotocol, deflate: loop.ingest.deflate)
      headers.add(contentsOf: added)
      return (agreement, WebSocketHandshake.response(headers))
    }

    private func open(_ head: HTTPRequestHead, _ agreement: WebSocketAgreement, _ response: [UInt8]) {
      guard let key else { return }
      self.key = nil
      loop.ingest.remove(self)
      let session = WebSocketSession(ingest: loop.ingest, agreement: agreement, sources: StreamAdmission.sources(of: head))
      ReactorTransport(session, socket, key, loop).begin(with: response)
    }

    private func handOver() {
      guard forget() else { return }
      loop.handOver(socket)
    }

    private func close() {
      guard forget() else { return }
      socket.close()
      loop.ended()
    }

    /// - Returns: Whether the socket was still this one's to pass on or close.
    private func forget() -> Bool {
      guard !isGone else { return false }
      isGone = true
      if let key { loop.reactor.remove(key) }
      key = nil
      loop.ingest.remove(self)
      return true
    }

    func timerFired() { close() }
    func reactorStops() { close() }
    func finish() { close() }
  }
#endif
