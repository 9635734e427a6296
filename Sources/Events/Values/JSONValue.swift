/// A JSON value, for the places where an event is handled alone: answers, exports, tests. Batches keep columns instead.
public indirect enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  case int(Int64)
  /// Finite.
  case double(Double)
  /// A number's text as it came, where neither 64-bit integer nor double holds it: integers beyond 64 bits.
  case number(String)
  case string(String)
  case array([JSONValue])
  /// Members in order; names are distinct.
  case object([(String, JSONValue)])

  public init(parsing text: String) throws(JSONError) { fatalError("to come") }

  public static func == (a: JSONValue, b: JSONValue) -> Bool { fatalError("to come") }
  public func hash(into hasher: inout Hasher) { fatalError("to come") }
}

public struct JSONError: Error, Sendable {}
