#if os(Linux)
  import Serving
  import Sockets

  /// What the connections of one reactor share.
  final class ReactorLoop {
    /// As much as one read takes, and as NIO's channels take at most.
    private static let readBytesMax = 256 * 1024

    let reactor: Reactor
    let ingest: IngestLoop
    /// Gives a connection that asks for no stream to the HTTP server, with its bytes unread.
    let handOver: @Sendable (StreamSocket, ConnectionPlace) -> Void
    /// What the read under way has brought.
    let incoming = UnsafeMutableRawBufferPointer.allocate(byteCount: ReactorLoop.readBytesMax, alignment: 64)

    init(reactor: Reactor, ingest: IngestLoop, handOver: @escaping @Sendable (StreamSocket, ConnectionPlace) -> Void) {
      self.reactor = reactor
      self.ingest = ingest
      self.handOver = handOver
    }

    deinit { incoming.deallocate() }
  }
#endif
