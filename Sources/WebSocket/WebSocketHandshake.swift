import NIOCore
import NIOHTTP1

/// The opening handshake (RFC 6455, section 4), apart from any channel.
public enum WebSocketHandshake {
  /// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
  public static func acceptKey(for key: String) -> String {
    Base64.encode(SHA1.digest(Array(key.utf8) + Array("258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)))
  }

  /// Whether the request asks for a WebSocket at all, rightly or not.
  public static func isUpgrade(_ head: HTTPRequestHead) -> Bool {
    hasToken("websocket", in: head.headers, "upgrade")
  }

  /// A server's check of a request (section 4.2.1).
  ///
  /// - Returns: The request's `Sec-WebSocket-Key`.
  public static func check(_ head: HTTPRequestHead) throws(WebSocketHandshakeError) -> String {
    guard head.method == .GET else { throw .methodNotGet }
    guard head.version.major > 1 || (head.version.major == 1 && head.version.minor >= 1) else { throw .versionNotHTTP11 }
    guard hasToken("websocket", in: head.headers, "upgrade") else { throw .upgradeMissing }
    guard hasToken("upgrade", in: head.headers, "connection") else { throw .connectionMissing }
    // The version comes first: another version may have other headers.
    guard trimmed(head.headers["sec-websocket-version"]) == ["13"] else { throw .versionUnsupported }
    let keys = trimmed(head.headers["sec-websocket-key"])
    guard keys.count == 1, Base64.isKeyOf16Bytes(keys[0]) else { throw .keyInvalid }
    return keys[0]
  }

  /// Agrees to a request that passed `check`.
  ///
  /// - Parameters:
  ///   - request: Its head.
  ///   - key: The result of `check`.
  ///   - subprotocol: A subprotocol that the request names, or nil.
  ///   - deflate: The compression to accept; nil for none.
  /// - Returns: The agreement, and the response's headers for it, besides `Connection` and `Upgrade`.
  public static func accept(
    _ request: HTTPRequestHead, key: String, subprotocol: String?, deflate: WebSocketDeflateSettings?
  ) -> (agreement: WebSocketAgreement, headers: HTTPHeaders) {
    var agreement = WebSocketAgreement(subprotocol: subprotocol)
    var headers: HTTPHeaders = ["Sec-WebSocket-Accept": acceptKey(for: key)]
    if let subprotocol {
      precondition(subprotocols(request.headers).contains(subprotocol), "subprotocol not in the request")
      headers.add(name: "Sec-WebSocket-Protocol", value: subprotocol)
    }
    if let accepted = deflate?.accept(request.headers["sec-websocket-extensions"]) {
      headers.add(name: "Sec-WebSocket-Extensions", value: accepted.response)
      agreement.deflate = accepted.parameters
    }
    return (agreement, headers)
  }

  /// The bytes of the 101 response: these headers, and `Connection` and `Upgrade`.
  public static func response(_ headers: HTTPHeaders) -> [UInt8] {
    var text = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    for (name, value) in headers { text += "\(name): \(value)\r\n" }
    return Array((text + "\r\n").utf8)
  }

  /// The subprotocols that a request or response names, in order of preference.
  public static func subprotocols(_ headers: HTTPHeaders) -> [String] {
    headers[canonicalForm: "sec-websocket-protocol"].map(String.init).filter { !$0.isEmpty }
  }

  /// The answer to a request that failed `check`: 426 with the version if the version is wrong or the upgrade is missing, else
  /// 400.
  public static func refusal(of error: WebSocketHandshakeError) -> WebSocketRefusal {
    switch error {
    case .versionUnsupported, .upgradeMissing:
      WebSocketRefusal(
        status: .upgradeRequired,
        headers: ["Sec-WebSocket-Version": "13", "Upgrade": "websocket", "Connection": "upgrade"],
        detail: "this address speaks WebSocket version 13")
    case .methodNotGet:
      WebSocketRefusal(status: .methodNotAllowed, headers: ["Allow": "GET"], detail: "a WebSocket opens with GET")
    case .versionNotHTTP11, .connectionMissing, .keyInvalid, .status, .responseHeaders, .acceptKey, .subprotocol, .extensions:
      WebSocketRefusal(status: .badRequest, detail: "not a WebSocket handshake: \(error)")
    }
  }

  static func hasToken(_ token: String, in headers: HTTPHeaders, _ name: String) -> Bool {
    headers[canonicalForm: name].contains { $0.lowercased() == token }
  }

  private static func trimmed(_ values: [String]) -> [String] {
    values.map { value in
      let space: (Character) -> Bool = { $0 == " " || $0 == "\t" }
      return String(value.drop(while: space).reversed().drop(while: space).reversed())
    }
  }
}

/// An answer that is not 101.
public struct WebSocketRefusal: Error, Equatable, Sendable {
  public var status: HTTPResponseStatus
  public var headers: HTTPHeaders
  public var detail: String
  /// A code for programs, where the status does not tell the kind of refusal.
  public var code: String?

  public init(status: HTTPResponseStatus, headers: HTTPHeaders = [:], detail: String = "", code: String? = nil) {
    self.status = status
    self.headers = headers
    self.detail = detail
    self.code = code
  }
}

public struct WebSocketAgreement: Equatable, Sendable {
  public var subprotocol: String?
  /// Nil: no compression.
  public var deflate: WebSocketDeflateParameters?

  public init(subprotocol: String? = nil, deflate: WebSocketDeflateParameters? = nil) {
    self.subprotocol = subprotocol
    self.deflate = deflate
  }
}
