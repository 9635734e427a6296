import Events
import HTTPClient

/// Asks a Penstock service over HTTP; its errors give advice.
struct ServiceClient: Sendable {
  /// A larger answer is refused. The services' pages are far smaller.
  static let answerBytesMax = 256 << 20

  /// Asks, and returns what came, whatever its status.
  typealias Transport = @Sendable (HTTPExchange) async throws(ClientFailure) -> ClientAnswer

  /// As given, without a slash at the end.
  let baseURL: String
  private let base: ServiceURL
  private let transport: Transport

  init(baseURL: String, security: ClientSecurity = ClientSecurity()) throws {
    try self.init(baseURL: baseURL) { exchange throws(ClientFailure) in
      var exchange = exchange
      for (name, value) in security.headers { exchange.request.headers.add(name: name, value: value) }
      return try await exchange.run(secure: security.secure)
    }
  }

  init(baseURL: String, transport: @escaping Transport) throws {
    var trimmed = baseURL[...]
    while trimmed.last == "/" { trimmed.removeLast() }
    guard let base = ServiceURL(String(trimmed), schemes: ["http", "https"]) else {
      throw CommandFailure("--url: expected an address as http://127.0.0.1:8080, not '\(baseURL)'", exitCode: .usage)
    }
    self.baseURL = String(trimmed)
    self.base = base
    self.transport = transport
  }

  /// - Parameters:
  ///   - path: Segments below the base; each is percent-encoded.
  ///   - query: Names and values; percent-encoded.
  /// - Throws: `CommandFailure` with advice.
  func get(_ path: [String], query: [(name: String, value: String)] = []) async throws -> RawJSON {
    let answer = try await answer(to: question(path, query))
    guard answer.status == 200 else { throw problem(answer) }
    return try json(answer)
  }

  /// `GET` of a path below the base.
  func question(_ path: [String], _ query: [(name: String, value: String)]) -> HTTPExchange {
    var url = base
    url.target += path.map { "/" + PercentText.encode($0) }.joined()
    if !query.isEmpty {
      url.target += "?" + query.map { "\(PercentText.encode($0.name))=\(PercentText.encode($0.value))" }.joined(separator: "&")
    }
    var exchange = HTTPExchange(url)
    exchange.request.headers.add(name: "Accept", value: "application/json")
    exchange.request.answerBytesMax = Self.answerBytesMax
    return exchange
  }

  /// The answer, whatever its status.
  func answer(to question: HTTPExchange) async throws -> ClientAnswer {
    do throws(ClientFailure) {
      return try await transport(question)
    } catch {
      throw failure(error)
    }
  }

  func json(_ answer: ClientAnswer) throws -> RawJSON {
    do {
      return try RawJSON(parsing: answer.body.readableBytesView)
    } catch {
      throw CommandFailure("\(baseURL) answered with something that is no JSON; is that Penstock's query service? (\(error))")
    }
  }

  private func failure(_ error: ClientFailure) -> CommandFailure {
    switch error {
    case .unreachable: CommandFailure("no Penstock answers at \(baseURL): start it with `penstock up`, or pass --url")
    case .timedOut: CommandFailure("\(baseURL) did not answer in time: is it overloaded? Its /metrics and log tell")
    case .tooLarge: CommandFailure("\(baseURL) answered with more than \(ByteCount(Self.answerBytesMax)): lower --limit")
    case .malformed, .broken, .ended: CommandFailure("\(baseURL) cannot be asked: \(error)")
    case .cancelled: CommandFailure("\(baseURL) was no longer asked: the command was cancelled")
    }
  }

  /// The failure for an RFC 9457 answer, with its detail and code.
  func problem(_ answer: ClientAnswer) -> CommandFailure {
    guard let problem = try? RawJSON(parsing: answer.body.readableBytesView),
      let detail = (problem["detail"] ?? problem["title"])?.string
    else {
      let text = String(decoding: answer.body.readableBytesView.prefix(200), as: UTF8.self)
      return CommandFailure("\(baseURL) answered with status \(answer.status)" + (text.isEmpty ? "" : ": \(text)"))
    }
    let code = problem["code"]?.string ?? "status \(answer.status)"
    return CommandFailure("\(detail) (\(code))")
  }
}
