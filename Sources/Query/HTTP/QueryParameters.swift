import Events
import Serving
import Views

/// A request's query parameters: decoded, each known and given once.
struct QueryParameters: Sendable {
  private var values: [(name: String, value: String)] = []

  /// - Parameters:
  ///   - query: The text after the `?`, still encoded.
  ///   - known: The known names.
  init(_ query: Substring, known: [String]) throws(QueryFailure) {
    for item in QueryItems(query) {
      guard let name = item.name else {
        throw QueryFailure(400, "invalid_parameter", "a parameter's name is no percent-encoded UTF-8")
      }
      guard known.contains(name) else {
        let hint = nearest(to: name, among: known).map { "did you mean \($0)?" }
        throw .parameter(
          String(name.prefix(64)), "there is no such parameter here: \(hint ?? "known are \(known.joined(separator: ", "))")",
          code: "unknown_parameter")
      }
      guard let value = item.value else {
        throw .parameter(name, "the value is no percent-encoded UTF-8")
      }
      guard self[name] == nil else {
        throw .parameter(name, "given twice: it takes one value", code: "duplicate_parameter")
      }
      values.append((name, value))
    }
  }

  subscript(_ name: String) -> String? { values.first { $0.name == name }?.value }

  /// An RFC 3339 time, or a date for its first instant in UTC.
  func time(_ name: String) throws(QueryFailure) -> Int64? {
    guard var text = self[name] else { return nil }
    if text.utf8.count == 10 { text += "T00:00:00Z" }
    // An offset's plus, not percent-encoded, has become a space.
    if let space = text.lastIndex(of: " "), text[space...].utf8.count == 6, text.utf8.count > 20 {
      text.replaceSubrange(space...space, with: "+")
    }
    guard let time = Timestamp(rfc3339: text) else {
      throw .parameter(
        name, "expected a time as 2013-01-01T00:00:00Z, or a date as 2013-01-01, found '\(text.prefix(64))'")
    }
    return time.nanoseconds
  }

  func offsets(_ name: String, partitionCount: Int) throws(QueryFailure) -> OffsetVector? {
    guard let text = self[name] else { return nil }
    let offsets: OffsetVector
    do throws(OffsetVectorError) {
      offsets = try OffsetVector(parsing: text)
    } catch {
      throw .parameter(name, error.detail)
    }
    for partition in offsets.offsets.keys.sorted() where partition.index >= partitionCount {
      throw .parameter(name, "there is no partition \(partition): the log has \(partitionCount), from 0")
    }
    return offsets
  }

  /// Two times, the second later than the first.
  func timeRange() throws(QueryFailure) -> (from: Int64?, to: Int64?) {
    let from = try time("from")
    let to = try time("to")
    if let from, let to, from >= to {
      throw .parameter("from", "it is not before 'to': 'from' is inclusive, 'to' exclusive, so nothing lies between them")
    }
    return (from, to)
  }

  func integer(_ name: String, default fallback: Int, in bounds: ClosedRange<Int>) throws(QueryFailure) -> Int {
    guard let text = self[name] else { return fallback }
    guard let value = Int(text), bounds.contains(value) else {
      throw .parameter(
        name, "expected a whole number, \(bounds.lowerBound) to \(bounds.upperBound), found '\(text.prefix(40))'")
    }
    return value
  }

  func boolean(_ name: String) throws(QueryFailure) -> Bool {
    switch self[name] {
    case nil, "false": return false
    case "true": return true
    case .some(let text): throw .parameter(name, "expected true or false, found '\(text.prefix(40))'")
    }
  }

  /// `timeout`: how long to wait for an answer, a minute at most.
  func timeout(default fallback: Duration) throws(QueryFailure) -> Duration {
    guard let timeout = try duration("timeout") else { return fallback }
    guard timeout <= 60_000_000_000 else { throw .parameter("timeout", "it is at most 1m") }
    return .nanoseconds(timeout)
  }

  /// Nanoseconds.
  func duration(_ name: String) throws(QueryFailure) -> Int64? {
    guard let text = self[name] else { return nil }
    do {
      return try DurationText.parse(text)
    } catch {
      throw .parameter(name, error.description)
    }
  }
}
