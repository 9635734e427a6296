import Events
import Logging
import NIOCore
import Serving
import Views

struct ViewAnswers: Sendable {
  let source: ViewSource
  let partitionCount: Int
  let rowsMax: Int
  let pins: KeptResults
  let exports: ExportSlots
  let exportTimeMax: Duration
  let logger: Logger
  let now: @Sendable () -> Timestamp
  let plans = QueryPlans()

  // MARK: Rows

  func rows(_ view: String, _ query: Substring, accept: String?) async throws(QueryFailure) -> HTTPAnswer {
    let plan = try plans.plan(query, known: ViewQuery.parameterNames)
    let parameters = plan.parameters
    let format = try RowFormat.choose(parameters["format"], accept: accept)
    func checked(_ definition: ViewDefinition, _ generation: Int) throws(QueryFailure) -> ViewQuery {
      try plan.query(of: definition, generation, as: format) { () throws(QueryFailure) in
        try ViewQuery(
          parameters, definition: definition, generation: generation, partitionCount: partitionCount, rowsMax: rowsMax,
          isUnlimited: !format.isDocument)
      }
    }
    guard let text = parameters["cursor"] else {
      if !format.isDocument, parameters["limit"] == nil, let answer = try await export(view, parameters, format, checked) {
        return answer
      }
      let result = try await source.result(of: view, parameters, checked)
      let order = result.rows.sorted(by: result.query.order, result.query.definition.layout, result.finality)
      return answer(KeptResults.Pin(result: result, order: order), from: 0, format)
    }
    let cursor = try RowCursor(text)
    var pin: KeptResults.Pin
    if let known = pins.find(cursor.result), known.result.query.definition.name == view {
      pin = known
      // The definition that it was computed with, even if that is no longer the view's; limit and format may differ.
      pin.result.query = try checked(known.result.query.definition, known.result.query.generation)
    } else {
      // The result was let go, or belongs to another process: computed anew, it may be the same.
      let result = try await source.result(of: view, parameters, checked)
      guard result.query.fingerprint == cursor.fingerprint else { throw ViewAnswers.foreign }
      guard result.id == cursor.result else { throw CursorText.expired }
      pin = KeptResults.Pin(
        result: result, order: result.rows.sorted(by: result.query.order, result.query.definition.layout, result.finality))
    }
    guard pin.result.query.fingerprint == cursor.fingerprint else { throw ViewAnswers.foreign }
    guard cursor.row < pin.result.rows.count else { throw CursorText.invalid }
    return answer(pin, from: cursor.row, format)
  }

  /// The answer of `rows`, if that takes no waiting. On the connection's own thread, it wakes no other.
  /// - Parameter plan: The plan of the request's query, which asks for one key's rows.
  func rowsAtOnce(_ view: String, _ plan: QueryPlans.Plan, accept: String?) throws(QueryFailure) -> HTTPAnswer? {
    let format = try RowFormat.choose(plan.parameters["format"], accept: accept)
    guard let known = plan.known(of: view, as: format), let result = source.resultAtOnce(of: known) else { return nil }
    let order = result.rows.sorted(by: known.order, known.definition.layout, result.finality)
    return answer(KeptResults.Pin(result: result, order: order), from: 0, format)
  }

  private static var foreign: QueryFailure { CursorText.foreign("the view, from, to, where, group_by, step and order") }

  /// All rows, as they are read; nil where they must all be known first.
  private func export(
    _ view: String, _ parameters: QueryParameters, _ format: RowFormat,
    _ checked: (ViewDefinition, _ generation: Int) throws(QueryFailure) -> ViewQuery
  ) async throws(QueryFailure) -> HTTPAnswer? {
    let found = try await source.stream(of: view, parameters, checked) { query throws(QueryFailure) in
      try await exports.open(within: query.timeout)
    }
    guard let (query, stream, finality, slot) = found else { return nil }
    var writer = ExportWriter(stream, query, finality, format, timeMax: exportTimeMax, slot: slot, logger: logger)
    let first: [UInt8]
    do {
      first = try await writer.piece() ?? []
    } catch let error as ViewStoreError {
      throw QueryFailure(error)
    } catch {
      throw QueryFailure(503, "unavailable", "the rows were not read: \(error)", headers: ["Retry-After": "1"])
    }
    var answer = HTTPAnswer(200, format.contentType, first)
    if !writer.isDone { answer.body = .pieces(first: first, writer) }
    answer.headers.append(("Penstock-As-Of", stream.head.asOf.description))
    return answer
  }

