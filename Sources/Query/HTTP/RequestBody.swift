import Events
import Serving

extension HTTPRequest {
  var accept: String? { headers.joined("Accept") }

  /// The body as JSON.
  /// - Throws: 415 or 400, as their names say.
  func json() throws(QueryFailure) -> JSONValue {
    let bytes = try bytes(of: ["application/json"])
    do throws(JSONError) {
      return try JSONValue(parsing: bytes)
    } catch {
      throw QueryFailure(400, "invalid_json", "the body is no JSON: \(error)")
    }
  }

  /// The body, which must be of one of these media types, or name none.
  func bytes(of mediaTypes: [String]) throws(QueryFailure) -> [UInt8] {
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
    return Array(body.readableBytesView)
  }
}

extension HTTPAnswer {
  init(_ failure: QueryFailure) { self.init(failure.problem, extra: failure.extra) }
}
