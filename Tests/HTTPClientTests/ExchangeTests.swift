import HTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@Suite("One HTTP exchange, and servers that misbehave") struct ExchangeTests {
  private static let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
  private static let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

  private func ask(_ steps: [BadServer.Step], timeout: Duration = .seconds(20), bytesMax: Int = 100) async throws -> ClientAnswer
  {
    let server = try await BadServer(steps)
    var exchange = HTTPExchange(
      .host("127.0.0.1", port: server.port), host: "test", ClientRequest(.GET, "/x", answerBytesMax: bytesMax))
    exchange.timeout = timeout
    let result: Result<ClientAnswer, ClientFailure>
    do throws(ClientFailure) { result = .success(try await exchange.run()) } catch { result = .failure(error) }
    try await server.stop()
    return try result.get()
  }

  private func failure(_ steps: [BadServer.Step], timeout: Duration = .seconds(20), bytesMax: Int = 4) async -> ClientFailure? {
    await #expect(throws: ClientFailure.self) { try await ask(steps, timeout: timeout, bytesMax: bytesMax) }
  }

  @Test(
    "an answer comes whole, however its bytes come and its end is told",
    arguments: [
      [.bytes(whole)], [.byByte(whole)], [.bytes(chunked)], [.byByte(chunked)],
      [.bytes("HTTP/1.1 200 OK\r\n\r\nhello"), .close],
      [.bytes("HTTP/1.1 100 Continue\r\n\r\n" + whole)],
      [.bytes("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"), .close],
      [.bytes(whole + "and more that answers nothing")],
    ] as [[BadServer.Step]])
  func comesWhole(steps: [BadServer.Step]) async throws {
    let answer = try await ask(steps)
    #expect(answer.status == 200)
    #expect(String(buffer: answer.body) == "hello")
  }

  @Test(
    "an answer that ends before its end is none, wherever it is cut", arguments: 0..<whole.utf8.count, [true, false])
  func cut(length: Int, isReset: Bool) async throws {
    let part = String(decoding: ExchangeTests.whole.utf8.prefix(length), as: UTF8.self)
    switch await failure([.bytes(part), isReset ? .reset : .close], bytesMax: 100) {
    case .broken, .ended: break
    case .unreachable, .timedOut, .tooLarge, .malformed, .cancelled, nil: Issue.record("cut at \(length)")
    }
  }

  @Test(
    "who does not answer, or not to the end, is given up at the timeout",
    arguments: ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhel"])
  func silent(part: String) async {
    guard case .timedOut? = await failure([.bytes(part)], timeout: .milliseconds(100)) else {
      Issue.record("it is given up otherwise")
      return
    }
  }

  @Test(
    "more than was allowed is refused, by its head, by its bytes, and by those of pieces",
    arguments: [
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", chunked, "HTTP/1.1 200 OK\r\n\r\nhello",
    ])
  func tooLarge(answer: String) async {
    guard case .tooLarge(bytesMax: 4)? = await failure([.bytes(answer)]) else {
      Issue.record("it is taken")
      return
    }
  }

  @Test(
    "what is no HTTP is refused",
    arguments: ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "\r\n\r\n\u{0}\u{1}"])
  func malformed(answer: String) async {
    guard case .broken? = await failure([.bytes(answer)]) else {
      Issue.record("it is taken")
      return
    }
  }

  @Test("nobody there is told apart from one who does not answer")
  func unreachable() async throws {
    let server = try await BadServer([])
    try await server.stop()
    let failure = await #expect(throws: ClientFailure.self) {
      try await HTTPExchange(.host("127.0.0.1", port: server.port), host: "test", ClientRequest(.GET, "/")).run()
    }
    guard case .unreachable? = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
  }

  @Test("a task that is cancelled waits no longer")
  func cancelled() async throws {
    let server = try await BadServer([])
    let task = Task {
      try await HTTPExchange(.host("127.0.0.1", port: server.port), host: "test", ClientRequest(.GET, "/")).run()
    }
    task.cancel()
    let failure = await #expect(throws: ClientFailure.self) { try await task.value }
    guard case .cancelled? = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    try await server.stop()
  }

  @Test("TLS that is wanted and not there is an error, not plain text")
  func withoutTLS() async throws {
    let exchange = HTTPExchange(try #require(ServiceURL("https://127.0.0.1:1")))
    let failure = await #expect(throws: ClientFailure.self) { try await exchange.run() }
    #expect(failure?.description == "this build has no TLS")
  }
}
