import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import WebSocket

@Suite("Opening handshake")
struct HandshakeTests {
  @Test("SHA-1 gives the published digests")
  func sha1() {
    func hex(_ text: String) -> String {
      SHA1.digest(Array(text.utf8)).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    #expect(hex("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    #expect(hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d")
    #expect(
      hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") == "84983e441c3bd26ebaae4aa1f95129e5e54670f1")
    #expect(hex(String(repeating: "a", count: 1_000)) == "291e9a6c66994949b57ba5e650361e98fc36b1ba")
    #expect(hex(String(repeating: "a", count: 64)) == "0098ba824b5c16427bd7a1122a5a442a25ec644d")
  }

  @Test("the accept key of RFC 6455's example")
  func acceptKey() {
    #expect(WebSocketHandshake.acceptKey(for: "dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
  }

  private static func request(_ change: (inout HTTPRequestHead) -> Void = { _ in }) -> HTTPRequestHead {
    var head = HTTPRequestHead(
      version: .http1_1, method: .GET, uri: "/v1/stream?source=a",
      headers: [
        "Host": "localhost", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      ])
    change(&head)
    return head
  }

  static let faults: [(String, @Sendable (inout HTTPRequestHead) -> Void, WebSocketHandshakeError, UInt)] = [
    ("POST", { $0.method = .POST }, .methodNotGet, 405),
    ("HTTP/1.0", { $0.version = .http1_0 }, .versionNotHTTP11, 400),
    ("no Upgrade", { $0.headers.remove(name: "Upgrade") }, .upgradeMissing, 426),
    ("another Upgrade", { $0.headers.replaceOrAdd(name: "Upgrade", value: "h2c") }, .upgradeMissing, 426),
    ("no Connection", { $0.headers.remove(name: "Connection") }, .connectionMissing, 400),
    ("another Connection", { $0.headers.replaceOrAdd(name: "Connection", value: "keep-alive") }, .connectionMissing, 400),
    ("no version", { $0.headers.remove(name: "Sec-WebSocket-Version") }, .versionUnsupported, 426),
    ("version 8", { $0.headers.replaceOrAdd(name: "Sec-WebSocket-Version", value: "8") }, .versionUnsupported, 426),
    ("no key", { $0.headers.remove(name: "Sec-WebSocket-Key") }, .keyInvalid, 400),
    ("two keys", { $0.headers.add(name: "Sec-WebSocket-Key", value: "dGhlIHNhbXBsZSBub25jZQ==") }, .keyInvalid, 400),
    ("a short key", { $0.headers.replaceOrAdd(name: "Sec-WebSocket-Key", value: "dGhlIHNhbXBsZQ==") }, .keyInvalid, 400),
    (
      "a key not base64", { $0.headers.replaceOrAdd(name: "Sec-WebSocket-Key", value: "dGhlIHNhbXBsZSBub25j!Q==") },
      .keyInvalid, 400
    ),
  ]

  @Test("each fault of a request is named, and answered with its status", arguments: faults)
  func requestFaults(
    name: String, change: @Sendable (inout HTTPRequestHead) -> Void, error: WebSocketHandshakeError, status: UInt
  ) {
    #expect(throws: error) { try WebSocketHandshake.check(Self.request(change)) }
    let refusal = WebSocketHandshake.refusal(of: error)
    #expect(refusal.status.code == status)
    #expect((refusal.headers["sec-websocket-version"] == ["13"]) == (status == 426))
  }

  @Test("a right request passes, in any case of its tokens")
  func rightRequest() throws {
    #expect(try WebSocketHandshake.check(Self.request()) == "dGhlIHNhbXBsZSBub25jZQ==")
    let loud = Self.request {
      $0.headers.replaceOrAdd(name: "Upgrade", value: "WebSocket")
      $0.headers.replaceOrAdd(name: "Connection", value: "UPGRADE")
    }
    #expect(try WebSocketHandshake.check(loud) == "dGhlIHNhbXBsZSBub25jZQ==")
  }

  @Test("subprotocols are read in order, from one field or several")
  func subprotocols() {
    let headers: HTTPHeaders = ["Sec-WebSocket-Protocol": "penstock.v1, cloudevents.json", "sec-websocket-protocol": "c"]
    #expect(WebSocketHandshake.subprotocols(headers) == ["penstock.v1", "cloudevents.json", "c"])
  }

  // MARK: - Through NIO's upgrade handlers

  private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    var bytes: [UInt8] = []
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { bytes += unwrapInboundIn(data).readableBytesView }
  }

