import HTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@Suite("A connection that is kept for further requests") struct ConnectionTests {
  /// The outcomes of requests that are sent one after the other on one connection.
  private func outcomes(_ steps: [BadServer.Step], requests: Int) async throws -> [String] {
    let server = try await BadServer(steps)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try ClientConnection { $0.status == .imATeapot ? "a teapot answered" : nil }.add(to: channel)
        }
      }
      .connect(host: "127.0.0.1", port: server.port).get()
    let connection = try await channel.eventLoop.submit {
      NIOLoopBound(try channel.pipeline.syncOperations.handler(type: ClientConnection.self), eventLoop: channel.eventLoop)
    }.get()
    var outcomes: [String] = []
    for number in 0..<requests {
      let promise = channel.eventLoop.makePromise(of: String.self)
      channel.eventLoop.execute {
        let request = ClientRequest(.GET, "/\(number)", headers: ["Host": "test"])
        connection.value.send(request, deadline: .now() + .seconds(20)) { outcome in
          switch outcome {
          case .success(let answer):
            promise.succeed("\(String(buffer: answer.body)), \(connection.value.isUsable ? "goes on" : "ends")")
          case .failure(let failure): promise.succeed("\(failure)")
          }
        }
      }
      outcomes.append(try await promise.futureResult.get())
    }
    channel.close(promise: nil)
    try await server.stop()
    return outcomes
  }

  private static func answer(_ body: String, _ headers: String = "") -> BadServer.Step {
    .bytes("HTTP/1.1 200 OK\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
  }

  @Test("one request after the other is answered on it")
  func kept() async throws {
    let steps = [
      ConnectionTests.answer("a"), .awaitRequest, ConnectionTests.answer("b"), .awaitRequest, ConnectionTests.answer("c"),
    ]
    #expect(try await outcomes(steps, requests: 3) == ["a, goes on", "b, goes on", "c, goes on"])
  }

  @Test("who says that the connection ends is believed, and no further request goes out")
  func close() async throws {
    let steps = [ConnectionTests.answer("a", "Connection: close\r\n"), .awaitRequest, ConnectionTests.answer("b")]
    #expect(
      try await outcomes(steps, requests: 2) == ["a, ends", "the connection ended before the answer had"])
  }

  @Test("an answer that is objected to is none, and the connection ends with it")
  func objection() async throws {
    let steps: [BadServer.Step] = [
      .bytes("HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n"), .awaitRequest, ConnectionTests.answer("b"),
    ]
    #expect(try await outcomes(steps, requests: 2) == ["a teapot answered", "a teapot answered"])
  }

  @Test("a second answer to one request ends the connection")
  func twice() async throws {
    let steps = [ConnectionTests.answer("a"), ConnectionTests.answer("b")]
    #expect(try await outcomes(steps, requests: 1).first?.hasPrefix("a, ") == true)
  }
}
