import Events
import Serving
import Synchronization
import TestSupport
import Testing
import Views

@testable import Query

/// Knows some sources.
final class FakeSources: SourceStore {
  let state: Mutex<(sources: [SourceStatus], error: ViewStoreError?, requests: [SourceReadRequest])>

  init(_ sources: [SourceStatus]) { state = Mutex((sources, nil, [])) }

  nonisolated(nonsending) func sources(_ request: SourceReadRequest) async throws(ViewStoreError) -> SourceReadResult {
    let (all, error) = state.withLock { state in
      state.requests.append(request)
      return (state.sources, state.error)
    }
    if let error { throw error }
    var first = FirstSources(request)
    for one in all { first.add(one) }
    let (sources, next) = first.finish()
    return SourceReadResult(asOf: OffsetVector([PartitionID(0): Offset(118), PartitionID(3): Offset(90)]), sources: sources, next: next)
  }
}

@Suite("GET /v1/sources") struct SourcesTests {
  private static let second: Int64 = 1_000_000_000

  /// - Parameters:
  ///   - idle: The seconds since its last event.
  ///   - ahead: The seconds that its largest event time is ahead of that.
  private static func source(_ name: String, idle: Int64, ahead: Int64 = 0, last: ProducerPosition? = nil) -> SourceStatus {
    let appended = Asking.now.nanoseconds - idle * second
    return SourceStatus(
      source: UTF8Text(name), partition: PartitionID(3), last: last,
      largestEventTime: Timestamp(nanoseconds: appended + ahead * second),
      eventTime: Timestamp(nanoseconds: appended + min(ahead, 60) * second), lastAppendTime: Timestamp(nanoseconds: appended),
      events: Int(idle) + 1)
  }

  private static let all = [
    source("thermo/1", idle: 1, last: ProducerPosition(epoch: 2, sequence: .max)), source("thermo/2", idle: 7200, ahead: -5),
    source("station/EWR", idle: 3600, ahead: 86_400), source("caf\u{E9}", idle: 2), source("cafe\u{301}", idle: 0),
  ]

  private func names(_ reply: Reply) throws -> [String] { try reply.array("sources").compactMap { $0["source"]?.string } }

  private func asking(_ sources: FakeSources? = FakeSources(all)) -> Asking { Asking(sources: sources) }

  @Test("a source is told with its partition, sequence, times, events, and whether its clock is ahead")
  func members() async throws {
    let reply = await asking().get("/v1/sources", [("source", "thermo/1")])
    #expect(reply.status == 200)
    #expect(
      reply.text == #"{"as_of":{"0":118,"3":90},"sources":[{"source":"thermo/1","partition":3,"epoch":2,"#
        + #""sequence":18446744073709551615,"largest_event_time":"2020-01-01T23:59:59Z","last_append_time":"2020-01-01T23:59:59Z","#
        + #""events":2,"ahead":false,"idle_seconds":1.0}],"next_cursor":null}"#)
    let ahead = try #require(try await asking().get("/v1/sources", [("ahead", "true")]).array("sources").first)
    #expect(ahead["source"] == .string("station/EWR") && ahead["ahead"] == .bool(true) && ahead["sequence"] == .null)
    #expect(ahead["largest_event_time"] == .string("2020-01-02T23:00:00Z") && ahead["idle_seconds"]?.number == 3600)
  }

  @Test(
    "filters and orders do what their names say",
    arguments: [
      ([], ["cafe\u{301}", "caf\u{E9}", "station/EWR", "thermo/1", "thermo/2"]),
      ([("prefix", "thermo/")], ["thermo/1", "thermo/2"]), ([("prefix", "nothing")], []),
      ([("source", "cafe\u{301}")], ["cafe\u{301}"]), ([("source", "thermo")], []),
      ([("idle_for", "1h")], ["station/EWR", "thermo/2"]), ([("idle_for", "1h1ms")], ["thermo/2"]),
      ([("ahead", "true"), ("prefix", "s")], ["station/EWR"]), ([("ahead", "true"), ("prefix", "t")], []),
      ([("order", "-source"), ("limit", "2")], ["thermo/2", "thermo/1"]),
      ([("order", "last_append_time"), ("limit", "2")], ["thermo/2", "station/EWR"]),
      ([("order", "-largest_event_time"), ("limit", "1")], ["station/EWR"]),
      ([("order", "events"), ("prefix", "caf")], ["cafe\u{301}", "caf\u{E9}"]),
    ])
  func filters(parameters: [(String, String)], expected: [String]) async throws {
    let names = try names(await asking().get("/v1/sources", parameters))
    #expect(names.map { UTF8Text($0) } == expected.map { UTF8Text($0) })
  }

