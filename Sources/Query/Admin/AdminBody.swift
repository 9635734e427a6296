import Events
import Serving
import Views

/// A request's JSON body: each member is known and of the right kind.
struct AdminBody {
  static let bytesMax = 64 << 10

  private var members = JSONObject()

  /// An empty body is an empty object.
  init(_ request: HTTPRequest, known: [String]) throws(QueryFailure) {
    let bytes = try request.bytes(of: ["application/json"])
    guard !bytes.isEmpty else { return }
    let json: JSONValue
    do throws(JSONError) { json = try JSONValue(parsing: bytes) } catch {
      throw QueryFailure(400, "invalid_json", "the body is no JSON: \(error)")
    }
    guard case .object(let members) = json else {
      throw QueryFailure(400, "invalid_body", "the body is no JSON object: its members may be \(known.joined(separator: ", "))")
    }
    for member in members where !known.contains(member.name) {
      let hint =
        nearest(to: member.name, among: known).map { "did you mean \($0)?" } ?? "known are \(known.joined(separator: ", "))"
      throw .parameter(String(member.name.prefix(64)), "there is no such member here: \(hint)", code: "unknown_parameter")
    }
    self.members = members
  }

  /// Nil where the member is null or missing.
  subscript(_ name: String) -> JSONValue? {
    guard let value = members[name], value != .null else { return nil }
    return value
  }

  func boolean(_ name: String) throws(QueryFailure) -> Bool {
    switch self[name] {
    case nil: return false
    case .bool(let value)?: return value
    default: throw .parameter(name, "expected true or false")
    }
  }

  /// 0 or more.
  func integer(_ name: String) throws(QueryFailure) -> Int? {
    guard let value = self[name] else { return nil }
    guard case .int(let number) = value, number >= 0 else { throw .parameter(name, "expected a whole number, 0 or more") }
    return Int(number)
  }

  /// Nanoseconds.
  func duration(_ name: String) throws(QueryFailure) -> Int64? {
    guard let value = self[name] else { return nil }
    guard case .string(let text) = value else { throw .parameter(name, "expected a duration such as \"30s\"") }
    do throws(QuantityError) { return try DurationText.parse(text) } catch { throw .parameter(name, error.description) }
  }

  /// A time limit, at most ten minutes.
  func timeout(default fallback: Duration) throws(QueryFailure) -> Duration {
    guard let timeout = try duration("timeout") else { return fallback }
    guard timeout <= 600_000_000_000 else { throw .parameter("timeout", "it is at most 10m") }
    return .nanoseconds(timeout)
  }

  /// `"earliest"`, a time, or an offset vector as an object or as its text.
  func bound(_ name: String) throws(QueryFailure) -> ReplayBound? {
    switch self[name] {
    case nil: return nil
    case .string(let text)? where !text.hasPrefix("{"):
      if text == "earliest" { return .earliest }
      guard let time = Timestamp(rfc3339: text.utf8.count == 10 ? text + "T00:00:00Z" : text) else {
        throw .parameter(
          name, "expected \"earliest\", a time as 2013-01-01T00:00:00Z, or offsets as {\"0\":118}, found '\(text.prefix(64))'")
      }
      return .time(time)
    case let value?:
      let text = if case .string(let text) = value { text } else { value.text }
      do throws(OffsetVectorError) { return .offsets(try OffsetVector(parsing: text)) } catch {
        throw .parameter(name, error.detail)
      }
    }
  }
}
