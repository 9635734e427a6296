#if os(Linux)
  import Serving
  import Sockets

  /// The state that the connections of one reactor share.
  final class ReactorLoop {
    /// The most bytes of one read, as for NIO's channels.
    private static let readBytesMax = 256 * 1024

    let reactor: Reactor
    let ingest: IngestLoop
    /// Gives a connection that asks for no stream to the HTTP server, with its bytes unread.
    let handOver: @Sendable (StreamSocket, ConnectionPlace) -> Void
    /// The bytes of the read under way.
    let incoming = UnsafeMutableRawBufferPointer.allocate(byteCount: ReactorLoop.readBytesMax, alignment: 64)

    init(reactor: Reactor, ingest: IngestLoop, handOver: @escaping @Sendable (StreamSocket, ConnectionPlace) -> Void) {
      self.reactor = reactor
      self.ingest = ingest
      self.handOver = handOver
    }

    deinit { incoming.deallocate() }
  }
#endif
