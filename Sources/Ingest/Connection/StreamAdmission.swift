import Events
import NIOHTTP1
import Serving
import WebSocket

/// Decides who may open `/v1/stream`, for every transport.
enum StreamAdmission {
  static let path = "/v1/stream"

  /// - Parameters:
  ///   - head: The head of a request with this path.
  ///   - ingest: The state of the connection's loop.
  ///   - device: Told who asks; once accepted, the device counts as connected until it leaves.
  /// - Returns: The agreement, and the response's headers for it, besides `Connection` and `Upgrade`.
  /// - Throws: Why not: no WebSocket handshake, or one that may not be.
  static func accept(
    _ head: HTTPRequestHead, _ ingest: IngestLoop, _ device: DeviceAdmission
  ) throws(HTTPProblem) -> (agreement: WebSocketAgreement, headers: HTTPHeaders) {
    let key: String
    do throws(WebSocketHandshakeError) { key = try WebSocketHandshake.check(head) } catch { throw HTTPProblem(error) }
    guard !ingest.isDraining else {
      throw HTTPProblem(
        status: 503, code: "handshake_refused", detail: "shutting down; try again", headers: ["Retry-After": "1"])
    }
    guard let sources = decoded(head) else {
      throw HTTPProblem(
        status: 400, code: RejectCode.invalidSource.rawValue, detail: "?source= is no percent-encoded UTF-8")
    }
    guard sources.allSatisfy({ (1...EventReader.attributeBytesMax).contains($0.utf8.count) }), sources.count <= 1024 else {
      throw refusal("?source= is empty or too long, or there are over 1024")
    }
    let offered = WebSocketHandshake.subprotocols(head.headers)
    let chosen = offered.first { WebSocketSession.Subprotocol(rawValue: $0) != nil }
    guard chosen != nil || offered.isEmpty else {
      let known = WebSocketSession.Subprotocol.allCases.map(\.rawValue).joined(separator: ", ")
      throw refusal("no known subprotocol among those offered; known: \(known)")
    }
    try device.admit(head, ingest, sources: sources)
    return WebSocketHandshake.accept(head, key: key, subprotocol: chosen, deflate: ingest.deflate)
  }

  private static func refusal(_ detail: String) -> HTTPProblem {
    HTTPProblem(status: 400, code: "handshake_refused", detail: detail)
  }

  /// The values of `?source=` of an accepted head, in order.
  static func sources(of head: HTTPRequestHead) -> [String] { decoded(head) ?? [] }

  /// Nil when one is no percent-encoded UTF-8.
  private static func decoded(_ head: HTTPRequestHead) -> [String]? {
    var sources: [String] = []
    for item in QueryItems(of: head.uri) where item.name == "source" {
      guard let source = item.value else { return nil }
      sources.append(source)
    }
    return sources
  }
}

extension HTTPProblem {
  fileprivate init(_ error: WebSocketHandshakeError) {
    let refusal = WebSocketHandshake.refusal(of: error)
    var headers: [String: String] = [:]
    for (name, value) in refusal.headers where name.lowercased() != "connection" { headers[name] = value }
    self.init(
      status: Int(refusal.status.code), code: error == .upgradeMissing ? "upgrade_required" : "handshake_refused",
      detail: refusal.detail, headers: headers)
  }
}
