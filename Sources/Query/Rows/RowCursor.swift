import Events
import Views

/// `cursor=` of view queries: the result to go on in, and the next of its rows. Base64url of
/// `{"v":2,"q":"<fingerprint>","r":"<result>","n":<row>}`.
struct RowCursor: Sendable, Hashable {
  var fingerprint: UInt64
  /// `ViewResult.id`
  var result: String
  /// The number of rows on the pages before.
  var row: Int

  var text: String {
    // Only digits: nothing to escape.
    Base64URL.encode(Array(#"{"v":2,"q":"\#(String(fingerprint, radix: 16))","r":"\#(result)","n":\#(row)}"#.utf8))
  }

  init(fingerprint: UInt64, result: String, row: Int) {
    self.fingerprint = fingerprint
    self.result = result
    self.row = row
  }

  init(_ text: String) throws(QueryFailure) {
    let json = try CursorText.decode(text)
    guard json["v"] == .int(2), case .string(let digits)? = json["q"], let fingerprint = UInt64(digits, radix: 16),
      case .string(let result)? = json["r"], result.utf8.count <= 32, case .int(let row)? = json["n"], row > 0,
      let row = Int(exactly: row)
    else { throw CursorText.invalid }
    self.init(fingerprint: fingerprint, result: result, row: row)
  }
}

enum CursorText {
  static let bytesMax = 1 << 16

  static var invalid: QueryFailure {
    .parameter("cursor", "this is no cursor that was given out here: take next_cursor as it is", code: "invalid_cursor")
  }

  static func foreign(_ what: String) -> QueryFailure {
    .parameter(
      "cursor", "it belongs to another query: \(what) must be as they were; leave 'cursor' out to begin anew",
      code: "invalid_cursor")
  }

  /// The cursor's moment has passed.
  static var expired: QueryFailure {
    var failure = QueryFailure(
      410, "cursor_expired",
      "cursor: the result it goes on in is kept no longer, and events were counted since: leave 'cursor' out to begin anew")
    failure.extra["parameter"] = .string("cursor")
    return failure
  }

  static func decode(_ text: String) throws(QueryFailure) -> JSONValue {
    guard text.utf8.count <= bytesMax, let bytes = Base64URL.decode(text) else { throw invalid }
    do throws(JSONError) {
      return try JSONValue(parsing: bytes)
    } catch {
      throw invalid
    }
  }
}
