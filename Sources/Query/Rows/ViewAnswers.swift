import Events
import Views

/// Answers `GET /v1/views` and `GET /v1/views/{view}`.
struct ViewAnswers: Sendable {
  let source: ViewSource
  let partitionCount: Int
  let rowsMax: Int
  let now: @Sendable () -> Timestamp

  // MARK: Rows

  func rows(_ view: String, _ query: Substring, accept: String?) async throws(QueryFailure) -> Answer {
    let parameters = try QueryParameters(query, known: ViewQuery.parameterNames)
    let format = try OutputFormat.choose(parameters["format"], accept: accept)
    let result = try await source.result(of: view) { definition, generation throws(QueryFailure) in
      try ViewQuery(
        parameters, definition: definition, generation: generation, partitionCount: partitionCount, rowsMax: rowsMax)
    }
    return answer(result, format)
  }

  private func answer(_ result: ViewResult, _ format: OutputFormat) -> Answer {
    let (query, rows, finality) = (result.query, result.rows, result.finality)
    let definition = query.definition
    let page = rows.page(query.order, after: query.place, limit: query.limit, definition.layout, finality)
    var cursor: String?
    if page.hasMore, let last = page.rows.last {
      cursor = RowCursor.encode(rows.place(of: last, query.order, definition.layout, finality), for: query)
    }
    let (head, tail) = ViewAnswers.frame(query, result.asOf, cursor, format)
    var writer = PageWriter(
      rows, page: page.rows, query: query, finality: finality, format: format, head: head, tail: tail)
    var answer = Answer(200, format.contentType, [])
    let first = writer.piece() ?? []
    // Small answers, most of them, go out in one piece and with their length.
    answer.body = first.count < PageWriter.pieceBytes ? .bytes(first) : .pieces(first: first, writer)
    if format != .json {
      answer.headers.append((.penstockAsOf, result.asOf.description))
      if let cursor { answer.headers.append((.penstockNextCursor, cursor)) }
    }
    return answer
  }

  /// What stands before the rows, and after them.
  private static func frame(
    _ query: ViewQuery, _ asOf: OffsetVector, _ cursor: String?, _ format: OutputFormat
  ) -> (head: [UInt8], tail: [UInt8]) {
    var head: [UInt8] = []
    switch format {
    case .ndjson: return ([], [])
    case .csv:
      for (index, column) in query.columns.enumerated() {
        if index > 0 { head.append(0x2C) }
        CSVText.append(column.name, to: &head)
      }
      return (head + CSVText.lineEnd, [])
    case .json:
      head.append(contentsOf: #"{"view":"#.utf8)
      JSONValue.writeString(query.definition.name, to: &head)
      head.append(contentsOf: #","generation":"#.utf8)
      head.append(contentsOf: query.generation.description.utf8)
      head.append(contentsOf: #","as_of":"#.utf8)
      head.append(contentsOf: asOf.description.utf8)
      head.append(contentsOf: #","columns":["#.utf8)
      for (index, column) in query.columns.enumerated() {
        if index > 0 { head.append(0x2C) }
        head.append(contentsOf: #"{"name":"#.utf8)
        JSONValue.writeString(column.name, to: &head)
        head.append(contentsOf: #","type":""#.utf8)
        head.append(contentsOf: column.type.rawValue.utf8)
        head.append(contentsOf: #""}"#.utf8)
      }
      head.append(contentsOf: #"],"rows":["#.utf8)
      var tail = Array(#"],"next_cursor":"#.utf8)
      if let cursor {
        JSONValue.writeString(cursor, to: &tail)
      } else {
        tail.append(contentsOf: "null".utf8)
      }
      tail.append(0x7D)
      return (head, tail)
    }
  }

  // MARK: The list

  func list(_ query: Substring) async throws(QueryFailure) -> Answer {
    _ = try QueryParameters(query, known: [])
    let statuses = try await source.statuses(maxAge: .zero)
    let time = now()
    var bytes: [UInt8] = []
    let json: JSONValue = ["views": .array(statuses.map { $0.json(now: time) })]
    json.write(to: &bytes)
    return Answer(200, "application/json", bytes)
  }
}
