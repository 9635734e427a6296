import NIOCore
import NIOHTTP1

/// A request, whole.
public struct ClientRequest: Sendable {
  public var method: HTTPMethod
  /// Path and query, percent-encoded.
  public var target: String
  /// All headers but `Content-Length`, which follows from the body.
  public var headers: HTTPHeaders
  public var body: ByteBuffer
  /// The longest body of an answer. A longer one is refused, by its head where that gives the length.
  public var answerBytesMax: Int

  public init(
    _ method: HTTPMethod = .GET, _ target: String, headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer(),
    answerBytesMax: Int = 64 << 20
  ) {
    self.method = method
    self.target = target
    self.headers = headers
    self.body = body
    self.answerBytesMax = answerBytesMax
  }
}

/// An answer, whole.
public struct ClientAnswer: Sendable {
  public var status: Int
  public var headers: HTTPHeaders
  public var body: ByteBuffer

  public init(status: Int, headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer()) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

/// Why there is no answer.
public enum ClientFailure: Error, Sendable, CustomStringConvertible {
  /// No connection could be made; nothing was sent.
  case unreachable(any Error)
  case timedOut
  case tooLarge(bytesMax: Int)
  /// The bytes that came are no answer to the request.
  case malformed(String)
  /// The connection failed, or its bytes are no HTTP.
  case broken(any Error)
  /// The connection ended before the answer had.
  case ended
  case cancelled

  public var description: String {
    switch self {
    case .unreachable(let reason): "no connection: \(reason)"
    case .timedOut: "no answer in time"
    case .tooLarge: "the answer is too large"
    case .malformed(let reason): reason
    case .broken(let reason): "\(reason)"
    case .ended: "the connection ended before the answer had"
    case .cancelled: "cancelled"
    }
  }
}
