import Events
import Views

/// The members of a request's JSON body: each is known and of its type.
struct BodyMembers: Sendable {
  private let members: JSONObject

  init(_ json: JSONValue, known: [String]) throws(QueryFailure) {
    guard case .object(let members) = json else { throw QueryFailure(400, "invalid_body", "the body is no JSON object") }
    for member in members where !known.contains(member.name) {
      let hint = nearest(to: member.name, among: known).map { "did you mean \($0)?" }
      throw .member(
        String(member.name.prefix(64)), "there is no such member here: \(hint ?? "known are \(known.joined(separator: ", "))")",
        code: "unknown_member")
    }
    self.members = members
  }

  /// Nil when it is missing or null.
  subscript(_ name: String) -> JSONValue? { members[name].flatMap { $0 == .null ? nil : $0 } }

  func string(_ name: String) throws(QueryFailure) -> String {
    guard case .string(let text)? = self[name] else { throw .member(name, "expected a text") }
    return text
  }

  func integer(_ name: String, default fallback: Int, in bounds: ClosedRange<Int>) throws(QueryFailure) -> Int {
    guard let value = self[name] else { return fallback }
    guard case .int(let number) = value, let number = Int(exactly: number), bounds.contains(number) else {
      throw .member(name, "expected a whole number, \(bounds.lowerBound) to \(bounds.upperBound)")
    }
    return number
  }

  func boolean(_ name: String) throws(QueryFailure) -> Bool {
    switch self[name] {
    case nil: return false
    case .bool(let value)?: return value
    default: throw .member(name, "expected true or false")
    }
  }

  func duration(_ name: String) throws(QueryFailure) -> Duration? {
    guard self[name] != nil else { return nil }
    do {
      return .nanoseconds(try DurationText.parse(try string(name)))
    } catch let error as QuantityError {
      throw .member(name, error.description)
    } catch {
      throw .member(name, "expected a duration such as 5s")
    }
  }

  /// An RFC 3339 time, or a date for its first instant in UTC. Nanoseconds.
  func time(_ name: String) throws(QueryFailure) -> Int64? {
    guard self[name] != nil else { return nil }
    let text = try string(name)
    guard let time = Timestamp(rfc3339: text.utf8.count == 10 ? text + "T00:00:00Z" : text) else {
      throw .member(
        name, "expected a time as 2013-01-01T00:00:00Z, or a date as 2013-01-01, found '\(text.prefix(64))'")
    }
    return time.nanoseconds
  }
}

extension QueryFailure {
  /// A member of the body with a wrong value.
  static func member(_ name: String, _ detail: String, code: String = "invalid_member") -> QueryFailure {
    var failure = QueryFailure(400, code, "\(name): \(detail)")
    failure.extra["member"] = .string(name)
    return failure
  }
}
