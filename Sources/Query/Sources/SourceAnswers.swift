import Events
import Serving
import Views

/// Answers `GET /v1/sources`: each source with its clock and what came of it.
struct SourceAnswers: Sendable {
  static let columns = [
    "source", "partition", "epoch", "sequence", "largest_event_time", "last_append_time", "events", "ahead", "idle_seconds",
  ]

  /// Nil where no one knows sources.
  let store: (any SourceStore)?
  let partitionCount: Int
  let now: @Sendable () -> Timestamp

  func answer(_ query: Substring, accept: String?) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(query, known: SourcesQuery.parameterNames)
    let format = try RowFormat.choose(parameters["format"], accept: accept)
    let now = now()
    let query = try SourcesQuery(parameters, partitionCount: partitionCount, now: now)
    guard let store else {
      throw QueryFailure(503, "unavailable", "no one knows the sources here", headers: ["Retry-After": "60"])
    }
    let result: SourceReadResult
    do throws(ViewStoreError) { result = try await store.sources(query.request) } catch { throw QueryFailure(error) }
    let cursor = result.next.map { query.cursor($0) }
    let rows = result.sources.map { SourceAnswers.row($0, now: now) }
    guard !format.isDocument else {
      let sources = rows.map { row in
        var members = JSONObject()
        for (name, value) in zip(SourceAnswers.columns, row) { members[name] = value }
        return JSONValue.object(members)
      }
      return HTTPAnswer(
        200,
        [
          "as_of": result.asOf.json, "sources": .array(sources), "next_cursor": cursor.map { .string($0) } ?? .null,
        ])
    }
    var answer = HTTPAnswer(200, format.contentType, format.rows(SourceAnswers.columns, rows))
    answer.headers.append(("Penstock-As-Of", result.asOf.description))
    if let cursor { answer.headers.append(("Penstock-Next-Cursor", cursor)) }
    return answer
  }

  /// In the order of `columns`.
  static func row(_ status: SourceStatus, now: Timestamp) -> [JSONValue] {
    [
      .string(status.source.string), .int(Int64(status.partition.index)),
      status.last.map { .number(String($0.epoch)) } ?? .null, status.last.map { .number(String($0.sequence)) } ?? .null,
      .string(status.largestEventTime.description), .string(status.lastAppendTime.description), .int(Int64(status.events)),
      .bool(status.isAhead), .double(SourceAnswers.idleSeconds(status, now)),
    ]
  }

  /// Milliseconds are exact enough.
  private static func idleSeconds(_ status: SourceStatus, _ now: Timestamp) -> Double {
    let (passed, overflow) = now.nanoseconds.subtractingReportingOverflow(status.lastAppendTime.nanoseconds)
    return overflow ? 0 : Double(max(0, passed) / 1_000_000) / 1000
  }
}
