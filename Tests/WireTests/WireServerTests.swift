import Events
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Serving
import Synchronization
import Testing

@testable import Wire

/// Answers `POST /v1/wait` when it is let, and anything else at once.
private final class StubRoutes: WireRoutes {
  let openAPI = Array("{}".utf8)
  let begun = Atomic<Int>(0)
  let cancelled = Atomic<Int>(0)

  var table: RouteTable<WireEndpoint> {
    let path: WireEndpoint = { request in WireResponse(["path": .string(String(request.path))]) }
    return RouteTable([
      .read("/v1/log", path), .ask("/v1/log", bodyBytesMax: 1 << 20, path),
      .ask("/v1/wait", bodyBytesMax: 1 << 20) { [self] request in
        begun.add(1, ordering: .relaxed)
        // Until the client has left.
        do { try await Task.sleep(for: .seconds(60)) } catch { cancelled.add(1, ordering: .relaxed) }
        return await path(request)
      },
    ])
  }
}

/// A connection that gathers what comes.
private final class RawConnection: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  private let received = Mutex<(text: String, isEnded: Bool)>(("", false))

  var text: String { received.withLock { $0.text } }
  var isEnded: Bool { received.withLock { $0.isEnded } }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    received.withLock { $0.text += String(buffer: unwrapInboundIn(data)) }
  }

  func channelInactive(context: ChannelHandlerContext) { received.withLock { $0.isEnded = true } }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

@Suite("The mesh's HTTP server") struct WireServerTests {
  private let group = MultiThreadedEventLoopGroup.singleton
  private let routes = StubRoutes()

  private func serve(_ limits: ServingLimits, _ body: (SocketAddress) async throws -> Void) async throws {
    let server = WireServer(
      name: "log", host: "127.0.0.1", port: 0, limits: limits, group: group, routes: routes,
      probe: ServiceProbe(readiness: { .init([]) }, metrics: { "" }), logger: Logger(label: "test"))
    let address = try #require(try await server.start())
    do {
      try await body(address)
    } catch {
      await server.shutDown()
      throw error
    }
    await server.shutDown()
  }

  private func dial(_ address: SocketAddress, _ text: String) async throws -> (connection: RawConnection, channel: any Channel) {
    let connection = RawConnection()
    let channel = try await ClientBootstrap(group: group)
      .channelInitializer { channel in channel.pipeline.addHandler(connection) }
      .connect(to: address).get()
    if !text.isEmpty { try await channel.writeAndFlush(ByteBuffer(string: text)).get() }
    return (connection, channel)
  }

  private func ask(_ address: SocketAddress, _ head: String) async throws -> String {
    let (connection, _) = try await dial(address, head + "Connection: close\r\n\r\n")
    try await eventually { connection.isEnded }
    return connection.text
  }

  private func eventually(_ condition: () -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while !condition() {
      try #require(ContinuousClock.now < deadline, "waited too long")
      try await Task.sleep(for: .milliseconds(2))
    }
  }

  @Test("silent connections, half-sent heads and idle ones give way, however many there are")
  func idle() async throws {
    try await serve(ServingLimits(connectionsMax: 20)) { address in
      var held: [any Channel] = []
      for text in ["", "GET /v1/log HTTP/1.1\r\nHost: ", "GET /livez HTTP/1.1\r\nHost: penstock-log\r\n\r\n"] {
        for _ in 0..<30 { held.append(try await dial(address, text).channel) }
        let answer = try await ask(address, "GET /v1/log HTTP/1.1\r\nHost: penstock-log\r\n")
        #expect(answer.contains(#"{"path":"/v1/log"}"#))
      }
      for channel in held { try? await channel.close() }
    }
  }

  @Test("where all are busy, health is answered, and others are told")
  func busy() async throws {
    try await serve(ServingLimits(connectionsMax: 3)) { address in
      let wait = "POST /v1/wait HTTP/1.1\r\nHost: penstock-log\r\nContent-Length: 0\r\n\r\n"
      var held: [any Channel] = []
      for _ in 0..<3 { held.append(try await dial(address, wait).channel) }
      // A connection whose head has not been read yet would give way to the next.
      try await eventually { routes.begun.load(ordering: .relaxed) == 3 }
      var answer = ""
      repeat { answer = try await ask(address, "GET /v1/log HTTP/1.1\r\nHost: penstock-log\r\n") } while answer.contains(" 200 ")
      #expect(answer.hasPrefix("HTTP/1.1 503") && answer.contains("too_many_connections"))
      let health = try await ask(address, "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
      #expect(health.hasPrefix("HTTP/1.1 200"))
      for channel in held { try await channel.close() }
      try await eventually { routes.cancelled.load(ordering: .relaxed) >= 3 }
    }
  }

  @Test("heads are timed from the beginning of the connection, and the next from the end of an answer")
  func times() async throws {
    try await serve(ServingLimits(requestTimeout: .milliseconds(200))) { address in
      let (silent, _) = try await dial(address, "")
      try await eventually { silent.isEnded }
      #expect(silent.text.isEmpty)
    }
    // A head's own time is long, since whoever dials may be slow to write.
    for (limits, text) in [
      (ServingLimits(requestTimeout: .seconds(2)), "GET /v1/log HTTP/1.1\r\nHost: "),
      (ServingLimits(idleTimeout: .milliseconds(200)), "GET /livez HTTP/1.1\r\nHost: penstock-log\r\n\r\n"),
    ] {
      try await serve(limits) { address in
        let (connection, _) = try await dial(address, text)
        try await eventually { connection.isEnded }
        #expect(connection.text.hasPrefix("HTTP/1.1 200") == text.hasSuffix("\r\n\r\n"))
      }
    }
  }

  @Test("no page and no other host may ask")
  func origins() async throws {
    try await serve(ServingLimits()) { address in
      let origin = "Origin: http://127.0.0.1:\(address.port ?? 0)\r\n"
      for (head, code) in [
        ("GET /v1/log HTTP/1.1\r\nHost: rebind.example\r\n", "host_forbidden"),
        ("POST /v1/log HTTP/1.1\r\nHost: penstock-log\r\n\(origin)", "origin_forbidden"),
        ("POST /v1/log HTTP/1.1\r\n", "invalid_host"),
      ] {
        let answer = try await ask(address, head)
        #expect(answer.contains(code), "\(head)")
      }
    }
  }
}
