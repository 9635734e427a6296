import Events
import Serving
import Views

/// Answers `GET /v1/views/{view}/late`: events that no window counts, and why.
struct LateAnswers: Sendable {
  static let parameterNames = ["from", "to", "limit", "cursor", "format", "generation"]
  static let limitDefault = 100
  /// The most events of an answer: each is fetched from the log.
  static let limitMax = 1000
  private static let columns = ["partition", "offset", "time", "window_start", "reason", "event"]
  private static let readBytes = 1 << 16

  /// Nil where no late events are kept.
  let store: (any LateEventStore)?
  let log: any EventLog

  func answer(_ view: String, _ query: Substring, accept: String?) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(query, known: LateAnswers.parameterNames)
    let format = try RowFormat.choose(parameters["format"], accept: accept)
    guard let store else {
      throw QueryFailure(503, "unavailable", "no one keeps late events here", headers: ["Retry-After": "60"])
    }
    let (from, to) = try parameters.timeRange()
    let limit = try parameters.integer("limit", default: LateAnswers.limitDefault, in: 1...LateAnswers.limitMax)
    var request = LateReadRequest(
      view: view, from: from.map { Timestamp(nanoseconds: $0) }, to: to.map { Timestamp(nanoseconds: $0) }, limit: limit + 1)
    if parameters["generation"] != nil {
      request.generation = try parameters.integer("generation", default: 1, in: 1...Int(Int32.max))
    }
    var place: LatePlace?
    if let text = parameters["cursor"] {
      place = try LatePlace(text, of: request, partitionCount: log.partitionCount)
      request.generation = place?.generation
      request.partition = place?.partition ?? PartitionID(0)
      request.offset = place?.offset ?? .zero
    }
    var result: LateReadResult
    do throws(ViewStoreError) {
      result = try await store.late(request)
    } catch {
      throw QueryFailure(error)
    }
    // Events since the first page was asked for belong to the next listing.
    let ends = place?.ends ?? result.asOf
    result.events.removeAll { $0.offset >= ends[$0.partition] ?? .zero }
    var cursor: String?
    if result.events.count > limit {
      let next = result.events[limit]
      cursor = LatePlace(generation: result.generation, partition: next.partition, offset: next.offset, ends: ends).text(
        of: request)
      result.events.removeSubrange(limit...)
    }
    let rows = try await rows(result.events)
    return LateAnswers.answer(view, result, ends, rows, cursor, format)
  }

  /// The late events with the events themselves, null where retention has deleted them.
  private func rows(_ late: [LateEvent]) async throws(QueryFailure) -> [[JSONValue]] {
    var rows: [[JSONValue]] = []
    var batches: [ColumnBatch] = []
    var at = 0
    while at < late.count {
      let event = late[at]
      let isHere = { (batch: ColumnBatch) in
        batch.partition == event.partition && batch.baseOffset <= event.offset && event.offset < batch.endOffset
      }
      if !batches.contains(where: isHere) {
        do throws(LogError) {
          batches = try await log.read(event.partition, from: event.offset, bytesMax: LateAnswers.readBytes)
        } catch {
          guard error.code == .outOfRange else { throw QueryFailure(error) }
          batches = []
        }
      }
      guard let batch = batches.first(where: isHere) else {
        rows.append(LateAnswers.row(event, .null))
        at += 1
        continue
      }
      // All late events of this batch at once: making events of a batch takes a pass over it.
      let those = late[at...].prefix {
        $0.partition == batch.partition && (batch.baseOffset..<batch.endOffset).contains($0.offset)
      }
      for (one, found) in zip(those, batch.events(at: those.map { batch.baseOffset.distance(to: $0.offset) })) {
        var bytes: [UInt8] = []
        found.writeJSON(to: &bytes)
        do throws(JSONError) {
          rows.append(LateAnswers.row(one, try JSONValue(parsing: bytes)))
        } catch {
          throw QueryFailure(500, "failed", "event \(one.offset) of partition \(one.partition): \(error)")
        }
      }
      at += those.count
      await Task.yield()
    }
    return rows
  }

  /// In the order of `columns`.
  private static func row(_ late: LateEvent, _ event: JSONValue) -> [JSONValue] {
    [
      .int(Int64(late.partition.rawValue)), .int(late.offset.rawValue), .string(late.time.description),
      .string(late.windowStart.description), .string(late.reason.rawValue), event,
    ]
  }

  private static func answer(
    _ view: String, _ result: LateReadResult, _ asOf: OffsetVector, _ rows: [[JSONValue]], _ cursor: String?,
    _ format: RowFormat
  ) -> HTTPAnswer {
    let counted = result.counts.values.reduce(0) { $0 + $1.counted }
    let listed = result.counts.values.reduce(0) { $0 + $1.listed }
    guard !format.isDocument else {
      let events = rows.map { row in
        var members = JSONObject()
        for (name, value) in zip(columns, row) { members[name] = value }
        return JSONValue.object(members)
      }
      return HTTPAnswer(
        200,
        [
          "view": .string(view), "generation": .int(Int64(result.generation)), "as_of": asOf.json,
          "counted": .int(Int64(counted)), "listed": .int(Int64(listed)), "events": .array(events),
          "next_cursor": cursor.map { .string($0) } ?? .null,
        ])
    }
    var answer = HTTPAnswer(200, format.contentType, format.rows(columns, rows))
    answer.headers.append(("Penstock-As-Of", asOf.description))
    answer.headers.append(("Penstock-Late-Counted", "\(counted)"))
    answer.headers.append(("Penstock-Late-Listed", "\(listed)"))
    if let cursor { answer.headers.append(("Penstock-Next-Cursor", cursor)) }
    return answer
  }
}

