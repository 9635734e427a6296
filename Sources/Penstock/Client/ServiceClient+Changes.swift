import Foundation

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

extension ServiceClient {
  /// Sends what changes something, or takes its time, and returns the answer.
  /// - Parameters:
  ///   - path: Segments below the base; each is percent-encoded.
  ///   - timeout: Without a byte of an answer.
  /// - Throws: `CommandFailure` that says what to do.
  func send(
    _ method: String, _ path: [String], query: [(name: String, value: String)] = [], body: Data? = nil,
    contentType: String = "application/json", timeout: Duration = .seconds(60)
  ) async throws -> RawJSON {
    var text = baseURL + path.map { "/" + percentEncoded($0) }.joined()
    if !query.isEmpty {
      text += "?" + query.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" }.joined(separator: "&")
    }
    guard let url = URL(string: text) else { throw CommandFailure("cannot make an address of \(text)") }
    var request = URLRequest(url: url)
    request.httpMethod = method
    request.setValue("application/json", forHTTPHeaderField: "Accept")
    if let body {
      request.httpBody = body
      request.setValue(contentType, forHTTPHeaderField: "Content-Type")
    }
    let configuration = URLSessionConfiguration.ephemeral
    configuration.timeoutIntervalForRequest = Double(timeout.components.seconds)
    // As for every other question: the services are named outright.
    configuration.connectionProxyDictionary = [:]
    let session = URLSession(configuration: configuration)
    defer { session.finishTasksAndInvalidate() }
    let answer: Answer
    do {
      let (bytes, response) = try await session.data(for: request)
      answer = Answer(status: (response as? HTTPURLResponse)?.statusCode ?? 0, body: bytes)
    } catch let error as URLError {
      throw failure(error)
    }
    guard (200..<300).contains(answer.status) else { throw problem(answer) }
    do {
      return try RawJSON(parsing: answer.body)
    } catch {
      throw CommandFailure("\(baseURL) answered with something that is no JSON; is that Penstock's query service? (\(error))")
    }
  }
}

extension RawJSON {
  /// An object's text, for a request's body.
  static func body(_ members: [(name: String, value: RawJSON?)]) -> Data {
    Data(RawJSON.object(members.compactMap { name, value in value.map { Member(name: name, value: $0) } }).text.utf8)
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
