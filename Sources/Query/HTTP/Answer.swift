import Events
import Serving

/// A body that is written a piece at a time, each when the piece before has gone out: nothing piles up for a slow reader.
protocol BodyPieces: Sendable {
  /// The next piece, which may have to be waited for; nil after the last, and soon once the task is cancelled.
  /// - Throws: When the body cannot be completed: the connection is cut, so that no one takes half an answer for a whole one.
  mutating func next() async throws -> [UInt8]?
  /// Gives a way to end the answer at once, from any thread, for one that may have to give way to others.
  func attach(cut: @escaping @Sendable () -> Void)
}

/// A response before it meets a connection.
struct Answer: Sendable {
  enum Body: Sendable {
    case bytes([UInt8])
    /// The first piece, and what gives the rest.
    case pieces(first: [UInt8], any BodyPieces)
  }

  var status: Int
  var contentType: String
  var headers: [(name: String, value: String)] = []
  var body: Body
  /// Of whoever reads the pieces; nil where nobody is asked.
  var access: StandingAccess?

  init(_ status: Int = 200, _ contentType: String = "application/json", _ body: [UInt8]) {
    self.status = status
    self.contentType = contentType
    self.body = .bytes(body)
  }

  init(_ status: Int = 200, _ json: JSONValue) {
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    self.init(status, "application/json", bytes)
  }

  init(_ failure: QueryFailure) {
    self.init(failure.problem.status, HTTPProblem.contentType, failure.problem.body(extra: failure.extra))
    headers = failure.problem.headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
}
