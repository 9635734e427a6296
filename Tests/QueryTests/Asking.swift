import Events
import Logging
import NIOCore
import NIOHTTP1
import Serving
import Views

@testable import Query

/// Made-up counts and rejects of ingest.
struct FakeReports: IngestReports {
  var report: IngestReport?
  var rejected: Result<[RecentRejects.Entry], LogError> = .success([])

  func ingest() async -> IngestReport? { report }
  func rejects() async throws(LogError) -> [RecentRejects.Entry] { try rejected.get() }
}

/// A query service without sockets, over fakes.
struct Asking: Sendable {
  let store: FakeStore
  let log: FakeLog
  let answers: QueryAnswers
  let service: HTTPService<QueryEndpoint>
  /// The wall clock stands still at the second day of 2020.
  static let now = Timestamp(nanoseconds: 1_577_923_200_000_000_000)

  init(
    store: FakeStore = FakeStore(), log: FakeLog = FakeLog(), configuration: QueryConfiguration = QueryConfiguration(),
    problem: String? = nil, received: ReceivedEvents? = nil, sources: (any SourceStore)? = nil
  ) {
    self.store = store
    self.log = log
    let probe = ServiceProbe(readiness: { ServiceProbe.Readiness([("log", problem)]) }, metrics: { "penstock_up 1\n" })
    service = QueryService.http(configuration, .open, probe)
    answers = QueryAnswers(
      configuration: configuration, store: store, log: log, probe: probe,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, sources: sources,
      reports: received.map { FakeReports(report: IngestReport($0)) },
      now: { Asking.now })
  }

  func raw(
    _ target: String, accept: String? = nil, method: HTTPMethod = .GET, headers: HTTPHeaders = [:], body: String = ""
  ) async -> Reply {
    var headers = headers
    if let accept { headers.replaceOrAdd(name: "Accept", value: accept) }
    let request = HTTPRequest(method, target, headers: headers, body: ByteBuffer(string: body))
    let answer = await self.answer(request)
    var named: [String: String] = [:]
    for (name, value) in answer.headers { named[name] = value }
    var bytes: [UInt8]
    switch answer.body {
    case .bytes, .problem: bytes = answer.bytes(for: request.id).map { Array($0.readableBytesView) } ?? []
    case .pieces(let first, var rest):
      bytes = first
      do { while let piece = try await rest.next() { bytes += piece } } catch { bytes += Array("\(error)".utf8) }
    }
    return Reply(
      status: answer.status, contentType: answer.contentType, headers: named, text: String(decoding: bytes, as: UTF8.self))
  }

  func answer(_ request: HTTPRequest) async -> HTTPAnswer {
    var request = request
    do throws(HTTPProblem) {
      switch try service.admit(&request, service.routes.find(request.path)).target {
      case .operation(let operation): return await service.answer(operation)
      case .endpoint(let endpoint): return await answers.answer(request, endpoint)
      }
    } catch {
      return HTTPAnswer(error)
    }
  }

  /// As a connection has it, where that takes no waiting.
  func atOnce(_ request: HTTPRequest) -> HTTPAnswer? {
    var request = request
    do throws(HTTPProblem) {
      guard case .endpoint(let endpoint) = try service.admit(&request, service.routes.find(request.path)).target else {
        return nil
      }
      return answers.answerAtOnce(request, endpoint)
    } catch {
      return nil
    }
  }

  func post(_ path: String, _ json: JSONValue, accept: String? = nil) async -> Reply {
    await raw(path, accept: accept, method: .POST, headers: ["Content-Type": "application/json"], body: json.text)
  }

  /// - Parameter parameters: Encoded here.
  func get(_ path: String, _ parameters: [(String, String)] = [], accept: String? = nil) async -> Reply {
    await raw(path + (parameters.isEmpty ? "" : "?") + Asking.encode(parameters), accept: accept)
  }

  static func encode(_ parameters: [(String, String)]) -> String {
    parameters.map { name, value in name + "=" + percentEncoded(value) }.joined(separator: "&")
  }

  private static func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF")
    return text.utf8.map { byte in
      let character = Character(UnicodeScalar(byte))
      if character.isASCII, character.isLetter || character.isNumber { return String(character) }
      return "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
    }.joined()
  }
}

struct Reply: Sendable {
  var status: Int
  var contentType: String
  var headers: [String: String]
  var text: String

  var json: JSONValue {
    get throws { try JSONValue(parsing: text) }
  }

  func member(_ name: String) throws -> JSONValue? { try json[name] }

  func string(_ name: String) throws -> String? {
    if case .string(let text)? = try json[name] { text } else { nil }
  }

  func array(_ name: String) throws -> [JSONValue] {
    if case .array(let elements)? = try json[name] { elements } else { [] }
  }
}

extension JSONValue {
  /// Numbers as doubles, so that 1 and 1.0 compare.
  var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  var string: String? {
    if case .string(let text) = self { text } else { nil }
  }
}
