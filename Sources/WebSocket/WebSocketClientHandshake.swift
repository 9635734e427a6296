import NIOCore
import NIOHTTP1

/// The client's half of one opening handshake: builds the request, checks the response.
public struct WebSocketClientHandshake: Sendable {
  public let key: String
  public let subprotocols: [String]
  /// The compression to offer; nil for none.
  public let deflate: WebSocketDeflateSettings?

  /// - Parameters:
  ///   - subprotocols: The subprotocols to offer, in order of preference; if there are any, the server must choose one.
  ///   - deflate: The compression to offer; nil for none.
  public init(subprotocols: [String] = [], deflate: WebSocketDeflateSettings? = nil) {
    var generator = SystemRandomNumberGenerator()
    self.init(
      subprotocols: subprotocols, deflate: deflate,
      key: Base64.encode((0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }))
  }

  /// - Parameter key: 16 random bytes in base64.
  init(subprotocols: [String], deflate: WebSocketDeflateSettings?, key: String) {
    self.subprotocols = subprotocols
    self.deflate = deflate
    self.key = key
  }

  /// - Parameters:
  ///   - uri: Path and query.
  ///   - host: The host, with the port if it is not the scheme's default.
  ///   - headers: Headers to add to the handshake's own.
  public func requestHead(uri: String, host: String, headers: HTTPHeaders = [:]) -> HTTPRequestHead {
    var all: HTTPHeaders = ["Host": host, "Upgrade": "websocket", "Connection": "Upgrade"]
    all.add(contentsOf: handshakeHeaders)
    all.add(contentsOf: headers)
    return HTTPRequestHead(version: .http1_1, method: .GET, uri: uri, headers: all)
  }

  /// The request's `Sec-WebSocket-…` headers.
  public var handshakeHeaders: HTTPHeaders {
    var headers: HTTPHeaders = ["Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key]
    if !subprotocols.isEmpty {
      headers.add(name: "Sec-WebSocket-Protocol", value: subprotocols.joined(separator: ", "))
    }
    if let deflate { headers.add(name: "Sec-WebSocket-Extensions", value: deflate.offer) }
    return headers
  }

  /// Checks the server's response (RFC 6455, section 4.1).
  public func check(_ response: HTTPResponseHead) throws(WebSocketHandshakeError) -> WebSocketAgreement {
    guard response.status == .switchingProtocols else { throw .status(response.status.code) }
    let headers = response.headers
    guard WebSocketHandshake.hasToken("websocket", in: headers, "upgrade"),
      WebSocketHandshake.hasToken("upgrade", in: headers, "connection")
    else { throw .responseHeaders }
    guard headers["sec-websocket-accept"] == [WebSocketHandshake.acceptKey(for: key)] else { throw .acceptKey }

    let chosen = WebSocketHandshake.subprotocols(headers)
    guard chosen.count <= 1, chosen.allSatisfy(subprotocols.contains), chosen.isEmpty == subprotocols.isEmpty else {
      throw .subprotocol
    }
    let responses = headers["sec-websocket-extensions"]
    if deflate == nil && !responses.isEmpty { throw .extensions }
    return WebSocketAgreement(subprotocol: chosen.first, deflate: try deflate?.agreed(responses))
  }
}
