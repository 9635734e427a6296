import Events
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import Serving

private enum Place: Sendable { case echo, hello, held, stream }

/// Says what it is asked.
private final class Echo: HTTPResponder {
  var held: HTTPReply?
  private(set) var answered: [AnsweredRequest] = []
  let heard: Heard

  init(_ heard: Heard) { self.heard = heard }

  var headers: [(name: String, value: String)] { [("X-Echo", "yes")] }

  func answer(_ request: HTTPRequest, _ endpoint: Place, _ reply: HTTPReply) {
    switch endpoint {
    case .echo: reply.send(HTTPAnswer(200, "text/plain", request.body))
    case .hello: reply.send(HTTPAnswer(200, "text/plain", ByteBuffer(string: "hello " + request.parameters[0])))
    case .held: held = reply
    case .stream: reply.upgrade(["Upgrade": "other", "Connection": "upgrade"]) { [heard] in heard }
    }
  }

  func answered(_ answer: AnsweredRequest) { answered.append(answer) }
}

/// Speaks another protocol: keeps what it hears.
private final class Heard: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private(set) var text = ""

  func channelRead(context: ChannelHandlerContext, data: NIOAny) { text += String(buffer: unwrapInboundIn(data)) }
}

/// A connection without a socket.
private final class Embedded {
  let channel = EmbeddedChannel()
  let heard = Heard()
  let responder: Echo
  let service: HTTPService<Place>

  init(_ limits: ServingLimits = ServingLimits()) throws {
    responder = Echo(heard)
    service = HTTPService(
      name: "test",
      routes: RouteTable([
        .post("/echo", .echo, bodyBytesMax: 10), .get("/hello/{name}", .hello), .get("/held", .held), .get("/stream", .stream),
      ]), limits: limits, rules: HostRules(service: "test", listen: "127.0.0.1"),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), description: Array("{}".utf8))
    let listener = HTTPListener("test", group: channel.eventLoop, limits: limits)
    let place = try #require(listener.connections.enter(nil) {})
    try listener.serve(channel, place, service, responder)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
  }

  /// - Returns: All that is answered at once.
  func send(_ text: String) throws -> String {
    if channel.isActive { _ = try channel.writeInbound(ByteBuffer(string: text)) }
    return try answers()
  }

  func answers() throws -> String {
    channel.embeddedEventLoop.run()
    var text = ""
    while let part = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: part) }
    return text
  }

  func ask(_ line: String, _ headers: String = "", _ body: String = "") throws -> String {
    try send("\(line) HTTP/1.1\r\nHost: localhost\r\n\(headers)\r\n\(body)")
  }
}

