import Events
import Expressions

@testable import Query

extension FuzzTarget {
  /// A query string of the HTTP API.
  ///
  /// An accepted query is decoded: no unknown name, no name twice.
  static let query = FuzzTarget(
    name: "query",
    dictionary: words(
      "from=", "to=", "where=", "limit=", "timeout=", "after=", "&", "=", "%", "%00", "%2", "%C3%A9", "%ED%A0%80", "+",
      "2013-01-01T00:00:00+01:00",
      "-9223372036854775808", "1h30m", "{\"0\":118}", "true", "cursor=")
  ) {
    []
  } run: { input in
    guard let text = String(validating: input, as: UTF8.self) else { return }
    let known = ["from", "to", "where", "limit", "timeout", "after", "follow", "cursor"]
    let parameters: QueryParameters
    do throws(QueryFailure) { parameters = try QueryParameters(text[...], known: known) } catch { return }
    do throws(QueryFailure) {
      let (from, to) = try parameters.timeRange()
      if let from, let to { precondition(from < to, "a range that ends before it begins") }
    } catch {}
    if let limit = try? parameters.integer("limit", default: 10, in: 1...1000) { precondition((1...1000).contains(limit)) }
    _ = try? parameters.boolean("follow")
    _ = try? parameters.timeout(default: .seconds(5))
    if let after = parameters["after"] { _ = try? OffsetVector(parsing: after) }
    if let filter = parameters["where"] { _ = try? Expression(parsing: filter, scope: .columns([])) }
  }
}
