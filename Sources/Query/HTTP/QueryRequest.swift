import Events
import NIOHTTP1
import Serving

/// A request as those who answer it see it: no connection, no framework.
struct QueryRequest: Sendable {
  var method: HTTPMethod
  /// Still percent-encoded.
  var path: Substring
  /// What follows the `?`, still percent-encoded.
  var query: Substring
  var headers: HTTPHeaders
  /// The sender's own, or one made here: the answer and the log have it.
  var id: RequestID
  /// Reads the body, once.
  var body: RequestBodyReader

  /// - Parameter target: Path and query as the request line has them.
  init(_ method: HTTPMethod, _ target: String, headers: HTTPHeaders = [:], body: RequestBodyReader = .empty) {
    self.method = method
    self.headers = headers
    self.body = body
    id = RequestID(headers.joined(RequestID.header))
    let end = target.utf8.firstIndex { $0 == 0x3F || $0 == 0x23 } ?? target.utf8.endIndex
    path = target[..<end]
    let hasQuery = end < target.utf8.endIndex && target.utf8[end] == 0x3F
    query = hasQuery ? target[target.utf8.index(after: end)...] : target[target.endIndex...]
  }

  var accept: String? { headers.joined("Accept") }

  /// The body as JSON.
  /// - Throws: 413, 415 or 400, as their names say.
  func json(bytesMax: Int) async throws(QueryFailure) -> JSONValue {
    let bytes = try await bytes(of: ["application/json"], bytesMax: bytesMax)
    do throws(JSONError) {
      return try JSONValue(parsing: bytes)
    } catch {
      throw QueryFailure(400, "invalid_json", "the body is no JSON: \(error)")
    }
  }

  /// The body, which must be of one of these media types, or name none.
  func bytes(of mediaTypes: [String], bytesMax: Int) async throws(QueryFailure) -> [UInt8] {
    if let given = headers.joined("Content-Type") {
      let type = given.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }.lowercased()
      guard mediaTypes.contains(type) else {
        throw QueryFailure(
          415, "unsupported_media_type", "'\(type.prefix(64))' is not taken here: send \(mediaTypes.joined(separator: " or "))",
          headers: ["Accept": mediaTypes.joined(separator: ", ")])
      }
    }
    if let coding = headers.joined("Content-Encoding"), coding.lowercased() != "identity" {
      throw QueryFailure(415, "unsupported_media_type", "Content-Encoding '\(coding.prefix(64))' is not taken here")
    }
    if let text = headers.joined("Content-Length"), let length = Int(text), length > bytesMax { throw .tooLarge(bytesMax) }
    return try await body.read(bytesMax)
  }
}

/// How a request's body is read.
struct RequestBodyReader: Sendable {
  /// - Parameter bytesMax: More is a 413.
  let read: @Sendable (_ bytesMax: Int) async throws(QueryFailure) -> [UInt8]

  init(_ read: @escaping @Sendable (_ bytesMax: Int) async throws(QueryFailure) -> [UInt8]) { self.read = read }

  static let empty = RequestBodyReader(bytes: [])

  init(bytes: [UInt8]) {
    read = { bytesMax throws(QueryFailure) in
      guard bytes.count <= bytesMax else { throw .tooLarge(bytesMax) }
      return bytes
    }
  }
}

extension QueryFailure {
  static func tooLarge(_ bytesMax: Int) -> QueryFailure {
    QueryFailure(413, "body_too_large", "the body has more than \(bytesMax) bytes", headers: ["Connection": "close"])
  }
}

extension HTTPHeaders {
  /// A header's value; of one that comes several times, all, as HTTP joins them; nil when there is none.
  func joined(_ name: String) -> String? {
    let values = self[name]
    return values.count < 2 ? values.first : values.joined(separator: ", ")
  }
}
