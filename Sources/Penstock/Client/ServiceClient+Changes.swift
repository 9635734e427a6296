extension ServiceClient {
  /// Sends a request that changes something, or takes time, and returns the answer.
  /// - Parameters:
  ///   - path: Segments below the base; each is percent-encoded.
  ///   - timeout: The timeout of the whole exchange.
  /// - Throws: `CommandFailure` with advice.
  func send(
    _ method: String, _ path: [String], query: [(name: String, value: String)] = [], body: String? = nil,
    contentType: String = "application/json", timeout: Duration = .seconds(60)
  ) async throws -> RawJSON {
    var question = question(path, query)
    question.request.method = .init(rawValue: method)
    question.timeout = timeout
    if let body {
      question.request.body = .init(string: body)
      question.request.headers.add(name: "Content-Type", value: contentType)
    }
    let answer = try await answer(to: question)
    guard (200..<300).contains(answer.status) else { throw problem(answer) }
    return try json(answer)
  }
}

extension RawJSON {
  /// The text of an object, for a request's body.
  static func body(_ members: [(name: String, value: RawJSON?)]) -> String {
    RawJSON.object(members.compactMap { name, value in value.map { Member(name: name, value: $0) } }).text
  }

  /// A number as a whole one; nil for anything else.
  var integer: Int? {
    guard case .number(let text) = self else { return nil }
    return Int(text)
  }

  var number: Double? {
    guard case .number(let text) = self else { return nil }
    return Double(text)
  }
}
