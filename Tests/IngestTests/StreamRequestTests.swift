#if os(Linux)
  import NIOHTTP1
  import Testing

  @testable import Ingest

  @Suite("The head of GET /v1/stream")
  struct StreamRequestTests {
    static let plain =
      "GET /v1/stream?source=a%20b HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
      + "Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: \t13 \r\nEmpty:\r\n\r\n"

    func read(_ text: String) -> StreamRequest.Reading { Array(text.utf8).withUnsafeBytes { StreamRequest.read($0) } }

    @Test("is read whole, and what follows is left")
    func whole() {
      guard case .head(let head, let count) = read(StreamRequestTests.plain + "\u{1}\u{2}") else {
        Issue.record("not read")
        return
      }
      #expect(count == StreamRequestTests.plain.utf8.count)
      #expect(head.method == .GET && head.version == .http1_1 && head.uri == "/v1/stream?source=a%20b")
      #expect(head.headers["sec-websocket-key"] == ["dGhlIHNhbXBsZSBub25jZQ=="])
      #expect(head.headers["sec-websocket-version"] == ["13"])
      #expect(head.headers["empty"] == [""])
    }

    @Test("cut anywhere, is not decided before it is whole", arguments: 0..<plain.utf8.count)
    func cut(at length: Int) {
      guard case .incomplete = read(String(StreamRequestTests.plain.utf8.prefix(length))!) else {
        Issue.record("decided after \(length) bytes")
        return
      }
    }

    @Test(
      "whatever is unusual is left to the HTTP server",
      arguments: [
        "POST /v1/events HTTP/1.1\r\n", "GET /v1/streams HTTP/1.1\r\n\r\n", "GET /v1/stream/x HTTP/1.1\r\n\r\n",
        "GET /v1/stream HTTP/1.0\r\n\r\n", "GET  /v1/stream HTTP/1.1\r\n\r\n", "GET /v1/stream HTTP/1.1\n\n",
        "GET /v1/stream HTTP/1.1\r\nHost: a\n\r\n", "GET /v1/stream HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET /v1/stream HTTP/1.1\r\nA : b\r\n\r\n", "GET /v1/stream HTTP/1.1\r\n: b\r\n\r\n",
        "GET /v1/stream HTTP/1.1\r\nA: \u{7}\r\n\r\n", "GET /v1/stream HTTP/1.1\r\nA\r\n\r\n",
        "GET /v1/stream HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "GET /v1/stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /v1/stream?é HTTP/1.1\r\n\r\n", "get /v1/stream HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}",
        "GET /v1/stream HTTP/1.1\r\nA: " + String(repeating: "x", count: StreamRequest.headBytesMax),
      ])
    func unusual(text: String) {
      guard case .other = read(text) else {
        Issue.record("taken: \(text.debugDescription.prefix(100))")
        return
      }
    }
  }
#endif
