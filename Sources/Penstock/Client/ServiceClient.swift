import Events
import Foundation
import PenstockClient

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// Asks a Penstock service over HTTP and says, where it fails, what to do.
struct ServiceClient: Sendable {
  /// A larger answer is refused. The services page theirs far below.
  static let answerBytesMax = 256 << 20

  struct Answer: Sendable {
    var status: Int
    var body: Data
  }

  struct Question: Sendable {
    var url: URL
    var method = "GET"
    var body = Data()
    var contentType: String?
    /// Of the whole exchange.
    var timeout = Duration.seconds(60)
  }

  /// Asks, and returns what came, whatever its status; throws what the network throws.
  typealias Transport = @Sendable (Question) async throws -> Answer

  /// As given, without a slash at the end.
  let baseURL: String
  private let transport: Transport

  init(baseURL: String, security: ClientSecurity = ClientSecurity()) throws {
    try self.init(baseURL: baseURL) { question in
      guard let target = ServiceURL(question.url.absoluteString, schemes: ["http", "https"]) else { throw URLError(.badURL) }
      var exchange = HTTPExchange(target)
      exchange.method = question.method
      exchange.headers = [("Accept", "application/json")] + security.headers
      if let type = question.contentType { exchange.headers.append(("Content-Type", type)) }
      exchange.body = Array(question.body)
      exchange.timeout = question.timeout
      exchange.bodyBytesMax = ServiceClient.answerBytesMax
      let answer = try await exchange.run(secure: security.secure)
      return Answer(status: answer.status, body: Data(answer.body))
    }
  }

  init(baseURL: String, transport: @escaping Transport) throws {
    var trimmed = baseURL[...]
    while trimmed.last == "/" { trimmed.removeLast() }
    guard trimmed.hasPrefix("http://") || trimmed.hasPrefix("https://"), let url = URL(string: String(trimmed)),
      url.host?.isEmpty == false
    else {
      throw CommandFailure("--url: expected an address as http://127.0.0.1:8080, not '\(baseURL)'", exitCode: .usage)
    }
    self.baseURL = String(trimmed)
    self.transport = transport
  }

  /// - Parameters:
  ///   - path: Segments below the base; each is percent-encoded.
  ///   - query: Names and values; percent-encoded.
  /// - Throws: `CommandFailure` that says what to do.
  func get(_ path: [String], query: [(name: String, value: String)] = []) async throws -> RawJSON {
    let answer = try await answer(to: Question(url: try url(path, query)))
    guard answer.status == 200 else { throw problem(answer) }
    return try json(answer)
  }

  /// The address of a path below the base.
  func url(_ path: [String], _ query: [(name: String, value: String)]) throws -> URL {
    var text = baseURL + path.map { "/" + PercentText.encode($0) }.joined()
    if !query.isEmpty {
      text += "?" + query.map { "\(PercentText.encode($0.name))=\(PercentText.encode($0.value))" }.joined(separator: "&")
    }
    guard let url = URL(string: text) else { throw CommandFailure("cannot make an address of \(text)") }
    return url
  }

  /// What came, whatever its status.
  func answer(to question: Question) async throws -> Answer {
    let answer: Answer
    do {
      answer = try await transport(question)
    } catch let error as HTTPExchange.Failure {
      throw failure(error)
    } catch let error as URLError {
      throw failure(error)
    }
    guard answer.body.count <= Self.answerBytesMax else {
      throw CommandFailure("\(baseURL) answered with more than \(ByteCount(Self.answerBytesMax)): lower --limit")
    }
    return answer
  }

  func json(_ answer: Answer) throws -> RawJSON {
    do {
      return try RawJSON(parsing: answer.body)
    } catch {
      throw CommandFailure("\(baseURL) answered with something that is no JSON; is that Penstock's query service? (\(error))")
    }
  }

  private func failure(_ error: HTTPExchange.Failure) -> CommandFailure {
    switch error {
    case .unreachable: failure(URLError(.cannotConnectToHost))
    case .timedOut: failure(URLError(.timedOut))
    case .tooLarge: CommandFailure("\(baseURL) answered with more than \(ByteCount(Self.answerBytesMax)): lower --limit")
    case .broken(let reason): CommandFailure("\(baseURL) cannot be asked: \(reason)")
    case .cancelled: CommandFailure("\(baseURL) was no longer asked: the command was cancelled")
    }
  }

  private func failure(_ error: URLError) -> CommandFailure {
    switch error.code {
    case .cannotConnectToHost, .cannotFindHost, .dnsLookupFailed, .networkConnectionLost:
      CommandFailure("no Penstock answers at \(baseURL): start it with `penstock up`, or pass --url")
    case .timedOut:
      CommandFailure("\(baseURL) did not answer in time: is it overloaded? Its /metrics and log tell")
    default:
      CommandFailure("\(baseURL) cannot be asked: \(error.localizedDescription)")
    }
  }

  /// Says what an RFC 9457 answer says, and its code.
  func problem(_ answer: Answer) -> CommandFailure {
    guard let problem = try? RawJSON(parsing: answer.body), let detail = (problem["detail"] ?? problem["title"])?.string
    else {
      let text = String(decoding: answer.body.prefix(200), as: UTF8.self)
      return CommandFailure("\(baseURL) answered with status \(answer.status)" + (text.isEmpty ? "" : ": \(text)"))
    }
    let code = problem["code"]?.string ?? "status \(answer.status)"
    return CommandFailure("\(detail) (\(code))")
  }
}
