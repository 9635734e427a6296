import Events
import Synchronization
import Views

/// Answers `GET /v1/views` and `GET /v1/views/{view}` from a store.
final class ViewAnswers: Sendable {
  /// How old what is known of partitions may be when it decides which are idle.
  private static let statusAge: Duration = .seconds(1)
  /// A definition that changes under a request is read again; not for ever.
  private static let attemptsMax = 4

  private let store: any ViewStore
  private let partitionCount: Int
  private let rowsMax: Int
  private let idleAfter: Int64
  private let now: @Sendable () -> Timestamp
  private let known = Mutex<Known>(Known())

  /// What the store last said of all views. A read needs a definition before it asks, and this saves it a question: every answer
  /// says which generation it is of, so a definition that is no longer the view's is noticed.
  private struct Known {
    var views: [ViewStatus] = []
    var at: ContinuousClock.Instant?
  }

  init(store: any ViewStore, partitionCount: Int, rowsMax: Int, idleAfter: Duration, now: @escaping @Sendable () -> Timestamp) {
    self.store = store
    self.partitionCount = partitionCount
    self.rowsMax = rowsMax
    self.idleAfter = idleAfter.nanoseconds
    self.now = now
  }

  // MARK: Rows

  func rows(_ view: String, _ query: Substring, accept: String?) async throws(QueryFailure) -> Answer {
    let parameters = try QueryParameters(query, known: ViewQuery.parameterNames)
    let format = try OutputFormat.choose(parameters["format"], accept: accept)
    var (definition, generation, isFresh) = try await definition(of: view)
    for _ in 0..<ViewAnswers.attemptsMax {
      let query: ViewQuery
      do throws(QueryFailure) {
        query = try ViewQuery(
          parameters, definition: definition, generation: generation, partitionCount: partitionCount, rowsMax: rowsMax)
      } catch {
        // It may be right for a definition that is newer than the one known here.
        guard !isFresh else { throw error }
        let before = generation
        (definition, generation) = try ViewAnswers.find(view, in: try await statuses(maxAge: .zero))
        isFresh = true
        guard generation != before else { throw error }
        continue
      }
      let result: PartialResult
      do throws(ViewStoreError) {
        result = try await store.read(query.request)
      } catch {
        throw QueryFailure(error)
      }
      guard result.generation == generation else {
        (definition, generation, isFresh) = (result.definition, result.generation, true)
        known.withLock { $0 = Known() }
        continue
      }
      return try await answer(query, result, format)
    }
    throw QueryFailure(
      503, "unavailable", "the definition of view \(view) keeps changing; try again", headers: ["Retry-After": "1"])
  }

  private func answer(_ query: ViewQuery, _ result: PartialResult, _ format: OutputFormat) async throws(QueryFailure) -> Answer {
    let definition = query.definition
    var rows = result.rows
    if let filter = query.filter {
      var scratch = EvaluationScratch()
      rows = rows.filtered(by: filter, keys: definition.keys.map(\.name), using: &scratch)
    }
    if query.keptKeys != nil || query.step != nil || !rows.isMerged {
      rows = rows.merged(layout: definition.layout, keptKeys: query.keptKeys, step: query.step)
    }
    let finality = try await finality(of: rows, query, result)
    let page = rows.page(query.order, after: query.place, limit: query.limit, definition.layout, finality)
    var cursor: String?
    if page.hasMore, let last = page.rows.last {
      cursor = RowCursor.encode(rows.place(of: last, query.order, definition.layout, finality), for: query)
    }
    let (head, tail) = ViewAnswers.frame(query, result, cursor, format)
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
    _ query: ViewQuery, _ result: PartialResult, _ cursor: String?, _ format: OutputFormat
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
      head.append(contentsOf: result.asOf.description.utf8)
      if query.allowsPartial {
        let missing = result.missing.map(\.description).joined(separator: ",")
        head.append(contentsOf: #","partial":\#(!result.missing.isEmpty),"missing_partitions":[\#(missing)]"#.utf8)
      }
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

  private func finality(
    of rows: PartialRows, _ query: ViewQuery, _ result: PartialResult
  ) async throws(QueryFailure) -> Finality {
    let strict = Finality(
      definition: query.definition, keptKeys: query.keptKeys, eventTimeWatermarks: result.eventTimeWatermarks)
    guard !strict.isEveryRowFinal(rows) else { return strict }
    let statuses = try await statuses(maxAge: ViewAnswers.statusAge)
    guard let status = statuses.first(where: { $0.definition.name == query.definition.name }) else { return strict }
    let idleSince = now().nanoseconds - idleAfter
    var idle: Set<PartitionID> = []
    for progress in status.partitions {
      // Idle only while the rows count all that was appended, and nothing has been counted since the status was taken.
      guard progress.lagEvents == 0, result.asOf[progress.partition] == progress.nextOffset,
        let last = progress.lastAppendTime, last.nanoseconds <= idleSince
      else { continue }
      idle.insert(progress.partition)
    }
    guard !idle.isEmpty else { return strict }
    return Finality(
      definition: query.definition, keptKeys: query.keptKeys, eventTimeWatermarks: result.eventTimeWatermarks, idle: idle)
  }

  // MARK: What is known

  private func definition(
    of view: String
  ) async throws(QueryFailure) -> (definition: ViewDefinition, generation: Int, isFresh: Bool) {
    let known = known.withLock { $0.views.first { $0.definition.name == view } }
    if let known { return (known.definition, known.generation, false) }
    let (definition, generation) = try ViewAnswers.find(view, in: try await statuses(maxAge: .zero))
    return (definition, generation, true)
  }

  private static func find(_ view: String, in statuses: [ViewStatus]) throws(QueryFailure) -> (ViewDefinition, Int) {
    guard let status = statuses.first(where: { $0.definition.name == view }) else {
      throw QueryFailure(ViewStoreError.unknownView(view, known: statuses.map(\.definition.name)))
    }
    return (status.definition, status.generation)
  }

  /// - Parameter maxAge: Zero asks the store.
  func statuses(maxAge: Duration) async throws(QueryFailure) -> [ViewStatus] {
    let asked = ContinuousClock.now
    if maxAge > .zero {
      let known = known.withLock { $0 }
      if let at = known.at, asked - at < maxAge { return known.views }
    }
    do throws(ViewStoreError) {
      let views = try await store.views()
      known.withLock { known in
        // Another request may have asked later and be back earlier.
        if known.at.map({ $0 < asked }) ?? true { known = Known(views: views, at: asked) }
      }
      return views
    } catch {
      throw QueryFailure(error)
    }
  }

  // MARK: The list

  func list(_ query: Substring) async throws(QueryFailure) -> Answer {
    _ = try QueryParameters(query, known: [])
    let statuses = try await statuses(maxAge: .zero)
    let time = now()
    var bytes: [UInt8] = []
    let json: JSONValue = ["views": .array(statuses.map { $0.json(now: time) })]
    json.write(to: &bytes)
    return Answer(200, "application/json", bytes)
  }
}
