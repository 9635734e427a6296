import Events
import HTTPClient
import NIOCore
import NIOHTTP1
import Serving

/// A whole request between services.
public struct WireRequest: Sendable {
  public var method: HTTPMethod
  /// Path and query, percent-encoded.
  public var target: String
  public var contentType: String?
  public var body: ByteBuffer
  /// The longest answer that is accepted.
  public var answerBytesMax: Int
  /// The id of the request that this one helps to answer.
  public var id: RequestID?
  /// The log that it is for, in the form of `LogIdentity`; nil where any log may answer.
  public var log: String?

  public init(
    _ method: HTTPMethod, _ target: String, contentType: String? = nil, body: ByteBuffer = ByteBuffer(),
    answerBytesMax: Int = 4 << 20, id: RequestID? = .current
  ) {
    self.method = method
    self.target = target
    self.contentType = contentType
    self.body = body
    self.answerBytesMax = answerBytesMax
    self.id = id
  }

  public init(posting json: JSONValue, to target: String, answerBytesMax: Int = 4 << 20) {
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    self.init(.POST, target, contentType: WireContent.json, body: ByteBuffer(bytes: bytes), answerBytesMax: answerBytesMax)
  }

  /// As it is sent to a service.
  func http(to service: String) -> ClientRequest {
    var headers: HTTPHeaders = ["Host": service, WireVersion.header: String(WireVersion.current)]
    if let log { headers.add(name: WireVersion.logHeader, value: log) }
    if let id { headers.add(name: RequestID.header, value: id.description) }
    if let contentType { headers.add(name: "Content-Type", value: contentType) }
    return ClientRequest(method, target, headers: headers, body: body, answerBytesMax: answerBytesMax)
  }
}

/// A whole answer between services.
public struct WireResponse: Sendable {
  public var status: Int
  public var contentType: String
  public var headers: [String: String]
  public var body: ByteBuffer

  public init(status: Int = 200, contentType: String, headers: [String: String] = [:], body: ByteBuffer) {
    self.status = status
    self.contentType = contentType
    self.headers = headers
    self.body = body
  }

  public init(_ json: JSONValue, status: Int = 200) {
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    self.init(status: status, contentType: WireContent.json, body: ByteBuffer(bytes: bytes))
  }

  init(_ answer: ClientAnswer) {
    var headers: [String: String] = [:]
    for (name, value) in answer.headers { headers[name.lowercased()] = value }
    self.init(status: answer.status, contentType: headers["content-type"] ?? "", headers: headers, body: answer.body)
  }

  /// - Parameters:
  ///   - problem: The problem, with its status and stable code.
  ///   - extra: Members after the problem's own.
  public init(_ problem: HTTPProblem, extra: JSONObject = JSONObject()) {
    self.init(
      status: problem.status, contentType: HTTPProblem.contentType, headers: problem.headers,
      body: ByteBuffer(bytes: problem.body(extra: extra)))
  }

  /// The body as JSON; nil when it is no JSON.
  public var json: JSONValue? { try? JSONValue(parsing: body.readableBytesView) }
}
