import Serving

#if os(Linux)
  import Events
  import Serving
  import NIOCore
  import NIOHTTP1
  import Sockets
  import WebSocket

  /// A connection whose kind is not known yet. Its bytes are examined and left in the socket, until it becomes a stream
  /// here or is handed over to the HTTP server, which answers all other requests.
  final class ArrivingConnection: SocketHandler, DrainableConnection {
    private let socket: StreamSocket
    private let place: ConnectionPlace
    private let loop: ReactorLoop
    private let admission = DeviceAdmission()
    private var key: SocketKey?
    private var isGone = false

    private init(_ socket: StreamSocket, _ place: ConnectionPlace, _ loop: ReactorLoop) {
      self.socket = socket
      self.place = place
      self.loop = loop
    }

    /// Takes an accepted connection. A peer that has asked for nothing within the time for a head is cut off.
    static func begin(_ socket: StreamSocket, _ place: ConnectionPlace, on loop: ReactorLoop) {
      let connection = ArrivingConnection(socket, place, loop)
      let bound = LoopBound(connection, loop.reactor), reactor = loop.reactor
      guard place.attach(close: { reactor.execute { bound.value.close() } }) else { return connection.close() }
      do throws(SocketError) {
        // Edge-triggered: examined bytes stay readable.
        let key = try loop.reactor.add(socket.descriptor, connection, [.read, .onArrival])
        connection.key = key
        loop.reactor.setTimer(key, after: loop.ingest.configuration.serving.requestTimeout)
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
        guard place.shortage == nil, let (agreement, response) = answer(to: head) else { return handOver() }
        guard place.busy() else { return close() }
        // They are there: they have just been examined.
        guard
          socket.read(into: UnsafeMutableRawBufferPointer(rebasing: loop.incoming[..<byteCount])) == .bytes(byteCount)
        else { return close() }
        open(head, agreement, response)
      }
    }

    /// Nil if the answer is not 101: what is wrong with it is told by the HTTP server.
    private func answer(to head: HTTPRequestHead) -> (WebSocketAgreement, response: [UInt8])? {
      var checked = head
      do throws(HTTPProblem) {
        _ = try loop.ingest.rules.check(&checked)
        let (agreement, headers) = try StreamAdmission.accept(head, loop.ingest, admission)
        return (agreement, WebSocketHandshake.response(headers))
      } catch {
        return nil
      }
    }

    private func open(_ head: HTTPRequestHead, _ agreement: WebSocketAgreement, _ response: [UInt8]) {
      guard let key else { return }
      self.key = nil
      // A stream does not give way.
      _ = place.attach(close: {})
      loop.ingest.remove(self)
      let session = WebSocketSession(
        ingest: loop.ingest, agreement: agreement, sources: StreamAdmission.sources(of: head), admission: admission)
      ReactorTransport(session, socket, key, place, loop).begin(with: response)
    }

    private func handOver() {
      guard forget() else { return }
      loop.handOver(socket, place)
    }

    private func close() {
      guard forget() else { return }
      admission.leave(loop.ingest)
      socket.close()
      place.leave()
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
    /// It has shown no token yet.
    func accessChanged() {}
    var isFromThisMachine: Bool { socket.isFromThisMachine }
  }
#endif
