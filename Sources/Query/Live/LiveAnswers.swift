import Events
import Serving
import Views

/// Answers `GET /v1/views/{view}/live` with Server-Sent Events.
struct LiveAnswers: Sendable {
  static let parameterNames = ["from", "to", "where", "group_by", "step", "after", "timeout", "interval"]
  private static let intervalDefault: Duration = .milliseconds(500)
  private static let intervals: ClosedRange<Duration> = .milliseconds(50) ... .seconds(60)

  let source: ViewSource
  let log: any EventLog
  let streams: LiveStreams
  let rowsMax: Int

  func answer(_ view: String, _ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(request.query, known: LiveAnswers.parameterNames)
    var interval = LiveAnswers.intervalDefault
    if let given = try parameters.duration("interval") {
      interval = .nanoseconds(given)
      guard LiveAnswers.intervals.contains(interval) else { throw .parameter("interval", "it is 50ms to 1m") }
    }
    let slot = try streams.open()
    var resumed: OffsetVector?
    if let id = request.headers.joined("Last-Event-ID"), !id.isEmpty {
      do throws(OffsetVectorError) {
        resumed = try OffsetVector(parsing: id)
      } catch {
        throw QueryFailure(400, "invalid_event_id", "Last-Event-ID is none that was given out here: \(error.detail)")
      }
    }
    let reader = LiveReader(
      source: source, view: view, parameters: parameters, partitionCount: log.partitionCount, rowsMax: rowsMax)
    var pieces = LivePieces(reader: reader, log: log, streams: streams, slot: slot, interval: interval)
    try await pieces.begin(resumed: resumed, waits: resumed != nil || parameters["after"] != nil)
    var answer = HTTPAnswer(200, "text/event-stream", [])
    answer.body = .pieces(first: Array("retry: 1000\n\n".utf8), pieces)
    answer.headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    answer.farewell = LivePieces.end
    return answer
  }
}

/// Reads the rows of a stream, again and again.
struct LiveReader: Sendable {
  let source: ViewSource
  let view: String
  let parameters: QueryParameters
  let partitionCount: Int
  let rowsMax: Int

  /// - Parameter after: The least offsets of the result.
  func read(after: OffsetVector? = nil) async throws(QueryFailure) -> ViewResult {
    let result = try await source.result(of: view, parameters) { definition, generation throws(QueryFailure) in
      try ViewQuery(
        parameters, definition: definition, generation: generation, partitionCount: partitionCount, rowsMax: 1,
        reached: after)
    }
    guard result.rows.count <= rowsMax else {
      throw QueryFailure(
        422, "too_many_rows",
        "a stream is of at most \(rowsMax) rows, and this would be of \(result.rows.count): narrow it by from, to, where or group_by"
      )
    }
    return result
  }
}
