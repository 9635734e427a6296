import NIOHTTP1

/// The headers that browsers need before they give an answer to a page of another origin (the Fetch standard's CORS protocol).
enum CrossOrigin {
  /// No page sends longer lists of headers.
  private static let headersBytesMax = 4096
  private static let exposed = "X-Request-Id, Retry-After, WWW-Authenticate, Allow"

  /// Answers a preflight: a page may ask for everything that the service has.
  /// - Returns: Nil for a request that is no such question.
  static func preflight(_ head: HTTPRequestHead) -> HTTPAnswer? {
    guard head.method == .OPTIONS, head.headers.contains(name: "access-control-request-method") else { return nil }
    var answer = HTTPAnswer(204, "", [])
    answer.headers = [
      ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE"), ("Access-Control-Max-Age", "600"),
    ]
    let wanted = head.headers["access-control-request-headers"].joined(separator: ", ")
    if (1...headersBytesMax).contains(wanted.utf8.count) { answer.headers.append(("Access-Control-Allow-Headers", wanted)) }
    if head.headers.contains(name: "access-control-request-private-network") {
      answer.headers.append(("Access-Control-Allow-Private-Network", "true"))
    }
    return answer
  }

  static func mark(_ headers: inout HTTPHeaders, _ source: HostRules.Source) {
    headers.add(name: "Vary", value: "Origin")
    guard case .page(let origin) = source else { return }
    headers.replaceOrAdd(name: "Access-Control-Allow-Origin", value: origin)
    headers.replaceOrAdd(name: "Access-Control-Expose-Headers", value: exposed)
  }
}
