import Events
import NIOCore
import NIOHTTP1

/// A request without its connection.
public struct HTTPRequest: Sendable {
  /// The received head; its target is a path.
  public let head: HTTPRequestHead
  /// Still percent-encoded.
  public let path: Substring
  /// The text after the `?`, still percent-encoded.
  public let query: Substring
  /// The sender's id, or one made here: the answer and the log have it.
  public let id: RequestID
  /// The body; empty where the route takes none, and until it has come whole.
  public var body: ByteBuffer
  /// The values of the route's `{…}`, decoded, in order.
  public internal(set) var parameters: [String] = []
  /// The token's holder; nil where no token is needed.
  public internal(set) var caller: Caller?

  public init(_ head: HTTPRequestHead, body: ByteBuffer = ByteBuffer()) {
    self.head = head
    self.body = body
    id = RequestID(head.headers.joined(RequestID.header))
    let target = head.uri
    let end = target.utf8.firstIndex { $0 == 0x3F || $0 == 0x23 } ?? target.utf8.endIndex
    path = target[..<end]
    let hasQuery = end < target.utf8.endIndex && target.utf8[end] == 0x3F
    query = hasQuery ? target[target.utf8.index(after: end)...] : target[target.endIndex...]
  }

  /// - Parameters:
  ///   - method: As in a request line.
  ///   - target: Path and query, as in a request line.
  ///   - headers: All headers, in their order.
  ///   - body: The whole body.
  public init(_ method: HTTPMethod, _ target: String, headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer()) {
    self.init(HTTPRequestHead(version: .http1_1, method: method, uri: target, headers: headers), body: body)
  }

  public var method: HTTPMethod { head.method }
  public var headers: HTTPHeaders { head.headers }
  public var queryItems: QueryItems { QueryItems(query) }

  /// The query's parameters; of a name that comes twice, the last counts. Nil when one is no percent-encoded UTF-8.
  public var decodedQuery: [UTF8Text: String]? {
    var result: [UTF8Text: String] = [:]
    for item in queryItems {
      guard let name = item.name, let value = item.value else { return nil }
      result[UTF8Text(name)] = value
    }
    return result
  }
}

extension HTTPHeaders {
  /// A header's value; if it comes several times, all values, joined as in HTTP; nil when there is none.
  public func joined(_ name: String) -> String? {
    let values = self[name]
    return values.count < 2 ? values.first : values.joined(separator: ", ")
  }
}
