import Events
import NIOHTTP1
import Testing

@testable import Serving

/// The origin of a request that is served, or the status and code of the problem.
private func verdict(_ rules: HostRules, _ head: HTTPRequestHead) -> String {
  var head = head
  do throws(HTTPProblem) {
    switch try rules.check(&head) {
    case .own: return "own \(head.uri)"
    case .page(let origin): return "page \(origin)"
    }
  } catch {
    return "\(error.status) \(error.code)"
  }
}

private func head(
  _ headers: HTTPHeaders, _ uri: String = "/v1/views", _ method: HTTPMethod = .GET, _ version: HTTPVersion = .http1_1
)
  -> HTTPRequestHead
{
  HTTPRequestHead(version: version, method: method, uri: uri, headers: headers)
}

@Suite("Whom a request is for, and which page makes it")
struct HostRulesTests {
  let local = HostRules(service: "query", listen: "127.0.0.1")
  let open = HostRules(
    service: "query", listen: "0.0.0.0", hosts: ["Penstock.example.org", "[2001:db8::1]", "::2"],
    origins: ["https://app.example.org", "http://localhost:3000"])

  @Test(
    "loopback, by whatever name, and the address listened on are the service's own",
    arguments: [
      "127.0.0.1:8080", "127.0.0.1", "127.9.9.9:1", "localhost", "LOCALHOST:8080", "localhost.:8080", "[::1]:8080", "[::1]",
      "[::ffff:127.0.0.1]:8080", "[0:0:0:0:0:0:0:1]:",
    ])
  func loopback(host: String) {
    #expect(verdict(local, head(["Host": host])) == "own /v1/views")
    #expect(verdict(open, head(["Host": host])) == "own /v1/views")
    #expect(verdict(HostRules(service: "query", listen: "192.0.2.7"), head(["Host": "192.0.2.7:8080"])) == "own /v1/views")
    #expect(verdict(HostRules(service: "query", listen: "box.lan"), head(["Host": "Box.lan:8080"])) == "own /v1/views")
  }

  @Test(
    "others are not, unless they are named",
    arguments: ["rebind.example", "rebind.example:8080", "localhost.evil.example", "evil", "127.0.0.1.nip.example"])
  func foreignHosts(host: String) {
    #expect(verdict(local, head(["Host": host])) == "403 host_forbidden")
    #expect(verdict(open, head(["Host": host])) == "403 host_forbidden")
  }

  @Test("where every address is listened on, any address may be asked, for it cannot be rebound")
  func everyAddress() {
    for host in ["192.0.2.1:8080", "[2001:db8::9]", "penstock.example.org:443", "[2001:DB8::1]", "[::2]:9"] {
      #expect(verdict(open, head(["Host": host])) == "own /v1/views", "\(host)")
      #expect(verdict(local, head(["Host": host])) == "403 host_forbidden", "\(host)")
    }
  }

  @Test("names without a dot are taken where the service is told so")
  func singleLabels() {
    let wire = HostRules(service: "log", listen: "127.0.0.1", takesSingleLabels: true)
    #expect(verdict(wire, head(["Host": "penstock-log"])) == "own /v1/views")
    #expect(verdict(wire, head(["Host": "penstock.log"])) == "403 host_forbidden")
    #expect(verdict(wire, head(["Host": "192.0.2.1"])) == "403 host_forbidden")
  }

  @Test("HTTP/1.1 says one host, and HTTP/1.0 may say none")
  func hosts() {
    #expect(verdict(local, head([:])) == "400 invalid_host")
    #expect(verdict(local, HTTPRequestHead(version: .http1_0, method: .GET, uri: "/")) == "own /")
    #expect(verdict(local, head(["Host": "localhost", "host": "localhost"])) == "400 invalid_host")
    for host in ["", "a b", "user@localhost", "localhost:x", "localhost:99999", "[::1", "[::1]8080", "localhost/", "local_host?"]
    {
      #expect(verdict(local, head(["Host": host])) == "400 invalid_host", "\(host)")
    }
  }

  @Test("a target in absolute form is the path of its authority")
  func absoluteForm() {
    for (target, path) in [
      ("http://localhost:8080/v1/views?from=1", "/v1/views?from=1"), ("HTTP://127.0.0.1", "/"), ("https://[::1]?x=1", "/?x=1"),
      ("http://localhost/a://b", "/a://b"),
    ] {
      #expect(verdict(local, head(["Host": "other.example"], target)) == "own \(path)", "\(target)")
    }
    #expect(verdict(local, head(["Host": "localhost"], "http://rebind.example/v1/views")) == "403 host_forbidden")
    #expect(verdict(local, head(["Host": "localhost"], "http:///v1/views")) == "400 invalid_host")
    #expect(verdict(local, head([:], "http://localhost/v1/views")) == "400 invalid_host")
  }

  @Test("a page of the service's own may ask, however it is reached")
  func ownPages() {
    for (host, origin) in [
      ("127.0.0.1:8080", "http://127.0.0.1:8080"), ("localhost", "http://localhost"), ("localhost:80", "http://localhost"),
      ("[::1]:8080", "http://[::1]:8080"), ("localhost:443", "https://localhost"), ("LocalHost", "https://localhost"),
    ] {
      #expect(verdict(local, head(["Host": host, "Origin": origin], "/v1/sql", .POST)) == "own /v1/sql", "\(origin)")
    }
    #expect(verdict(local, head(["Host": "localhost", "Sec-Fetch-Site": "same-origin"])) == "own /v1/views")
    #expect(verdict(local, head(["Host": "localhost", "Sec-Fetch-Site": "none"])) == "own /v1/views")
  }

  @Test(
    "no other page may",
    arguments: [
      "http://evil.example", "null", "http://localhost:3000", "https://127.0.0.1", "http://127.0.0.1", "http://localhost:8080",
      "file://", "chrome-extension://abc", "", "http://127.0.0.1:8080/", "http://127.0.0.1:8080@evil.example",
    ])
  func foreignPages(origin: String) {
    #expect(verdict(local, head(["Host": "127.0.0.1:8080", "Origin": origin], "/v1/sql", .POST)) == "403 origin_forbidden")
    #expect(verdict(local, head(["Host": "127.0.0.1:8080", "Origin": origin])) == "403 origin_forbidden")
  }

  @Test("nor by what carries no origin, but a link may be followed")
  func fetchMetadata() {
    for site in ["cross-site", "same-site"] {
      #expect(
        verdict(local, head(["Host": "localhost", "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"])) == "403 origin_forbidden"
      )
      let link: HTTPHeaders = [
        "Host": "localhost", "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
      ]
      #expect(verdict(local, head(link, "/")) == "own /")
      #expect(verdict(local, head(link, "/v1/views/apply", .POST)) == "403 origin_forbidden")
      var frame = link
      frame.replaceOrAdd(name: "Sec-Fetch-Dest", value: "iframe")
      #expect(verdict(local, head(frame, "/")) == "403 origin_forbidden")
    }
  }

  @Test("a page of an origin that is allowed may ask")
  func allowedOrigins() {
    for origin in ["https://app.example.org", "http://localhost:3000"] {
      #expect(verdict(open, head(["Host": "127.0.0.1:8080", "Origin": origin])) == "page \(origin)")
    }
    #expect(verdict(open, head(["Host": "127.0.0.1:8080", "Origin": "http://app.example.org"])) == "403 origin_forbidden")
    #expect(
      verdict(open, head(["Host": "127.0.0.1:8080", "Origin": "https://app.example.org", "origin": "null"]))
        == "403 origin_forbidden")
  }
}
