import Events
import HTTPTypes

/// A response before it meets a connection.
struct Answer: Sendable {
  enum Body: Sendable {
    case bytes([UInt8])
    /// What the writer has written so far, and the writer for the rest.
    case rows(first: [UInt8], PageWriter)
  }

  var status: Int
  var contentType: String
  var headers: [(name: HTTPField.Name, value: String)] = []
  var body: Body

  init(_ status: Int = 200, _ contentType: String = "application/json", _ body: [UInt8]) {
    self.status = status
    self.contentType = contentType
    self.body = .bytes(body)
  }

  init(_ failure: QueryFailure) {
    self.init(failure.problem.status, HTTPProblem.contentType, failure.problem.body(extra: failure.extra))
    for (name, value) in failure.problem.headers.sorted(by: { $0.key < $1.key }) {
      guard let name = HTTPField.Name(name) else { continue }
      headers.append((name, value))
    }
  }
}

extension HTTPField.Name {
  // Both are valid field names.
  static let penstockAsOf = HTTPField.Name("Penstock-As-Of")!
  static let penstockNextCursor = HTTPField.Name("Penstock-Next-Cursor")!
}
