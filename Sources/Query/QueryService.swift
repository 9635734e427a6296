import Events
import Logging
import NIOCore
import NIOHTTP1
import Serving
import Synchronization
import Views

/// The analysts' HTTP API: results of views from a store, raw events from a log.
public final class QueryService: Sendable {
  /// Why the service could not start.
  public enum StartError: Error, CustomStringConvertible {
    case alreadyStarted

    public var description: String {
      switch self {
      case .alreadyStarted: "query: started twice"
      }
    }
  }

  /// Of an answer that its reader has not taken: what is beyond stays here, where it is counted and watched.
  private static let unsentBytesMax = 256 << 10

  private let configuration: QueryConfiguration
  private let answers: QueryAnswers
  private let listener: HTTPListener
  private let secure: (@Sendable (any Channel) throws -> Void)?
  private let logger: Logger
  private let isStarted = Atomic<Bool>(false)

  /// - Parameters:
  ///   - configuration: Within its bounds.
  ///   - store: Who answers for views.
  ///   - admin: What changes views; nil where this service cannot.
  ///   - log: Whose raw events are read.
  ///   - probe: What `/readyz`, `/health` and `/metrics` answer.
  ///   - late: Who keeps late events; nil where nobody does.
  ///   - adHoc: Who computes aggregations once; nil where nobody does.
  ///   - reports: What ingest has counted and rejected; nil where no ingest is known.
  ///   - instances: Every instance of every service; none where all run in one process.
  ///   - gate: Tells who asks.
  ///   - secure: Puts TLS first in a new connection's pipeline; nil for plain text.
  ///   - group: Whose loops serve the connections; not shut down here.
  ///   - logger: Told of what fails, and of what an administrator does.
  public init(
    configuration: QueryConfiguration, store: any ViewStore, admin: (any ViewAdmin)? = nil, log: any EventLog,
    probe: ServiceProbe, late: (any LateEventStore)? = nil, adHoc: (any AdHocStore)? = nil,
    reports: (any IngestReports)? = nil,
    instances: @escaping @Sendable () async -> ServiceInstances = { ServiceInstances() }, gate: AccessGate = .open,
    secure: (@Sendable (any Channel) throws -> Void)? = nil, group: any EventLoopGroup, logger: Logger
  ) {
    self.configuration = configuration
    self.logger = logger
    let answers = QueryAnswers(
      configuration: configuration, store: store, admin: admin, log: log, probe: probe, logger: logger, late: late, adHoc: adHoc,
      reports: reports, instances: instances, gate: gate)
    self.answers = answers
    self.secure = secure
    listener = HTTPListener(group: group, limits: configuration.serving)
  }

  /// Listens.
  /// - Returns: The address listened on.
  /// - Throws: What binding throws, such as an address in use.
  public func start() async throws -> (host: String, port: Int) {
    guard !isStarted.exchange(true, ordering: .acquiringAndReleasing) else { throw StartError.alreadyStarted }
    do {
      let responder = DatedResponder(answers: answers)
      let (configuration, secure) = (configuration, secure)
      let rules = HostRules(
        service: "query", listen: configuration.host, hosts: configuration.hosts, origins: configuration.origins)
      let address = try await listener.start(
        host: configuration.host, port: configuration.port,
        options: {
          $0.childChannelOption(.maxMessagesPerRead, value: 1).withUnsentBytesInSystem(max: QueryService.unsentBytesMax)
        },
        initialise: { channel, place in
          try secure?(channel)
          try QueryService.initialise(channel, HTTPConnectionGuard(configuration.serving, rules, place), responder)
        })
      return (address?.ipAddress ?? configuration.host, address?.port ?? configuration.port)
    } catch {
      isStarted.store(false, ordering: .releasing)
      throw error
    }
  }

  private static func initialise(
    _ channel: any Channel, _ connectionGuard: HTTPConnectionGuard, _ responder: some QueryResponder
  ) throws {
    var limits = NIOHTTPDecoderLimitConfiguration()
    limits.maxHeaderFieldSize = QueryConfiguration.headerBytesMax
    limits.maxHeaderListSize = QueryConfiguration.headersBytesMax
    limits.maxHeaderFieldCount = QueryConfiguration.headersMax
    let operations = channel.pipeline.syncOperations
    try operations.configureHTTPServerPipeline(withEncoderConfiguration: .init(), withDecoderLimitConfiguration: limits)
    try operations.addHandlers([connectionGuard, QueryConnection(responder)])
  }

  /// Ends the connections that processes of this machine have open, among them the sidecar's, and goes on accepting: whoever may still
  /// call comes again. Answers that take longer than some tenths of a second are cut, streams too.
  public func renewLocalConnections() async {
    await listener.renewConnections(grace: .milliseconds(300)) { $0.isFromThisMachine }
  }

  /// Stops accepting, finishes the requests that are under way, closes the connections.
  /// - Parameter timeout: After which connections are cut.
  public func shutDown(timeout: Duration = .seconds(10)) async {
    guard isStarted.exchange(false, ordering: .acquiringAndReleasing) else { return }
    answers.drain()
    let cut = await listener.shutDown(timeout: timeout)
    if cut > 0 { logger.warning("query: requests still ran after \(timeout); cut \(cut) connections") }
  }
}

/// Answers with what every answer has, besides its own: the request's id, the date, the body's length.
private final class DatedResponder: QueryResponder {
  private let answers: QueryAnswers
  private let threads = AnswerThreads(label: "penstock.query.answer")
  private let date = Mutex(DateText())

  init(answers: QueryAnswers) { self.answers = answers }

  func respond(to request: QueryRequest, _ match: RouteMatch) async -> (Answer, HTTPHeaders) {
    guard match.route.isComputed else {
      let answer = await answers.answer(request, match)
      return (answer, headers(of: answer, to: request))
    }
    var answer = await threads.run { [answers] in await answers.answer(request, match) }
    if case .pieces(let first, let rest) = answer.body {
      answer.body = .pieces(first: first, ComputedPieces(pieces: rest, threads: threads))
    }
    return (answer, headers(of: answer, to: request))
  }

  func respondAtOnce(to request: QueryRequest, _ match: RouteMatch) -> (Answer, HTTPHeaders)? {
    answers.answerAtOnce(request, match).map { ($0, headers(of: $0, to: request)) }
  }

  private func headers(of answer: Answer, to request: QueryRequest) -> HTTPHeaders {
    var headers = HTTPHeaders()
    headers.reserveCapacity(answer.headers.count + 4)
    headers.add(name: "Content-Type", value: answer.contentType)
    for (name, value) in answer.headers { headers.add(name: name, value: value) }
    headers.add(name: RequestID.header, value: request.id.description)
    headers.add(name: "Date", value: date.withLock { $0.text(at: Timestamp.systemNow()) })
    if case .bytes(let bytes) = answer.body { headers.add(name: "Content-Length", value: String(bytes.count)) }
    return headers
  }
}

/// Pieces that are made on threads for computing, wherever they are asked for.
private struct ComputedPieces: BodyPieces {
  var pieces: any BodyPieces
  let threads: AnswerThreads

  func attach(cut: @escaping @Sendable () -> Void) { pieces.attach(cut: cut) }

  mutating func next() async throws -> [UInt8]? {
    let (piece, rest) = try await withTaskExecutorPreference(threads) { [pieces] in
      var rest = pieces
      let piece = try await rest.next()
      return (piece, rest)
    }
    pieces = rest
    return piece
  }
}