/// `cursor=` of late events: base64url of `{"v":1,"q":"<fingerprint>","g":1,"p":0,"n":118,"e":{…}}`.
struct LatePlace: Sendable, Hashable {
  var generation: Int
  var partition: PartitionID
  /// The first late event that was not listed yet.
  var offset: Offset
  /// Each partition's end when the first page was asked for.
  var ends: OffsetVector

  init(generation: Int, partition: PartitionID, offset: Offset, ends: OffsetVector) {
    self.generation = generation
    self.partition = partition
    self.offset = offset
    self.ends = ends
  }

  func text(of request: LateReadRequest) -> String {
    let json: JSONValue = [
      "v": .int(1), "q": .string(LatePlace.fingerprint(request)), "g": .int(Int64(generation)),
      "p": .int(Int64(partition.rawValue)), "n": .int(offset.rawValue), "e": ends.json,
    ]
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    return Base64URL.encode(bytes)
  }

  init(_ text: String, of request: LateReadRequest, partitionCount: Int) throws(QueryFailure) {
    let json = try CursorText.decode(text)
    guard json["v"] == .int(1), case .string(let fingerprint)? = json["q"], case .int(let generation)? = json["g"],
      (1...Int64(Int32.max)).contains(generation), case .int(let partition)? = json["p"],
      (0..<Int64(partitionCount)).contains(partition), case .int(let offset)? = json["n"], offset >= 0,
      let ends = json["e"].flatMap({ try? OffsetVector(parsing: $0.text) })
    else { throw CursorText.invalid }
    guard fingerprint == LatePlace.fingerprint(request) else { throw CursorText.foreign("the view, from and to") }
    self.init(generation: Int(generation), partition: PartitionID(Int(partition)), offset: Offset(offset), ends: ends)
  }

  private static func fingerprint(_ request: LateReadRequest) -> String {
    var text = "\(request.view)\n\(request.from?.description ?? "")\n\(request.to?.description ?? "")"
    return String(text.withUTF8 { stableHash(UnsafeRawBufferPointer($0)) }, radix: 16)
  }
}