  private final class HTTPCollector: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    var refusal: WebSocketRefusal?
    var heads = 0
    func errorCaught(context: ChannelHandlerContext, error: any Error) { refusal = error as? WebSocketRefusal }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      if case .head = unwrapInboundIn(data) { heads += 1 }
    }
  }

  private func serialized(_ head: HTTPRequestHead) -> ByteBuffer {
    var buffer = ByteBuffer(string: "\(head.method) \(head.uri) HTTP/1.1\r\n")
    for (name, value) in head.headers { buffer.writeString("\(name): \(value)\r\n") }
    buffer.writeString("\r\n")
    return buffer
  }

  private func server(
    _ collector: Collector, _ next: HTTPCollector, _ decision: WebSocketUpgradeDecision
  ) throws -> EmbeddedChannel {
    let channel = EmbeddedChannel()
    let upgrader = WebSocketServerUpgrader(deflate: WebSocketDeflateSettings()) { channel, head in
      #expect(head.uri == "/v1/stream?source=a")
      return channel.eventLoop.makeSucceededFuture(decision)
    } upgradePipelineHandler: { context, agreement, _ in
      #expect(agreement.subprotocol == "penstock.v1")
      #expect(agreement.deflate == WebSocketDeflateParameters(clientMaxWindowBits: 15))
      let operations = context.pipeline.syncOperations
      do {
        try operations.addHandler(collector)
      } catch {
        return context.eventLoop.makeFailedFuture(error)
      }
      // It must not see frames.
      return operations.removeHandler(next)
    }
    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
      withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
    try channel.pipeline.syncOperations.addHandler(next)
    return channel
  }

  @Test("client and server upgraders shake hands; frames sent right with the handshake arrive")
  func upgrade() throws {
    let handshake = WebSocketClientHandshake(
      subprotocols: ["penstock.v1", "other"], deflate: WebSocketDeflateSettings(), key: "dGhlIHNhbXBsZSBub25jZQ==")
    let head = handshake.requestHead(uri: "/v1/stream?source=a", host: "localhost")
    let collector = Collector()
    let next = HTTPCollector()
    let channel = try server(collector, next, .accept(subprotocol: "penstock.v1", headers: ["X-Node": "1"]))
    var bytes = serialized(head)
    bytes.writeBytes(frame(0x81, [65]))
    try channel.writeInbound(bytes)
    channel.embeddedEventLoop.run()
    var reply = ByteBuffer()
    while var part = try channel.readOutbound(as: ByteBuffer.self) { reply.writeBuffer(&part) }
    let text = String(buffer: reply)
    #expect(text.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
    #expect(collector.bytes == frame(0x81, [65]))
    #expect(next.heads == 0)

    var headers = HTTPHeaders()
    for line in text.split(separator: "\r\n").dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      headers.add(name: String(parts[0]), value: String(parts[1].drop { $0 == " " }))
    }
    #expect(headers["x-node"] == ["1"])
    let agreement = try handshake.check(HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers))
    #expect(agreement == WebSocketAgreement(subprotocol: "penstock.v1", deflate: WebSocketDeflateParameters()))
    _ = try channel.finish(acceptAlreadyClosed: true)
  }

  @Test("a refused request goes on to the next handler, the refusal before it")
  func refused() throws {
    let collector = Collector()
    let next = HTTPCollector()
    let channel = try server(collector, next, .refuse(WebSocketRefusal(status: .unauthorized)))
    try channel.writeInbound(serialized(Self.request()))
    #expect(next.refusal == WebSocketRefusal(status: .unauthorized))
    #expect(next.heads == 1)
    #expect(collector.bytes.isEmpty)
    _ = try channel.finish(acceptAlreadyClosed: true)
  }

  @Test("a malformed request goes on to the next handler, with the refusal of its fault")
  func malformed() throws {
    let next = HTTPCollector()
    let channel = try server(Collector(), next, .accept(subprotocol: nil))
    try channel.writeInbound(
      serialized(Self.request { $0.headers.replaceOrAdd(name: "Sec-WebSocket-Version", value: "7") }))
    #expect(next.refusal?.status == .upgradeRequired)
    #expect(next.heads == 1)
    _ = try channel.finish(acceptAlreadyClosed: true)
  }

  @Test("a client checks all of the response")
  func responses() throws {
    let handshake = WebSocketClientHandshake(subprotocols: ["a", "b"], deflate: nil, key: "dGhlIHNhbXBsZSBub25jZQ==")
    let good: HTTPHeaders = [
      "Upgrade": "WebSocket", "Connection": "upgrade", "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
      "Sec-WebSocket-Protocol": "b",
    ]
    func check(_ status: HTTPResponseStatus = .switchingProtocols, _ name: String = "", _ value: String? = nil)
      -> Result<WebSocketAgreement, WebSocketHandshakeError>
    {
      var headers = good
      if !name.isEmpty { headers.remove(name: name) }
      if let value { headers.add(name: name, value: value) }
      return Result { () throws(WebSocketHandshakeError) in
        try handshake.check(HTTPResponseHead(version: .http1_1, status: status, headers: headers))
      }
    }
    #expect(check() == .success(WebSocketAgreement(subprotocol: "b")))
    #expect(check(.unauthorized) == .failure(.status(401)))
    #expect(check(.switchingProtocols, "Upgrade") == .failure(.responseHeaders))
    #expect(check(.switchingProtocols, "Connection", "close") == .failure(.responseHeaders))
    #expect(check(.switchingProtocols, "Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=") == .failure(.acceptKey))
    #expect(check(.switchingProtocols, "Sec-WebSocket-Accept") == .failure(.acceptKey))
    #expect(check(.switchingProtocols, "Sec-WebSocket-Protocol", "c") == .failure(.subprotocol))
    #expect(check(.switchingProtocols, "Sec-WebSocket-Protocol") == .failure(.subprotocol))
    #expect(check(.switchingProtocols, "Sec-WebSocket-Extensions", "permessage-deflate") == .failure(.extensions))
  }
}
