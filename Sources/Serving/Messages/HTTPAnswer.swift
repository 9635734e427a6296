import Events
import NIOCore

/// A body that is written piece by piece, each when the previous one has been sent: nothing piles up for a slow reader.
public protocol BodyPieces: Sendable {
  /// The next piece; may wait. Nil after the last, and soon after the task is cancelled.
  /// - Throws: When the body cannot be completed: the connection is cut, so that half an answer is not taken for a whole one.
  mutating func next() async throws -> [UInt8]?
  /// Passes a closure that ends the answer at once, from any thread, for an answer that may have to make room for others.
  func attach(cut: @escaping @Sendable () -> Void)
}

/// An answer without its connection, which adds the headers that every answer has: the request's id, the date, the body's length.
public struct HTTPAnswer: Sendable {
  public enum Body: Sendable {
    case bytes(ByteBuffer)
    /// A problem's own members, and others after them; the request's id is added.
    case problem(HTTPProblem, extra: JSONObject)
    /// The first piece, and the source of the others.
    case pieces(first: [UInt8], any BodyPieces)
  }

  public var status: Int
  public var contentType: String
  public var headers: [(name: String, value: String)] = []
  public var body: Body
  /// A stream's last bytes for a reader that may read no longer; nil where the answer is cut, so that half of it cannot pass for
  /// the whole.
  public var farewell: (@Sendable (HTTPProblem) -> [UInt8])?

  public init(_ status: Int = 200, _ contentType: String, _ body: ByteBuffer) {
    self.status = status
    self.contentType = contentType
    self.body = .bytes(body)
  }

  public init(_ status: Int = 200, _ contentType: String, _ body: [UInt8]) {
    self.init(status, contentType, ByteBuffer(bytes: body))
  }

  public init(_ status: Int = 200, _ json: JSONValue) {
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    self.init(status, "application/json", bytes)
  }

  public init(_ problem: HTTPProblem, extra: JSONObject = JSONObject()) {
    status = problem.status
    contentType = HTTPProblem.contentType
    body = .problem(problem, extra: extra)
    headers = problem.headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// The bytes of a body that is all there; nil of one that comes in pieces.
  public func bytes(for id: RequestID) -> ByteBuffer? {
    switch body {
    case .bytes(let bytes): return bytes
    case .problem(let problem, var extra):
      extra["request_id"] = .string(id.description)
      return ByteBuffer(bytes: problem.body(extra: extra))
    case .pieces: return nil
    }
  }
}