  @Test("pages follow each other to the end, and those of an idle time list what was idle at first")
  func pages() async throws {
    let store = FakeSources(Self.all), asking = asking(store)
    var listed: [String] = []
    var cursor: String?
    repeat {
      let parameters = [("order", "-events"), ("idle_for", "1s"), ("limit", "1")] + (cursor.map { [("cursor", $0)] } ?? [])
      let reply = await asking.get("/v1/sources", parameters)
      listed += try names(reply)
      cursor = try reply.string("next_cursor")
    } while cursor != nil && listed.count < 9
    #expect(listed == ["thermo/2", "station/EWR", "caf\u{E9}", "thermo/1"])
    let bounds = Set(store.state.withLock { $0.requests.map(\.lastAppendedBy) })
    #expect(bounds == [Timestamp(nanoseconds: Asking.now.nanoseconds - Self.second)])
  }

  @Test(
    "a bad parameter is named with what is right",
    arguments: [
      ("order=age", "invalid_parameter", "source, largest_event_time"), ("order=event", "invalid_parameter", "events"),
      ("idle_for=soon", "invalid_parameter", "duration"), ("ahead=maybe", "invalid_parameter", "true or false"),
      ("limit=0", "invalid_parameter", "1 to 10000"), ("limit=10001", "invalid_parameter", "1 to 10000"),
      ("format=xml", "invalid_parameter", "json, csv, ndjson"), ("idle=1h", "unknown_parameter", "idle_for"),
      ("cursor=x", "invalid_cursor", "next_cursor"), ("prefix=a&prefix=b", "duplicate_parameter", "twice"),
    ])
  func bad(query: String, code: String, part: String) async throws {
    let reply = await asking().raw("/v1/sources?" + query)
    #expect(reply.status == 400)
    #expect(try reply.string("code") == code)
    #expect(try reply.string("detail")?.contains(part) == true, "\(reply.text)")
  }

  @Test("a cursor of another query is refused")
  func foreignCursor() async throws {
    let cursor = try #require(try await asking().get("/v1/sources", [("limit", "1")]).string("next_cursor"))
    let reply = await asking().get("/v1/sources", [("limit", "1"), ("prefix", "t"), ("cursor", cursor)])
    #expect(reply.status == 400)
    #expect(try reply.string("code") == "invalid_cursor")
    // Pages may differ in length.
    let rest = await asking().get("/v1/sources", [("limit", "9"), ("cursor", cursor)])
    #expect(try names(rest).count == Self.all.count - 1)
  }

  @Test("as CSV and NDJSON, with the offsets and the cursor in headers")
  func formats() async throws {
    let csv = await asking().get("/v1/sources", [("format", "csv"), ("prefix", "thermo/"), ("limit", "1")])
    #expect(
      csv.text == "source,partition,epoch,sequence,largest_event_time,last_append_time,events,ahead,idle_seconds\r\n"
        + "thermo/1,3,2,18446744073709551615,2020-01-01T23:59:59Z,2020-01-01T23:59:59Z,2,false,1.0\r\n")
    #expect(csv.headers["Penstock-As-Of"] == #"{"0":118,"3":90}"# && csv.headers["Penstock-Next-Cursor"] != nil)
    let lines = await asking().get("/v1/sources", [("source", "thermo/2")], accept: "application/x-ndjson")
    #expect(lines.text.hasPrefix(#"{"source":"thermo/2","partition":3,"epoch":null,"sequence":null,"#) && lines.text.hasSuffix("\n"))
  }

  @Test("missing partitions are 503, and so is a service that knows no sources")
  func unavailable() async throws {
    let store = FakeSources([])
    store.state.withLock { $0.error = .missingPartitions([PartitionID(2)]) }
    let reply = await asking(store).get("/v1/sources")
    #expect(reply.status == 503)
    #expect(try reply.string("code") == "missing_partitions")
    #expect(await asking(nil).get("/v1/sources").status == 503)
  }

  @Test("the overview names sources whose clock is ahead, a bounded number of them, and asks for them from time to time only")
  func overview() async throws {
    let store = FakeSources((1...40).map { Self.source("wrong/\($0)", idle: 5, ahead: 1000 * Int64($0)) } + Self.all)
    let asking = asking(store)
    for _ in 0..<3 {
      let listed = try await asking.get("/v1/overview").array("sources_ahead")
      #expect(listed.count == 32)
      // The furthest comes first.
      #expect(listed[0]["source"] == .string("station/EWR") && listed[1]["source"] == .string("wrong/40"))
      #expect(listed[1]["partition"] == .int(3) && listed[1]["last_append_time"] == .string("2020-01-01T23:59:55Z"))
    }
    #expect(store.state.withLock { $0.requests.count } == 1)
    #expect(try await self.asking(nil).get("/v1/overview").member("sources_ahead") == .null)
  }
}
