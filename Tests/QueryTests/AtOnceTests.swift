import Events
import NIOCore
import NIOHTTP1
import Serving
import Testing
import Views

@testable import Query

private let sample = [
  Seen(partition: 0, hour: 0, source: "a", site: .string("x"), values: [1, 2]),
  Seen(partition: 0, hour: 1, source: "a", site: .string("x"), values: [4]),
  Seen(partition: 0, hour: 5, source: "a", site: .string("x"), values: [5]),
  Seen(partition: 1, hour: 1, source: "b", site: .string("x"), values: [8, 16]),
  Seen(partition: 1, hour: 1, source: "a\"b", site: .null, values: [32]),
]

private func asking() throws -> Asking {
  let asking = Asking()
  asking.store.put(sample, try Hours.definition(), watermarks: [0: 3, 1: 6])
  asking.store.state.withLock { $0.isAtOnce = true }
  return asking
}

private func request(_ parameters: [(String, String)], view: String = "hourly", _ method: HTTPMethod = .GET) -> HTTPRequest {
  HTTPRequest(method, "/v1/views/\(view)?" + Asking.encode(parameters), headers: ["X-Request-Id": "r1"])
}

private func text(_ answer: HTTPAnswer) throws -> String {
  guard case .bytes(let bytes) = answer.body else {
    Issue.record("an answer of few rows is one piece")
    return ""
  }
  let headers = answer.headers.map { "\($0.name): \($0.value)" }.joined(separator: "\n")
  return "\(answer.status) \(answer.contentType)\n\(headers)\n\n" + String(buffer: bytes)
}

extension Asking {
  /// The known state of idle partitions may be a second old: then a caller has to wait once more.
  fileprivate func answerAtOnce(_ request: HTTPRequest) async -> HTTPAnswer? {
    let deadline = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < deadline {
      _ = await answer(request)
      if let answer = atOnce(request) { return answer }
    }
    return nil
  }
}

private let point = #"source == "a" && site == "x""#

@Test(
  "one key's rows are the same at once as by waiting, once the query has been asked",
  arguments: [
    [], [("limit", "1")], [("limit", "2"), ("order", "-n,window_start")], [("from", "1970-01-01T01:00:00Z")],
    [("to", "1970-01-01T01:00:00Z")], [("group_by", "source")], [("step", "2h")], [("format", "csv"), ("limit", "5")],
    [("format", "ndjson"), ("limit", "1")], [("after", #"{"0":10}"#)],
  ] as [[(String, String)]])
func same(parameters: [(String, String)]) async throws {
  let conditions = [
    point, #""x" == site && "a" == source"#, #"(source == "a\"b") && site == null"#, point + #" && source != "z""#,
  ]
  for condition in conditions {
    let asking = try asking()
    let request = request([("where", condition)] + parameters)
    #expect(asking.atOnce(request) == nil, "it was never asked")
    let waited = await asking.answer(request)
    #expect(waited.status == 200)
    #expect(asking.store.state.withLock { $0.readAtOnce } == 0)
    let atOnce = try #require(await asking.answerAtOnce(request), "\(condition) \(parameters)")
    #expect(try text(atOnce) == text(waited), "\(condition) \(parameters)")
  }
}

@Test("a condition that asks for more than one key is applied too")
func narrower() async throws {
  let asking = try asking()
  let request = request([("where", point + #" && source == "b""#)])
  _ = await asking.answer(request)
  let answer = try #require(await asking.answerAtOnce(request))
  #expect(try text(answer).contains(#""rows":[]"#))
}

@Test("what is of several keys, or of no such view, takes waiting")
func others() async throws {
  let asking = try asking()
  for parameters in [[("where", #"source == "a""#)], [], [("where", point), ("format", "csv")]] {
    let request = request(parameters)
    _ = await asking.answer(request)
    #expect(asking.atOnce(request) == nil, "\(parameters)")
  }
  let known = request([("where", point)])
  #expect(await asking.answerAtOnce(known) != nil)
  let unknown = request([("where", point)], view: "none")
  #expect(asking.atOnce(unknown) == nil)
  let post = request([("where", point)], .POST)
  #expect(asking.atOnce(post) == nil)
  #expect(await asking.answer(post).status == 405)
}

@Test("pages go on from one that was had at once")
func pages() async throws {
  let asking = try asking()
  let first = [("where", point), ("limit", "1")]
  let answer = try #require(await asking.answerAtOnce(request(first)))
  let body = try #require(try text(answer).split(separator: "\n\n").last)
  let cursor = try #require(try JSONValue(parsing: String(body))["next_cursor"]?.string)
  let second = try await asking.get("/v1/views/hourly", first + [("cursor", cursor)]).array("rows")
  #expect(second.count == 1)
  #expect(second.first?["window_start"]?.string == "1970-01-01T01:00:00Z")
}

@Test("a definition that has changed is not answered for by what is known of the old one")
func changed() async throws {
  let asking = try asking()
  let request = request([("where", point)])
  #expect(await asking.answerAtOnce(request) != nil)
  asking.store.put(sample, try Hours.definition(allowedLateness: 0), generation: 2, watermarks: [0: 3, 1: 6])
  #expect(asking.atOnce(request) == nil)
  #expect(try text(await asking.answer(request)).contains(#""generation":2"#))
  #expect(try text(try #require(await asking.answerAtOnce(request))).contains(#""generation":2"#))
}
