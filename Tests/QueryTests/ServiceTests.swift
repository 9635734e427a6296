import Events
import Foundation
import FoundationNetworking
import Logging
import NIOPosix
import Serving
import TestSupport
import Testing
import Views

@testable import Query

@Test("every view is listed with its columns, offsets, lag and counts")
func listing() async throws {
  let asking = Asking()
  asking.store.put([], try Hours.definition(), watermarks: [0: 3, 2: 4])
  asking.store.state.withLock { state in
    state.statuses[0].partitions[1].highWatermark = Offset(15)
    state.statuses[0].partitions[1].lastAppendTime = Timestamp(nanoseconds: Asking.now.nanoseconds - 2_500_000_000)
  }
  let reply = await asking.get("/v1/views")
  #expect(reply.status == 200)
  #expect(
    reply.text == """
      {"views":[{"name":"hourly","generation":1,"where":null,"keys":["source","site"],"window":{"tumble":"1h"},\
      "watermark":"partition","watermark_delay":"0s",\
      "allowed_lateness":"1h","retention":null,"columns":[{"name":"window_start","type":"timestamp","role":"window"},\
      {"name":"window_end","type":"timestamp","role":"window"},{"name":"final","type":"boolean","role":"window"},\
      {"name":"source","type":"string","role":"key"},{"name":"site","type":"any","role":"key"},\
      {"name":"n","type":"int64","role":"aggregate"},\
      {"name":"total","type":"double","role":"aggregate"},{"name":"mean","type":"double","role":"aggregate"},\
      {"name":"low","type":"double","role":"aggregate"},{"name":"high","type":"double","role":"aggregate"}],\
      "offsets":{"0":10,"2":10},\
      "high_watermarks":{"0":10,"2":15},"event_time_watermarks":{"0":"1970-01-01T03:00:00Z","2":"1970-01-01T04:00:00Z"},\
      "lag":{"events":5,"seconds":2.5},"counts":{"applied":16,"amended":0,"filtered":2,"late":2,"pending":5,\
      "where_errors":0,"argument_errors":0}}]}
      """)
  #expect(await asking.get("/v1/views", [("limit", "1")]).status == 400)
}

@Test("paths that are not are 404, methods that are not 405")
func paths() async throws {
  let asking = Asking()
  for path in [
    "/v1/views/", "/v1/views/a/x", "/v1/views//live", "/v1/sql/", "/x", "/livez/", "//", "/v1/views/a/",
  ] {
    let reply = await asking.raw(path)
    #expect(reply.status == 404, "\(path)")
    #expect(try reply.string("code") == "not_found")
    #expect(await asking.raw(path, method: .POST).status == 404)
  }
  #expect(await asking.raw("/v1/sql").headers["Allow"] == "POST")
  #expect(await asking.raw("/v1/views/a/live", method: .HEAD).headers["Allow"] == "GET")
  for path in [
    "/", "/v1/ledger", "/v1/views", "/v1/views/a", "/v1/events", "/livez", "/readyz", "/health", "/metrics", "/openapi.json",
  ] {
    let reply = await asking.raw(path, method: .POST)
    #expect(reply.status == 405, "\(path)")
    #expect(reply.headers["Allow"] == (path == "/v1/views/a" ? "GET, HEAD, DELETE" : "GET, HEAD"))
    #expect(try reply.string("code") == "method_not_allowed")
  }
}

@Test("probes, metrics and the description of the API answer")
func operations() async throws {
  let asking = Asking()
  #expect(await asking.get("/livez").text == #"{"status":"alive"}"#)
  #expect(await asking.get("/readyz").text == #"{"status":"ready","checks":{"log":"ok"}}"#)
  #expect(await asking.get("/metrics").text == "penstock_up 1\n")
  #expect(await asking.get("/").status == 200)
  asking.service.drain()
  #expect(await asking.get("/readyz").status == 503)
  #expect(await asking.get("/livez").status == 200)
  #expect(await Asking(problem: "gone").get("/health").status == 503)
}

@Test("the OpenAPI document has every route and every parameter, and its references lead somewhere")
func openAPI() async throws {
  let document = try await Asking().get("/openapi.json").json
  let table = QueryEndpoint.routes.paths.flatMap { path in path.routes.map { "\($0.method) \(path.name)" } }
  #expect(DescribedRoutes.of(document) == table.sorted())
  func resolve(_ reference: String) -> JSONValue? {
    reference.dropFirst(2).split(separator: "/").reduce(document) { $0?[String($1)] }
  }
  var references = 0
  func check(_ value: JSONValue) {
    switch value {
    case .array(let elements): elements.forEach(check)
    case .object(let members):
      for member in members {
        if member.name == "$ref", let reference = member.value.string {
          references += 1
          #expect(resolve(reference) != nil, "\(reference)")
        }
        check(member.value)
      }
    default: break
    }
  }
  check(document)
  #expect(references > 10)
  for (path, names) in [
    ("/v1/views/{view}", ["view"] + ViewQuery.parameterNames),
    ("/v1/views/{view}/live", ["view", "Last-Event-ID"] + LiveAnswers.parameterNames),
    ("/v1/events", EventsQuery.parameterNames), ("/v1/views/{view}/late", ["view"] + LateAnswers.parameterNames),
  ] {
    guard case .array(let parameters)? = document["paths"]?[path]?["get"]?["parameters"] else {
      Issue.record("no parameters: \(path)")
      continue
    }
    let named = parameters.compactMap { ($0["$ref"]?.string.flatMap(resolve) ?? $0)["name"]?.string }
    #expect(named.sorted() == names.sorted())
  }
}

