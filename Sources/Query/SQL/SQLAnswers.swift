import Events
import Serving
import Views

/// The generation and offsets of a statement's rows of one view.
struct SQLRead: Sendable {
  var view: String
  var generation: Int
  var asOf: OffsetVector
}

/// Answers `POST /v1/sql`.
final class SQLAnswers: Sendable {
  static let bodyBytesMax = 256 << 10
  static let limitDefault = 1000
  private static let timeoutMax: Duration = .seconds(60)
  /// A view whose generation changes while it is read is read again; this bounds the tries.
  private static let attemptsMax = 4

  private let views: ViewSource
  private let rowsMax: Int
  private let limits: SQLLimits
  private let threads: BoundedThreads

  init(views: ViewSource, rowsMax: Int, limits: SQLLimits, threads: BoundedThreads) {
    self.views = views
    self.rowsMax = rowsMax
    self.limits = limits
    self.threads = threads
  }

  func answer(_ request: HTTPRequest) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(request.query, known: ["format"])
    let format = try RowFormat.choose(parameters["format"], accept: request.accept)
    let body = try BodyMembers(try request.json(), known: ["sql", "limit", "timeout"])
    let sql = try body.string("sql")
    guard sql.utf8.count <= SQLLimits.statementBytesMax else {
      throw .member("sql", "a statement has at most \(SQLLimits.statementBytesMax) bytes")
    }
    guard !sql.utf8.contains(0) else { throw .member("sql", "it has a NUL character") }
    let limit = try body.integer("limit", default: min(SQLAnswers.limitDefault, rowsMax), in: 1...rowsMax)
    var limits = limits
    if let timeout = try body.duration("timeout") {
      guard timeout > .zero, timeout <= SQLAnswers.timeoutMax else {
        throw .member("timeout", "it is more than 0, and at most 1m")
      }
      limits.timeout = timeout
    }
    let stop = SQLStop(deadline: .now + limits.timeout)
    let late = SQLGuardian.timedOut(limits.timeout, waitingFor: "a turn")
    return try await threads.withThread(until: stop.deadline, late: late) { thread throws(QueryFailure) in
      try await run(sql, limit: limit, limits: limits, stop: stop, format: format, on: thread)
    }
  }

  private func run(
    _ sql: String, limit: Int, limits: SQLLimits, stop: SQLStop, format: RowFormat, on thread: BoundedThread
  ) async throws(QueryFailure) -> HTTPAnswer {
    for attempt in 1...SQLAnswers.attemptsMax {
      let known = try await views.statuses(maxAge: attempt == 1 ? .seconds(1) : .zero)
      let late = SQLGuardian.timedOut(limits.timeout)
      let session = try await thread.run(until: stop.deadline, interrupt: stop.cancel, late: late) { () throws(QueryFailure) in
        try SQLSession(
          sql, views: known.map { ($0.definition, $0.generation) }, limits: limits, stop: stop)
      }
      guard let asOf = try await load(session, limits, stop) else { continue }
      let outcome = await withTaskCancellationHandler {
        do throws(QueryFailure) {
          return Result<SQLResult, QueryFailure>.success(
            try await thread.run(until: stop.deadline, interrupt: stop.cancel, late: late) { () throws(QueryFailure) in
              try session.run(limit: limit, format: format, answerBytesMax: limits.answerBytesMax)
            })
        } catch {
          return .failure(error)
        }
      } onCancel: {
        stop.cancel()
      }
      return SQLAnswers.answer(try outcome.get(), asOf: asOf, format)
    }
    throw QueryFailure(503, "unavailable", "the views' definitions keep changing; try again", headers: ["Retry-After": "1"])
  }

  /// Reads the rows that the statement may need.
  /// - Returns: The offsets of each view's rows; nil when a view has another generation by now.
  private func load(_ session: SQLSession, _ limits: SQLLimits, _ stop: SQLStop) async throws(QueryFailure) -> [SQLRead]? {
    var asOf: [SQLRead] = []
    var rowsRead = 0
    for table in session.tables {
      guard let bounds = table.wanted else { continue }
      guard !stop.isSet else { throw SQLGuardian.timedOut(limits.timeout, waitingFor: "the views' rows") }
      let name = table.definition.name
      // Nothing lies between these bounds; the answer has its offsets nonetheless.
      let from = bounds.isEmpty ? Int64.max - 1 : bounds.from
      let to = bounds.isEmpty ? Int64.max : bounds.to
      let request = ViewReadRequest(
        view: name, from: from.map { Timestamp(nanoseconds: $0) }, to: to.map { Timestamp(nanoseconds: $0) },
        keyFilter: bounds.condition(table.schema))
      let read = try await views.read(request)
      guard read.generation == table.generation else { return nil }
      rowsRead += read.rows.count
      guard rowsRead <= limits.viewRowsMax else {
        throw QueryFailure(
          422, "sql_too_large",
          "the statement reads more than \(limits.viewRowsMax) rows of views (query.sql_view_rows_max): bound window_start with constants"
        )
      }
      let result = try await views.result(of: ViewQuery(everyRowOf: table.definition, generation: table.generation), read)
      table.load(result.rows, finality: result.finality)
      asOf.append(SQLRead(view: name, generation: read.generation, asOf: read.asOf))
    }
    return asOf
  }

  private static func answer(_ result: SQLResult, asOf: [SQLRead], _ format: RowFormat) -> HTTPAnswer {
    var vectors = JSONObject()
    var generations = JSONObject()
    for read in asOf {
      vectors[read.view] = read.asOf.json
      generations[read.view] = .int(Int64(read.generation))
    }
    guard format.isDocument else {
      var answer = HTTPAnswer(200, format.contentType, result.bytes)
      answer.headers.append(("Penstock-As-Of", JSONValue.object(vectors).text))
      answer.headers.append(("Penstock-Truncated", "\(result.isTruncated)"))
      return answer
    }
    let columns = zip(result.names, result.types).map { name, type -> JSONValue in
      ["name": .string(name), "type": .string(type.rawValue)]
    }
    var bytes = Array(#"{"columns":"#.utf8)
    JSONValue.array(columns).write(to: &bytes)
    bytes.append(contentsOf: #","rows":["#.utf8)
    bytes.append(contentsOf: result.bytes)
    bytes.append(contentsOf: #"],"as_of":"#.utf8)
    JSONValue.object(vectors).write(to: &bytes)
    bytes.append(contentsOf: #","generations":"#.utf8)
    JSONValue.object(generations).write(to: &bytes)
    bytes.append(contentsOf: #","truncated":\#(result.isTruncated)}"#.utf8)
    return HTTPAnswer(200, format.contentType, bytes)
  }
}
