import Events
import Views

/// `cursor=` of view queries: base64url of `{"v":1,"q":"<fingerprint>","w":<window start, ns>,"k":"<key>","o":"<values>"}`, the
/// last two as `KeyCodec` encodes them, in base64url.
enum RowCursor {
  static func encode(_ place: RowPlace, for query: ViewQuery) -> String {
    let json: JSONValue = [
      "v": .int(1), "q": .string(String(query.fingerprint, radix: 16)), "w": .int(place.windowStart),
      "k": .string(Base64URL.encode(place.key)), "o": .string(Base64URL.encode(KeyCodec.encode(place.values))),
    ]
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    return Base64URL.encode(bytes)
  }

  static func decode(_ text: String, for query: ViewQuery) throws(QueryFailure) -> RowPlace {
    let json = try CursorText.decode(text)
    guard json["v"] == .int(1), case .string(let fingerprint)? = json["q"], case .int(let windowStart)? = json["w"],
      case .string(let keyText)? = json["k"], let key = Base64URL.decode(keyText), KeyCodec.decode(key) != nil,
      case .string(let valuesText)? = json["o"], let valueBytes = Base64URL.decode(valuesText),
      let values = KeyCodec.decode(valueBytes)
    else { throw CursorText.invalid }
    guard fingerprint == String(query.fingerprint, radix: 16), values.count == query.order.count else {
      throw CursorText.foreign("the view's definition, from, to, where, group_by, step and order")
    }
    return RowPlace(values: values, windowStart: windowStart, key: key)
  }
}

enum CursorText {
  /// A cursor holds a row's keys, whose strings came with events.
  static let bytesMax = 1 << 20

  static var invalid: QueryFailure {
    .parameter("cursor", "this is no cursor that was given out here: take next_cursor as it is", code: "invalid_cursor")
  }

  static func foreign(_ what: String) -> QueryFailure {
    .parameter(
      "cursor", "it belongs to another query: \(what) must be as they were; leave 'cursor' out to begin anew",
      code: "invalid_cursor")
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