  /// The page that begins with a row; the result is kept for later pages.
  private func answer(_ pin: KeptResults.Pin, from first: Int, _ format: RowFormat) -> HTTPAnswer {
    let result = pin.result
    let end = first + min(result.query.limit, result.rows.count - first)
    var cursor: String?
    if end < result.rows.count {
      let id = result.id
      pins.keep(pin, as: id)
      cursor = RowCursor(fingerprint: result.query.fingerprint, result: id, row: end).text
    }
    return ViewAnswers.answer(result, page: pin.order.map { Array($0[first..<end]) } ?? Array(first..<end), cursor, format)
  }

  /// - Parameter page: Row numbers, in order.
  static func answer(_ result: ViewResult, page: [Int], _ cursor: String?, _ format: RowFormat) -> HTTPAnswer {
    let (head, tail) = frame(result, cursor, format)
    var writer = PageWriter(
      result.rows, page: page, query: result.query, finality: result.finality, format: format, head: head, tail: tail)
    var answer = HTTPAnswer(200, format.contentType, [])
    let first = writer.piece() ?? []
    // Small answers, most of them, are sent in one piece and with their length.
    answer.body = first.count < PageWriter.pieceBytes ? .bytes(ByteBuffer(bytes: first)) : .pieces(first: first, writer)
    if !format.isDocument {
      answer.headers.append(("Penstock-As-Of", String(decoding: result.asOfText, as: UTF8.self)))
      if let cursor { answer.headers.append(("Penstock-Next-Cursor", cursor)) }
    }
    return answer
  }

  /// The text before the rows, and after them.
  private static func frame(
    _ result: ViewResult, _ cursor: String?, _ format: RowFormat
  ) -> (head: [UInt8], tail: [UInt8]) {
    let query = result.query
    guard format.isDocument else { return (format.head(of: query.columns.map(\.name)), []) }
    var head: [UInt8] = []
    head.append(contentsOf: #"{"view":"#.utf8)
    JSONValue.writeString(query.definition.name, to: &head)
    head.append(contentsOf: #","generation":"#.utf8)
    head.append(contentsOf: query.generation.description.utf8)
    head.append(contentsOf: #","as_of":"#.utf8)
    head.append(contentsOf: result.asOfText)
    if query.allowsPartial {
      let names = result.missing.map(\.description).joined(separator: ",")
      head.append(contentsOf: #","partial":\#(!result.missing.isEmpty),"missing_partitions":[\#(names)]"#.utf8)
    }
    head.append(contentsOf: #","columns":"#.utf8)
    head.append(contentsOf: query.columnsText)
    head.append(contentsOf: #","rows":["#.utf8)
    var tail = Array(#"],"next_cursor":"#.utf8)
    if let cursor {
      JSONValue.writeString(cursor, to: &tail)
    } else {
      tail.append(contentsOf: "null".utf8)
    }
    tail.append(0x7D)
    return (head, tail)
  }

  // MARK: The list

  /// Every view as it is now or, as YAML, the file of views that `apply` takes.
  func list(_ query: Substring, accept: String?) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(query, known: ["format"])
    let isYAML = try ViewAnswers.wantsYAML(parameters["format"], accept: accept)
    let statuses = try await source.statuses(maxAge: .zero)
    if isYAML {
      return HTTPAnswer(200, "application/yaml", Array(ViewCatalog(views: statuses.map(\.definition)).yaml.utf8))
    }
    let time = now()
    var bytes: [UInt8] = []
    let json: JSONValue = ["views": .array(statuses.map { $0.json(now: time) })]
    json.write(to: &bytes)
    return HTTPAnswer(200, "application/json", bytes)
  }

  private static func wantsYAML(_ format: String?, accept: String?) throws(QueryFailure) -> Bool {
    switch format {
    case "yaml": return true
    case "json": return false
    case nil:
      let types = (accept ?? "").split(separator: ",").map { $0.prefix { $0 != ";" }.filter { $0 != " " }.lowercased() }
      return types.contains("application/yaml") && !types.contains("application/json")
    case .some(let other): throw .parameter("format", "expected json or yaml, found '\(other.prefix(40))'")
    }
  }
}
