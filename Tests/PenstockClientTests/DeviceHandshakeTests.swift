import Logging
import NIOCore
import NIOPosix
import Testing

@testable import PenstockClient
@testable import WebSocket

@Suite("The device client's handshake") struct DeviceHandshakeTests {
  /// How the server answers the handshake.
  private struct Answer: Sendable {
    var key: @Sendable (String) -> String = { WebSocketHandshake.acceptKey(for: $0) }
    /// Bytes of the answer that go out first, by themselves.
    var cut = 0
  }

  private static let welcome =
    #"{"kind":"welcome","heartbeat":"30s","limits":{"message_bytes":1048576,"unacked_messages":16},"resume":{}}"#

  /// Answers 101 together with a welcome, a close 1008 and the end of the connection.
  private static func serve(_ answer: Answer) async throws -> any Channel {
    try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Server(answer)) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  private final class Server: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let answer: Answer
    private var request = ""

    init(_ answer: Answer) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      request += String(buffer: unwrapInboundIn(data))
      guard request.hasSuffix("\r\n\r\n"), let name = request.lowercased().firstRange(of: "sec-websocket-key: ") else { return }
      let key = request[name.upperBound...].prefix { $0 != "\r\n" }
      var bytes = ByteBuffer(
        string: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          + "Sec-WebSocket-Accept: \(answer.key(String(key)))\r\nSec-WebSocket-Protocol: penstock.v1\r\n\r\n")
      bytes.writeBytes([0x81, UInt8(DeviceHandshakeTests.welcome.utf8.count)])
      bytes.writeString(DeviceHandshakeTests.welcome)
      bytes.writeBytes([0x88, 5, 0x03, 0xF0])
      bytes.writeString("no!")
      if let first = bytes.readSlice(length: min(answer.cut, bytes.readableBytes)), first.readableBytes > 0 {
        context.writeAndFlush(NIOAny(first), promise: nil)
      }
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      context.writeAndFlush(NIOAny(bytes)).whenComplete { _ in bound.value.close(promise: nil) }
    }
  }

  private func failure(_ answer: Answer) async throws -> DeviceClientError? {
    let server = try await DeviceHandshakeTests.serve(answer)
    var configuration = DeviceClientConfiguration(port: server.localAddress?.port ?? 0, seed: 1)
    configuration.retryFor = .seconds(30)
    let client = DeviceClient(
      configuration, eventLoop: MultiThreadedEventLoopGroup.singleton.next(),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try await client.send(DeviceMessage(#"{"source":"a","type":"t"}"#.utf8, line: 0))
    client.start()
    let failure = await #expect(throws: DeviceClientError.self) { try await client.finish() }
    try await server.close()
    return failure
  }

  @Test(
    "frames that come with the answer's head and the connection's end are heard",
    arguments: Array(stride(from: 0, to: 260, by: 13)))
  func together(cut: Int) async throws {
    let failure = try await failure(Answer(cut: cut))
    #expect(failure?.code == .closed)
    #expect("\(failure.map { "\($0)" } ?? "")".contains("1008: no!"))
  }

  @Test("the server is named with its port, an IPv6 address in brackets")
  func authority() {
    for (host, authority) in [("127.0.0.1", "127.0.0.1:4000"), ("::1", "[::1]:4000"), ("ingest.example", "ingest.example:4000")] {
      #expect(DeviceClientConfiguration(host: host, port: 4000).authority == authority)
    }
  }

  @Test("a server that answers with another key is refused, whatever it says besides")
  func wrongKey() async throws {
    let failure = try await failure(Answer(key: { _ in "AAAALMBiTxaQ9kYGzzhZRbK+xOo=" }))
    #expect(failure?.code == .refused)
  }
}