extension String {
  /// The status of each answer. An embedded channel closes both its sides when one is ended, so that half a request is answered
  /// once more.
  fileprivate var statuses: [String] { matches(of: #/HTTP/1.1 (\d+) /#).map { String($0.1) } }
  fileprivate var isLast: Bool { lowercased().contains("connection: close") }
}

@Suite("One HTTP connection")
struct HTTPConnectionTests {
  @Test("requests are answered one by one, in order, however they come")
  func pipelined() throws {
    let connection = try Embedded()
    let request = "GET /hello/a HTTP/1.1\r\nHost: localhost\r\n\r\n"
    let two = try connection.send(request + request.replacing("/a", with: "/b") + "GET /hel")
    #expect(two.statuses == ["200", "200"] && !two.isLast)
    let (a, b) = (two.firstRange(of: "hello a"), two.firstRange(of: "hello b"))
    #expect(try #require(a).lowerBound < (try #require(b)).lowerBound)
    #expect(two.contains("X-Echo: yes") && two.contains("Date: ") && two.contains("X-Request-Id: "))
    #expect(try connection.send("lo/%C3%A9 HTTP/1.1\r\nHost: localhost\r\n\r\n").hasSuffix("hello é"))
  }

  @Test("a body is taken to its bound, with a length or without, and its bytes are counted until it is answered")
  func bodies() throws {
    let connection = try Embedded()
    #expect(try connection.ask("POST /echo", "Content-Length: 10\r\n", "0123456789").hasSuffix("\r\n\r\n0123456789"))
    #expect(
      try connection.ask("POST /echo", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").hasSuffix("abcde"))
    #expect(connection.responder.answered.map(\.receivedBytes) == [10, 5])
    let declared = try connection.ask("POST /echo", "Content-Length: 11\r\n", "01234567890")
    #expect(declared.statuses == ["413"] && !declared.isLast, "it is short enough to be read")
    let endless = try connection.ask("POST /echo", "Transfer-Encoding: chunked\r\n", "b\r\n01234567890\r\n")
    #expect(endless.statuses.first == "413" && endless.isLast)
    #expect(throws: HTTPProblem.self) { try connection.service.checkRoom(ServingLimits().bodiesBytesMax + 1) }
    try connection.service.checkRoom(ServingLimits().bodiesBytesMax)
  }

  @Test("whoever has much to send, or asks first, is refused before he does")
  func early() throws {
    for (line, headers, status) in [
      ("POST /nothing", "Content-Length: 1000000\r\n", "404"), ("PUT /echo", "Content-Length: 70000\r\n", "405"),
      ("POST /echo", "Content-Length: 11\r\nExpect: 100-continue\r\n", "413"),
      ("POST /nothing", "Transfer-Encoding: chunked\r\n", "404"),
    ] {
      let connection = try Embedded()
      let answer = try connection.ask(line, headers)
      #expect(answer.statuses.first == status && answer.isLast, "\(line)")
      #expect(answer.contains(#""request_id":""#))
    }
    let connection = try Embedded()
    let asked = try connection.ask("POST /echo", "Content-Length: 2\r\nExpect: 100-continue\r\n")
    #expect(asked.statuses == ["100"])
    #expect(try connection.send("ok").hasSuffix("ok"))
    let refused = try connection.ask("POST /nothing", "Content-Length: 2\r\n", "ok")
    #expect(refused.statuses == ["404"] && !refused.isLast)
    #expect(try connection.ask("HEAD /hello/a").hasSuffix("\r\n\r\n"))
    #expect(try connection.ask("GET /livez").hasSuffix(#"{"status":"alive"}"#))
  }

  @Test("all requests together have a bound of bodies")
  func together() throws {
    let connection = try Embedded(ServingLimits(bodiesBytesMax: 4))
    #expect(try connection.ask("POST /echo", "Content-Length: 5\r\n", "01234").statuses == ["503"])
    #expect(try connection.ask("POST /echo", "Content-Length: 4\r\n", "0123").hasSuffix("0123"))
    let endless = try connection.ask("POST /echo", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    #expect(endless.statuses == ["503"] && endless.isLast)
    try connection.service.checkRoom(4)
  }

  @Test("a reply counts once, and for its own request")
  func replies() throws {
    let connection = try Embedded()
    #expect(try connection.ask("GET /held").isEmpty)
    let reply = try #require(connection.responder.held)
    #expect(reply.isAwaited)
    reply.send(HTTPAnswer(200, "text/plain", ByteBuffer(string: "first")))
    reply.send(HTTPAnswer(200, "text/plain", ByteBuffer(string: "second")))
    #expect(try connection.answers().hasSuffix("first"))
    #expect(try connection.ask("GET /held").isEmpty)
    #expect(!reply.isAwaited)
    reply.send(HTTPAnswer(200, "text/plain", ByteBuffer(string: "third")))
    #expect(try connection.answers().isEmpty)
    let second = try #require(connection.responder.held)
    connection.channel.close(promise: nil)
    connection.channel.embeddedEventLoop.run()
    #expect(!second.isAwaited)
    second.send(HTTPAnswer(200, "text/plain", ByteBuffer(string: "fourth")))
    #expect(try connection.answers().isEmpty)
  }

  @Test("another protocol hears every byte behind its request, and only those", arguments: ["", "abc"])
  func upgrade(behind: String) throws {
    let connection = try Embedded()
    let answer = try connection.ask("GET /stream", "Upgrade: other\r\nConnection: upgrade\r\n", behind)
    #expect(answer.hasPrefix("HTTP/1.1 101 ") && answer.hasSuffix("\r\n\r\n"))
    #expect(try connection.send("def").isEmpty)
    #expect(connection.heard.text == behind + "def")
  }

  @Test("a request for another protocol that is answered is the connection's last")
  func notUpgraded() throws {
    let answer = try Embedded().ask("GET /hello/a", "Upgrade: h2c\r\nConnection: upgrade\r\n")
    #expect(answer.statuses == ["200"] && answer.isLast)
  }

  @Test("a host that is not the service's is refused, whatever is asked")
  func host() throws {
    let connection = try Embedded()
    let answer = try connection.send("GET /hello/a HTTP/1.1\r\nHost: rebind.example\r\n\r\n")
    #expect(answer.statuses == ["403"] && answer.contains("host_forbidden"))
    #expect(try connection.send("GET http://localhost/hello/a HTTP/1.1\r\nHost: x\r\n\r\n").hasSuffix("hello a"))
  }
}
