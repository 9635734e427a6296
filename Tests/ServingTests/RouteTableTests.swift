import Events
import NIOCore
import NIOHTTP1
import Testing

@testable import Serving

private enum Place: Sendable { case list, one, put, apply, live, part }

private let table = RouteTable<Place>([
  .get("/v1/views", .list, scope: .query),
  .get("/v1/views/{view}", .one, scope: .query),
  .delete("/v1/views/{view}", .put, scope: .admin),
  .post("/v1/views/apply", .apply, scope: .admin, bodyBytesMax: 100),
  .get("/v1/views/{view}/live", .live, scope: .query, pace: .stream),
  .get("/v1/views/{view}/parts/{part}", .part),
])

/// Knows one token.
private struct OneToken: AccessControl {
  let changes = AccessChanges()

  func authenticate(bearer token: Substring) throws(AccessDenial) -> Caller {
    guard token == "good" else { throw .invalid(reason: "unknown") }
    return Caller(subject: "reader", scopes: [.query], sources: .all)
  }
}

@Suite("The table of routes")
struct RouteTableTests {
  private func service(_ gate: AccessGate = .open) -> HTTPService<Place> {
    HTTPService(
      name: "test", routes: table, rules: HostRules(service: "test", listen: "127.0.0.1"), gate: gate,
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), description: Array("{}".utf8))
  }

  /// `GET /v1/views/a` → `/v1/views/{view} [a]`, or the code of the problem.
  private func ask(_ method: HTTPMethod, _ target: String, _ service: HTTPService<Place>, token: String? = nil) -> String {
    var request = HTTPRequest(method, target, headers: token.map { ["Authorization": "Bearer \($0)"] } ?? [:])
    do throws(HTTPProblem) {
      let route = try service.admit(&request, service.routes.find(request.path))
      return ([route.path] + request.parameters).joined(separator: " ")
    } catch {
      return error.headers["Allow"].map { "\(error.code) \($0)" } ?? error.code
    }
  }

  @Test("a path is found by its segments, literal ones before parameters, which are decoded and not empty")
  func found() {
    let service = service()
    for (method, target, answer) in [
      (HTTPMethod.GET, "/v1/views", "/v1/views"), (.HEAD, "/v1/views?a=1", "/v1/views"),
      (.GET, "/v1/views/a", "/v1/views/{view} a"),
      (.DELETE, "/v1/views/a%2Fb", "/v1/views/{view} a/b"), (.POST, "/v1/views/apply", "/v1/views/apply"),
      (.GET, "/v1/views/a/parts/%C3%A9", "/v1/views/{view}/parts/{part} a é"), (.GET, "/livez", "/livez"),
      (.GET, "/v1/views/a/live", "/v1/views/{view}/live a"),
      (.GET, "/v1/views/", "not_found"), (.GET, "/v1/views//live", "not_found"), (.GET, "/livez/", "not_found"),
      (.GET, "/", "not_found"), (.GET, "", "not_found"), (.GET, "//", "not_found"), (.GET, "/v1/views/%FF", "not_found"),
      (.GET, "/v1/views/%", "not_found"), (.GET, "/v1/views/a/b/c/d/e/f", "not_found"), (.GET, "/v1/view\u{301}s", "not_found"),
      (.POST, "/nothing", "not_found"),
    ] { #expect(ask(method, target, service) == answer, "\(method) \(target)") }
  }

  @Test("a method that a path does not take is told which it takes; HEAD goes with GET, but not with a stream")
  func methods() {
    let service = service()
    for (method, target, allow) in [
      (HTTPMethod.POST, "/v1/views", "GET, HEAD"), (.PUT, "/v1/views/a", "GET, HEAD, DELETE"), (.GET, "/v1/views/apply", "POST"),
      (.HEAD, "/v1/views/a/live", "GET"), (.POST, "/livez", "GET, HEAD"), (.RAW(value: "BREW"), "/metrics", "GET, HEAD"),
    ] { #expect(ask(method, target, service) == "method_not_allowed \(allow)", "\(method) \(target)") }
  }

  @Test("who may not ask is told so after what is not there, and what holds nobody's data is everybody's")
  func access() {
    let service = service(AccessGate(OneToken()))
    #expect(ask(.GET, "/v1/views", service) == "token_missing")
    #expect(ask(.GET, "/v1/views", service, token: "bad") == "token_invalid")
    #expect(ask(.GET, "/v1/views", service, token: "good") == "/v1/views")
    #expect(ask(.POST, "/v1/views/apply", service, token: "good") == "scope_missing")
    #expect(ask(.GET, "/metrics", service) == "token_missing")
    #expect(ask(.GET, "/nothing", service) == "not_found")
    #expect(ask(.PUT, "/v1/views", service) == "method_not_allowed GET, HEAD")
    for path in ["/livez", "/readyz", "/health", "/openapi.json"] { #expect(ask(.GET, path, service) == path) }
  }

  @Test("every service has the paths of those who look after it, and each path once")
  func paths() {
    #expect(
      table.paths.map(\.name) == [
        "/v1/views", "/v1/views/{view}", "/v1/views/apply", "/v1/views/{view}/live", "/v1/views/{view}/parts/{part}", "/livez",
        "/readyz", "/health", "/metrics", "/openapi.json",
      ])
  }

  @Test("readiness says what is wrong, and that the service ends")
  func operations() async {
    let service = service()
    func text(_ answer: HTTPAnswer) -> String {
      answer.bytes(for: RequestID("r")).map { "\(answer.status) " + String(buffer: $0) } ?? ""
    }
    #expect(text(await service.answer(.alive)) == #"200 {"status":"alive"}"#)
    #expect(text(await service.answer(.ready)) == #"200 {"status":"ready","checks":{}}"#)
    service.drain()
    #expect(text(await service.answer(.health)) == #"503 {"status":"not ready","checks":{"test":"shutting down"}}"#)
    #expect(text(await service.answer(.description)) == "200 {}")
  }

  @Test("the bodies of all requests together have so many bytes at most")
  func held() throws {
    let service = HTTPService(
      name: "test", routes: table, limits: ServingLimits(bodiesBytesMax: 10),
      rules: HostRules(service: "test", listen: "127.0.0.1"),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }), description: [])
    try service.hold(6)
    #expect(throws: HTTPProblem.self) { try service.hold(5) }
    #expect(throws: HTTPProblem.self) { try service.checkRoom(5) }
    try service.hold(4)
    service.letGo(6)
    try service.checkRoom(6)
    try service.hold(6)
  }
}