@Test("base64url reads back what it wrote, and nothing else")
func base64() {
  for count in 0..<70 {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 89 &+ count) }
    #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
  }
  for bad in ["A", "AB=", "A+", "A/", "AAAAA", "AB", "ä"] { #expect(Base64URL.decode(bad) == nil, "\(bad)") }
}

// MARK: Over sockets

/// A service on a free port of loopback.
private func withService(
  store: FakeStore = FakeStore(), log: any EventLog = FakeLog(), _ body: (QueryService, String) async throws -> Void
) async throws {
  let probe = ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" })
  let service = QueryService(
    configuration: QueryConfiguration(port: 0), store: store, log: log, probe: probe,
    group: MultiThreadedEventLoopGroup.singleton,
    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  let (host, port) = try await service.start()
  do {
    try await body(service, "http://\(host):\(port)")
  } catch {
    await service.shutDown()
    throw error
  }
  await service.shutDown()
}

private func fetch(_ url: String, method: String = "GET", body: Data? = nil) async throws -> (Data, HTTPURLResponse) {
  var request = URLRequest(url: try #require(URL(string: url)))
  request.httpMethod = method
  request.httpBody = body
  let (data, response) = try await URLSession.shared.data(for: request)
  return (data, try #require(response as? HTTPURLResponse))
}

@Test("requests over HTTP: whole, in pieces, HEAD, with bodies nobody reads, and errors")
func sockets() async throws {
  let store = FakeStore()
  let seen = (0..<3000).map { Seen(partition: 0, hour: $0, source: "s", site: .int(Int64($0)), values: [1]) }
  store.put(seen, try Hours.definition())
  try await withService(store: store) { _, url in
    let (data, response) = try await fetch(url + "/v1/views/hourly?limit=2")
    #expect(response.statusCode == 200)
    #expect(response.value(forHTTPHeaderField: "Content-Length") == "\(data.count)")
    #expect(response.value(forHTTPHeaderField: "Date") != nil)
    let (large, _) = try await fetch(url + "/v1/views/hourly?limit=100000")
    guard case .array(let rows)? = try JSONValue(parsing: large)["rows"] else {
      Issue.record("no rows")
      return
    }
    #expect(rows.count == 3000)
    for path in ["/v1/views/hourly?limit=2", "/v1/views/hourly?limit=100000", "/livez", "/nothing"] {
      let (none, head) = try await fetch(url + path, method: "HEAD")
      #expect(none.isEmpty)
      #expect(head.statusCode == (path == "/nothing" ? 404 : 200))
    }
    let (problem, refused) = try await fetch(url + "/v1/views", method: "POST", body: Data(repeating: 0x41, count: 1 << 20))
    #expect(refused.statusCode == 405)
    #expect(refused.value(forHTTPHeaderField: "Content-Type") == "application/problem+json")
    #expect(refused.value(forHTTPHeaderField: "Allow") == "GET, HEAD")
    #expect(try JSONValue(parsing: problem)["code"] == .string("method_not_allowed"))
    let (csv, _) = try await fetch(url + "/v1/views/hourly?format=csv&limit=1")
    #expect(String(decoding: csv, as: UTF8.self).hasPrefix("window_start,"))
  }
}

@Test("shutting down lets the requests under way finish, and takes no more")
func draining() async throws {
  let store = SlowStore()
  store.inner.put([], try Hours.definition())
  let probe = ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" })
  let service = QueryService(
    configuration: QueryConfiguration(port: 0), store: store, log: FakeLog(), probe: probe,
    group: MultiThreadedEventLoopGroup.singleton,
    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  let (host, port) = try await service.start()
  let url = "http://\(host):\(port)"
  await #expect(throws: QueryService.StartError.self) { try await service.start() }
  let asked = Task { try await fetch(url + "/v1/views/hourly").1.statusCode }
  await store.entered.wait()
  let stopping = Task { await service.shutDown(timeout: .seconds(20)) }
  // The request holds the store until the listener is gone.
  let deadline = ContinuousClock.now + .seconds(10)
  while ContinuousClock.now < deadline {
    do { _ = try await fetch(url + "/livez") } catch { break }
  }
  store.release.open()
  #expect(try await asked.value == 200)
  await stopping.value
  await #expect(throws: (any Error).self) { try await fetch(url + "/livez") }
}

@Test("a port that is taken is an error at start, and shutting down twice is none")
func portTaken() async throws {
  try await withService { service, url in
    let port = try #require(URL(string: url)?.port)
    let probe = ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" })
    let second = QueryService(
      configuration: QueryConfiguration(port: port), store: FakeStore(), log: FakeLog(), probe: probe,
      group: MultiThreadedEventLoopGroup.singleton,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    await #expect(throws: (any Error).self) { try await second.start() }
    await second.shutDown()
    await service.shutDown()
    await service.shutDown()
  }
}
