import Events
import NIOHTTP1
import Serving
import WebSocket

/// Who may open `/v1/stream`, whatever transport asks.
enum StreamAdmission {
  /// - Parameter device: Told who asks; once accepted, the device counts as connected until it leaves.
  static func decide(
    _ head: HTTPRequestHead, _ ingest: IngestLoop, _ device: DeviceAdmission
  ) -> WebSocketUpgradeDecision {
    guard IngestRoute(head) == .stream else {
      return .refuse(WebSocketRefusal(status: .notFound, detail: "WebSocket is spoken at \(IngestRoute.stream.rawValue)"))
    }
    if ingest.isDraining {
      return .refuse(
        WebSocketRefusal(status: .serviceUnavailable, headers: ["Retry-After": "1"], detail: "shutting down; try again"))
    }
    guard let sources = decoded(head) else {
      return .refuse(
        WebSocketRefusal(
          status: .badRequest, detail: "?source= is no percent-encoded UTF-8", code: RejectCode.invalidSource.rawValue))
    }
    guard sources.allSatisfy({ (1...EventReader.attributeBytesMax).contains($0.utf8.count) }), sources.count <= 1024 else {
      return .refuse(WebSocketRefusal(status: .badRequest, detail: "?source= is empty or too long, or there are over 1024"))
    }
    let offered = WebSocketHandshake.subprotocols(head.headers)
    let chosen = offered.first { WebSocketSession.Subprotocol(rawValue: $0) != nil }
    guard chosen != nil || offered.isEmpty else {
      let known = WebSocketSession.Subprotocol.allCases.map(\.rawValue).joined(separator: ", ")
      return .refuse(WebSocketRefusal(status: .badRequest, detail: "no known subprotocol among those offered; known: \(known)"))
    }
    do throws(HTTPProblem) {
      try device.admit(head, ingest, sources: sources)
    } catch {
      return .refuse(
        WebSocketRefusal(
          status: HTTPResponseStatus(statusCode: error.status), headers: HTTPHeaders(error.headers.sorted { $0.key < $1.key }),
          detail: error.detail, code: error.code))
    }
    return .accept(subprotocol: chosen)
  }

  /// The values of `?source=` of a head that was accepted, in order.
  static func sources(of head: HTTPRequestHead) -> [String] { decoded(head) ?? [] }

  /// Nil when one is no percent-encoded UTF-8.
  private static func decoded(_ head: HTTPRequestHead) -> [String]? {
    // By bytes: a character may begin with a separator and go on with an accent.
    guard let query = head.uri.utf8.split(separator: 0x3F, maxSplits: 1).dropFirst().first else { return [] }
    var sources: [String] = []
    for pair in query.split(separator: 0x26) {
      let parts = pair.split(separator: 0x3D, maxSplits: 1, omittingEmptySubsequences: false)
      guard parts[0].elementsEqual("source".utf8) else { continue }
      guard let source = parts.count == 2 ? PercentText.decode(parts[1], plusIsSpace: true) : "" else { return nil }
      sources.append(source)
    }
    return sources
  }
}
