import Events
import NIOHTTP1
import Serving
import Testing
import Views

@testable import Query

/// One Server-Sent Event.
private struct SentEvent {
  var id: String?
  var name: String?
  var data: JSONValue?

  init(_ bytes: [UInt8]) throws {
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(text.hasSuffix("\n\n"))
    for line in text.split(separator: "\n") {
      if line.hasPrefix("id: ") { id = String(line.dropFirst(4)) }
      if line.hasPrefix("event: ") { name = String(line.dropFirst(7)) }
      if line.hasPrefix("data: ") { data = try JSONValue(parsing: String(line.dropFirst(6))) }
    }
  }

  var rows: [JSONValue] { if case .array(let rows)? = data?["rows"] { rows } else { [] } }
}

private let sample = [
  Seen(partition: 0, hour: 0, source: "a", site: .string("x"), values: [1, 2]),
  Seen(partition: 0, hour: 1, source: "a", site: .string("x"), values: [4]),
  Seen(partition: 1, hour: 1, source: "b", site: .null, values: [8, 16]),
]

/// A stream and what it reads from; the log says all the time that there is something new.
private struct Streaming {
  let asking: Asking
  var pieces: any BodyPieces

  init(_ asking: Asking, _ target: String = "/v1/views/hourly/live?interval=50ms", lastEventID: String? = nil) async throws {
    self.asking = asking
    var headers: HTTPHeaders = [:]
    if let lastEventID { headers.replaceOrAdd(name: "Last-Event-ID", value: lastEventID) }
    let answer = await asking.answer(HTTPRequest(.GET, target, headers: headers))
    try #require(answer.status == 200)
    #expect(answer.contentType == "text/event-stream")
    guard case .pieces(let first, let pieces) = answer.body else {
      throw QueryFailure(500, "failed", "no stream")
    }
    #expect(String(decoding: first, as: UTF8.self) == "retry: 1000\n\n")
    self.pieces = pieces
  }

  /// The next event; comments, which only show that the stream lives, are passed over.
  mutating func next() async throws -> SentEvent {
    while true {
      let piece = try #require(try await pieces.next())
      if piece.first != UInt8(ascii: ":") { return try SentEvent(piece) }
    }
  }
}

private func prepared(_ configuration: QueryConfiguration = QueryConfiguration()) throws -> Asking {
  let asking = Asking(configuration: configuration)
  asking.store.put(sample, try Hours.definition())
  asking.log.append(
    (0..<400).map { Event(source: "s\($0)", type: "t", id: "\($0)", time: Timestamp(nanoseconds: 0)) }, batchSize: 400)
  return asking
}

@Test("a stream begins with the rows, as a query answers them, and goes on with those that change")
func liveRowsThenChanges() async throws {
  let asking = try prepared()
  var stream = try await Streaming(asking)
  let first = try await stream.next()
  #expect(first.name == "rows")
  #expect(first.id == #"{"0":10}"#)
  let answer = await asking.get("/v1/views/hourly")
  #expect(try first.rows == answer.array("rows"))
  #expect(try first.data?["columns"] == answer.member("columns"))
  #expect(first.data?["more"] == .bool(false))
  asking.store.put(
    sample.dropLast() + [Seen(partition: 1, hour: 1, source: "b", site: .null, values: [8, 16, 32])], try Hours.definition())
  asking.store.advance("hourly")
  let change = try await stream.next()
  #expect(change.name == "change")
  #expect(change.id == #"{"0":11}"#)
  #expect(change.rows.map { $0["n"]?.number } == [3])
  asking.store.put(Array(sample.prefix(1)), try Hours.definition())
  asking.store.advance("hourly")
  asking.store.advance("hourly")
  let gone = try await stream.next()
  #expect(gone.name == "gone")
  #expect(
    gone.rows.map(\.text).sorted() == [
      #"{"window_start":"1970-01-01T01:00:00Z","window_end":"1970-01-01T02:00:00Z","source":"a","site":"x"}"#,
      #"{"window_start":"1970-01-01T01:00:00Z","window_end":"1970-01-01T02:00:00Z","source":"b","site":null}"#,
    ])
}

