import Events
import Logging
import NIOCore
import Resources
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
  private let service: HTTPService<QueryEndpoint>
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
      reports: reports, instances: instances)
    self.answers = answers
    self.secure = secure
    service = QueryService.http(configuration, gate, probe)
    listener = HTTPListener("query", group: group, limits: configuration.serving)
  }

  /// Listens.
  /// - Returns: The address listened on.
  /// - Throws: What binding throws, such as an address in use.
  public func start() async throws -> (host: String, port: Int) {
    guard !isStarted.exchange(true, ordering: .acquiringAndReleasing) else { throw StartError.alreadyStarted }
    do {
      let responder = QueryResponder(answers, logger: logger)
      let address = try await listener.start(
        service, host: configuration.host, port: configuration.port, secure: secure,
        options: {
          $0.childChannelOption(.maxMessagesPerRead, value: 1).withUnsentBytesInSystem(max: QueryService.unsentBytesMax)
        },
        responder: { _ in responder })
      return (address?.ipAddress ?? configuration.host, address?.port ?? configuration.port)
    } catch {
      isStarted.store(false, ordering: .releasing)
      throw error
    }
  }

  /// What it answers, whatever connection asks.
  static func http(_ configuration: QueryConfiguration, _ gate: AccessGate, _ probe: ServiceProbe) -> HTTPService<QueryEndpoint> {
    HTTPService(
      name: "query", routes: QueryEndpoint.routes, limits: configuration.serving,
      rules: HostRules(
        service: "query", listen: configuration.host, hosts: configuration.hosts, origins: configuration.origins),
      gate: gate, probe: probe, description: EmbeddedFile.queryOpenAPI.bytes, tooLargeCode: "body_too_large")
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
    service.drain()
    answers.drain()
    let cut = await listener.shutDown(timeout: timeout)
    if cut > 0 { logger.warning("query: requests still ran after \(timeout); cut \(cut) connections") }
  }
}
