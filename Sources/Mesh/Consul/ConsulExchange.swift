import HTTPClient
import NIOCore
import NIOHTTP1

struct ConsulRequest: Sendable {
  var method: HTTPMethod = .GET
  /// From `/v1/`, of characters that need no escaping.
  var path: String
  /// Without `?`, escaped.
  var query = ""
  var body: ByteBuffer?
  var timeout: Duration?

  var place: String { "\(method.rawValue) \(path)" }

  func http(token: String?) -> ClientRequest {
    var headers: HTTPHeaders = ["Accept": "application/json"]
    if let token { headers.add(name: "X-Consul-Token", value: token) }
    if body != nil { headers.add(name: "Content-Type", value: "application/json") }
    return ClientRequest(
      method, query.isEmpty ? path : "\(path)?\(query)", headers: headers, body: body ?? ByteBuffer(),
      answerBytesMax: ConsulConfiguration.answerBytesMax)
  }
}

struct ConsulResponse: Sendable {
  var status: Int
  /// `X-Consul-Index`: what the next blocking query waits beyond. At least 1 where there is one.
  var index: UInt64?
  var body: ByteBuffer

  init(_ answer: ClientAnswer) {
    status = answer.status
    index = answer.headers.first(name: "X-Consul-Index").flatMap { UInt64($0) }.map { max(1, $0) }
    body = answer.body
  }
}

extension ConsulError {
  /// Why the agent at `place` gave no answer within `timeout`.
  init(_ failure: ClientFailure, _ request: ConsulRequest, at place: String, timeout: Duration) {
    let (code, detail): (Code, String) =
      switch failure {
      case .unreachable(let error): (.unreachable, "no agent at \(place): \(error)")
      case .timedOut: (.timeout, "no answer within \(timeout)")
      case .tooLarge, .malformed: (.malformed, "\(failure)")
      case .broken(let error): (error is HTTPParserError ? .malformed : .unreachable, "\(error)")
      case .ended: (.unreachable, "\(failure)")
      case .cancelled: (.cancelled, "the task was cancelled")
      }
    self.init(code, request: request.place, detail)
  }
}
