#if os(Linux)
  import Glibc
  import Logging
  import NIOCore
  import NIOPosix
  import Serving
  import Testing
  import WebSocket

  @testable import Ingest

  /// A device's end of a stream, whose every system call the test decides. It blocks.
  private final class RawDevice {
    struct Failed: Error { var what: String }

    private let socket: Int32
    private var text = ""

    /// Connects, and returns once it is welcomed.
    init(_ address: SocketAddress) throws {
      socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      let status = address.withSockAddr { Glibc.connect(socket, $0, socklen_t($1)) }
      guard status == 0 else { throw Failed(what: "connect") }
      // No read waits longer than a test may.
      var limit = timeval(tv_sec: 60, tv_usec: 0)
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      let head =
        "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
      try write(Array(head.utf8))
      try readUntil("welcome")
    }

    private func write(_ bytes: [UInt8]) throws {
      guard Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { throw Failed(what: "send") }
    }

    /// Sends a message of one event.
    func send(_ sequence: Int) throws {
      var frame = ByteBuffer()
      Array(#"{"source":"a","type":"t","sequence":\#(sequence)}"#.utf8).withUnsafeBytes {
        frame.writeWebSocketFrame(.text, $0, maskKey: 0x0102_0304)
      }
      try write(Array(buffer: frame))
    }

    /// Reads until a text has come.
    func readUntil(_ part: String) throws {
      while !text.contains(part) {
        guard try readSome() else { throw Failed(what: "the connection ended before \(part): \(text)") }
      }
    }

    /// - Returns: False at the end of the stream.
    func readSome() throws -> Bool {
      var bytes = [UInt8](repeating: 0, count: 4096)
      let count = recv(socket, &bytes, bytes.count, 0)
      guard count >= 0 else { throw Failed(what: "recv: \(String(cString: strerror(errno)))") }
      text += String(decoding: bytes[..<count], as: UTF8.self)
      return count > 0
    }

    /// Sends no more.
    func endOutput() { shutdown(socket, Int32(SHUT_WR)) }

    /// Closes with a reset.
    func reset() {
      var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
      setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
      close(socket)
    }

    func end() { close(socket) }
  }

  /// Readiness is reported once: none of it may be lost while a connection is not read.
  @Suite("Streams on edge-triggered sockets", .timeLimit(.minutes(2)))
  struct EdgeTests {
    /// Serves on one reactor, with one message a connection that waits for its answer.
    private func serve(connectionsMax: Int = 100, _ body: (SocketAddress, HeldLog) async throws -> Void) async throws {
      let log = HeldLog(partitionCount: 1)
      let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
      let service = IngestService(
        configuration: IngestConfiguration(
          port: 0, unackedMessagesMax: 1, serving: ServingLimits(connectionsMax: connectionsMax), reactors: 1), log: log,
        group: group,
        probe: ServiceProbe(readiness: { .init([]) }, metrics: { "" }), logger: Logger(label: "test"))
      let address = try #require(try await service.start())
      do {
        try await body(address, log)
      } catch {
        await service.shutDown(timeout: .seconds(1))
        throw error
      }
      await service.shutDown(timeout: .seconds(1))
      try await group.shutdownGracefully()
    }

    @Test("messages that come while none is taken are taken later, one after the other, though no more bytes come")
    func paused() async throws {
      try await serve { address, log in
        let device = try RawDevice(address)
        defer { device.end() }
        for sequence in 1...4 { try device.send(sequence) }
        for messages in 1...4 {
          try await eventually { log.heldCount == 1 }
          log.complete(0)
          try device.readUntil(#""messages":\#(messages),"#)
        }
        // Silence after a short read, and then one more: a new edge.
        try device.send(5)
        try await eventually { log.heldCount == 1 }
        log.complete(0)
        try device.readUntil(#""messages":5,"#)
      }
    }

    @Test("the end of a peer that came behind its last message while none was taken is seen, and the message is taken")
    func halfClosed() async throws {
      try await serve { address, log in
        let device = try RawDevice(address)
        defer { device.end() }
        try device.send(1)
        try await eventually { log.heldCount == 1 }
        try device.send(2)
        device.endOutput()
        log.complete(0)
        // The read that takes the message is short of the room there is, and no edge tells of the end again.
        while try device.readSome() {}
        try await eventually { log.heldCount == 1 }
        #expect(log.heldBatches.map(\.count) == [1])
        log.complete(0)
      }
    }

    @Test("a message and the end right behind it, in one go, leave no connection open", arguments: 1...5)
    func endBehind(number: Int) async throws {
      try await serve { address, log in
        let device = try RawDevice(address)
        defer { device.end() }
        try device.send(number)
        device.endOutput()
        try await eventually { log.heldCount == 1 }
        log.complete(0)
        try device.readUntil(#""messages":1,"#)
        while try device.readSome() {}
      }
    }

    @Test("a peer that resets while none of its messages is taken gives its place to the next")
    func reset() async throws {
      try await serve(connectionsMax: 1) { address, log in
        for number in 1...3 {
          var device: RawDevice?
          // The place is free a moment after the reset, though the message before it is not answered for.
          try await eventually {
            do { device = try RawDevice(address) } catch { return false }
            return true
          }
          if log.heldCount == 1 { log.complete(0) }
          try device?.send(2 * number)
          try await eventually { log.heldCount == 1 }
          try device?.send(2 * number + 1)
          device?.reset()
        }
        log.complete(0)
      }
    }
  }
#endif
