import Events
import Logging
import NIOCore
import NIOHTTP1
import Serving
import Synchronization
import Testing
import Views

@testable import Query

/// Late events and aggregations that a test decides.
private final class FixedAnswers: LateEventStore, AdHocStore {
  let events: [LateEvent]
  let asked = Mutex<[AdHocRequest]>([])

  init(late events: [LateEvent] = []) { self.events = events }

  nonisolated(nonsending) func late(_ request: LateReadRequest) async throws(ViewStoreError) -> LateReadResult {
    LateReadResult(
      generation: 1, asOf: OffsetVector([PartitionID(0): Offset(9)]), events: events,
      counts: [PartitionID(0): LateCounts(counted: events.count, listed: events.count)])
  }

  nonisolated(nonsending) func aggregate(_ request: AdHocRequest) async throws(AdHocError) -> PartialResult {
    asked.withLock { $0.append(request) }
    var result = PartialResult(
      definition: request.definition, generation: 0, asOf: OffsetVector([PartitionID(0): Offset(9)]), eventTimeWatermarks: [:],
      rows: PartialRows(stride: request.definition.layout.stride))
    result.eventTimeWatermarks = [PartitionID(0): Timestamp(nanoseconds: 9 * Hours.hour)]
    result.slowestSources = [PartitionID(0): Timestamp(nanoseconds: 2 * Hours.hour)]
    for hour in 0..<4 as Range<Int64> {
      KeyCodec.encode([]).withUnsafeBytes { key in
        result.rows.append(
          partition: PartitionID(0), windowStart: hour * Hours.hour, windowEnd: (hour + 1) * Hours.hour, key: key
        ) { $0.append(1) }
      }
    }
    return result
  }

  func answer(_ request: HTTPRequest, _ endpoint: QueryEndpoint) async throws -> JSONValue {
    let answers = QueryAnswers(
      configuration: QueryConfiguration(), store: FakeStore(), log: FakeLog(),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, late: self, adHoc: self, now: { Asking.now })
    let answer = await answers.answer(request, endpoint)
    switch answer.body {
    case .bytes(let bytes): return try JSONValue(parsing: Array(bytes.readableBytesView))
    case .problem(let problem, _): return ["status": .int(Int64(problem.status)), "detail": .string(problem.detail)]
    case .pieces(var bytes, var rest):
      while let piece = try await rest.next() { bytes += piece }
      return try JSONValue(parsing: bytes)
    }
  }

  /// The answer to an aggregation of rows an hour long, with this further member.
  func aggregate(_ member: String, allowedLateness: String = "0s") async throws -> JSONValue {
    let body =
      #"{"window":{"tumble":"1h"},"aggregates":{"n":"count()"},"allowed_lateness":"\#(allowedLateness)"\#(member)}"#
    return try await answer(
      HTTPRequest(
        .POST, "/v1/aggregate", headers: ["Content-Type": "application/json"], body: ByteBuffer(string: body)), .aggregate)
  }
}

@Test("late events are listed with the reason why no window counts them")
func lateReasons() async throws {
  let late = LateReason.allCases.enumerated().map { number, reason in
    LateEvent(
      partition: PartitionID(0), offset: Offset(Int64(number)), time: Timestamp(nanoseconds: 7), windowStart: Timestamp(nanoseconds: 0),
      reason: reason)
  }
  var request = HTTPRequest(.GET, "/v1/views/hourly/late")
  let service = QueryService.http(
    QueryConfiguration(), .open, ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }))
  _ = try service.admit(&request, service.routes.find(request.path))
  guard case .array(let events)? = try await FixedAnswers(late: late).answer(request, .late)["events"] else {
    Issue.record("no events")
    return
  }
  #expect(events.map { $0["reason"]?.string } == ["window_closed", "expired"])
}

@Test("an aggregation takes whose event times close its windows, each source's own by default, and final follows it")
func aggregateScope() async throws {
  let store = FixedAnswers()
  func finals(_ json: JSONValue) -> [Bool] {
    if case .array(let rows)? = json["rows"] { rows.map { $0["final"] == .bool(true) } } else { [] }
  }
  #expect(finals(try await store.aggregate("")) == [true, true, false, false])
  #expect(finals(try await store.aggregate(#","watermark":"source""#)) == [true, true, false, false])
  #expect(finals(try await store.aggregate(#","watermark":"partition""#)) == [true, true, true, true])
  #expect(store.asked.withLock { $0.map(\.definition.watermark) } == [.source, .source, .partition])
  let wrong = try await store.aggregate(#","watermark":"partitions""#)
  #expect(wrong["status"] == .int(400))
  #expect(wrong["detail"]?.string == "watermark: there is no 'partitions': did you mean partition?")
}