@Test("a row is never older than one that was sent: a store that is behind is waited for")
func liveNeverGoesBack() async throws {
  let asking = try prepared()
  asking.store.advance("hourly")
  asking.store.advance("hourly")
  var stream = try await Streaming(asking)
  #expect(try await stream.next().id == #"{"0":12}"#)
  // Started anew from an older checkpoint.
  asking.store.put(Array(sample.prefix(1)), try Hours.definition())
  let waiting = Task { [stream] in
    var stream = stream
    var event = try await stream.next()
    // On a busy machine this test may read too slowly: then it is told, and gets all rows anew.
    while event.name == "lagged" { event = try await stream.next() }
    return event
  }
  let before = asking.store.state.withLock { $0.requests.count }
  let deadline = ContinuousClock.now + .seconds(10)
  while asking.store.state.withLock({ $0.requests.count }) < before + 3, ContinuousClock.now < deadline { await Task.yield() }
  asking.store.put(sample + [Seen(partition: 0, hour: 9, source: "a", site: .null, values: [1])], try Hours.definition())
  for _ in 0..<3 { asking.store.advance("hourly") }
  let change = try await waiting.value
  #expect([#"{"0":12}"#, #"{"0":13}"#].contains(change.id))
  #expect(change.rows.count == 1 || change.name == "rows")
}

@Test("a reader that comes back gets what changed since, or, when that is forgotten, the rows anew")
func liveResumes() async throws {
  let asking = try prepared()
  var id: String?
  do {
    var stream = try await Streaming(asking)
    id = try await stream.next().id
  }
  asking.store.put(sample + [Seen(partition: 0, hour: 9, source: "a", site: .null, values: [1])], try Hours.definition())
  asking.store.advance("hourly")
  var back = try await Streaming(asking, lastEventID: id)
  let change = try await back.next()
  #expect(change.name == "change")
  #expect(change.rows.map { $0["window_start"]?.string } == [Hours.text(9)])
  var other = try await Streaming(asking, "/v1/views/hourly/live?interval=50ms&group_by=", lastEventID: id)
  #expect(try await other.next().name == "rows")
  let bad = await asking.raw("/v1/views/hourly/live", headers: ["Last-Event-ID": "x"])
  #expect(try bad.string("code") == "invalid_event_id")
  // Offsets that are not reached: never older rows instead.
  let ahead = await asking.raw("/v1/views/hourly/live?timeout=10ms", headers: ["Last-Event-ID": #"{"0":99}"#])
  #expect(ahead.status == 504)
}

@Test("the service's end is an event of its own and the stream's end")
func liveDrains() async throws {
  let asking = try prepared()
  var stream = try await Streaming(asking)
  _ = try await stream.next()
  asking.answers.drain()
  #expect(try await stream.next().name == "end")
  #expect(try await stream.pieces.next() == nil)
}

@Test("streams and their rows are bounded, and room comes back when one ends")
func liveBounds() async throws {
  let asking = try prepared(QueryConfiguration(streamsMax: 1))
  var stream: Streaming? = try await Streaming(asking)
  let refused = await asking.get("/v1/views/hourly/live")
  #expect(refused.status == 503)
  #expect(try refused.string("code") == "too_many_streams")
  _ = try await stream?.next()
  stream = nil
  _ = try await Streaming(asking)
  let small = try prepared(QueryConfiguration(streamRowsMax: 2))
  #expect(try await small.get("/v1/views/hourly/live").string("code") == "too_many_rows")
  _ = try await Streaming(small, "/v1/views/hourly/live?from=1970-01-01T01:00:00Z")
  #expect(try await small.get("/v1/views/hourly/live", [("limit", "1")]).string("code") == "unknown_parameter")
  #expect(await small.get("/v1/views/hourly/live", [("interval", "1ms")]).status == 400)
}

@Test("many rows come in several events, and only the last has the id")
func liveManyRows() async throws {
  let asking = try prepared()
  asking.store.put((0..<1200).map { Seen(partition: 0, hour: $0, source: "a", site: .null, values: [1]) }, try Hours.definition())
  var stream = try await Streaming(asking)
  var rows = 0
  for number in 1...3 {
    let event = try await stream.next()
    #expect(event.name == "rows")
    #expect((event.id != nil) == (number == 3))
    #expect(event.data?["more"] == .bool(number < 3))
    rows += event.rows.count
  }
  #expect(rows == 1200)
}
