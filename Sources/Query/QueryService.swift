import Events
import Logging
import NIOCore
import Resources
import Serving
import Synchronization
import Views

/// The analysts' HTTP API: results of views from a store, raw events from a log.
public final class QueryService: Sendable {
  /// The reason why the service could not start.
  public enum StartError: Error, CustomStringConvertible {
    case alreadyStarted

    public var description: String {
      switch self {
      case .alreadyStarted: "query: started twice"
      }
    }
  }

  /// The bytes of an answer that the system holds for a reader; further bytes stay here, where they are counted and watched.
  private static let unsentBytesMax = 256 << 10

  private let configuration: QueryConfiguration
  private let answers: QueryAnswers
  private let service: HTTPService<QueryEndpoint>
  private let listener: HTTPListener
  private let secure: (@Sendable (any Channel) throws -> Void)?
  private let logger: Logger
  private let isStarted = Atomic<Bool>(false)

  /// - Parameters:
  ///   - configuration: Values within its bounds.
  ///   - store: The store of views.
  ///   - admin: Changes views; nil where this service cannot.
  ///   - log: The log of the raw events.
  ///   - probe: Answers `/readyz`, `/health` and `/metrics`.
  ///   - late: The store of late events; nil where there is none.
  ///   - adHoc: Computes one-off aggregations; nil where this service cannot.
  ///   - sources: Knows the sources; nil where no one does.
  ///   - reports: The counts and rejects of ingest; nil where no ingest is known.
  ///   - instances: Every instance of every service; none where all run in one process.
  ///   - gate: Decides who may ask.
  ///   - secure: Puts TLS first in a new connection's pipeline; nil for plain text.
  ///   - group: The group whose loops serve the connections; not shut down here.
  ///   - logger: Logs failures, and the actions of administrators.
  public init(
    configuration: QueryConfiguration, store: any ViewStore, admin: (any ViewAdmin)? = nil, log: any EventLog,
    probe: ServiceProbe, late: (any LateEventStore)? = nil, adHoc: (any AdHocStore)? = nil,
    sources: (any SourceStore)? = nil, reports: (any IngestReports)? = nil,
    instances: @escaping @Sendable () async -> ServiceInstances = { ServiceInstances() }, gate: AccessGate = .open,
    secure: (@Sendable (any Channel) throws -> Void)? = nil, group: any EventLoopGroup, logger: Logger
  ) {
    self.configuration = configuration
    self.logger = logger
    let answers = QueryAnswers(
      configuration: configuration, store: store, admin: admin, log: log, probe: probe, logger: logger, late: late, adHoc: adHoc,
      sources: sources, reports: reports, instances: instances)
    self.answers = answers
    self.secure = secure
    service = QueryService.http(configuration, gate, probe)
    listener = HTTPListener("query", group: group, limits: configuration.serving)
  }

  /// Listens.
  /// - Returns: The address listened on.
  /// - Throws: The error of binding, such as an address in use.
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

  /// The service's routes and answers, for all connections.
  static func http(_ configuration: QueryConfiguration, _ gate: AccessGate, _ probe: ServiceProbe) -> HTTPService<QueryEndpoint> {
    HTTPService(
      name: "query", routes: QueryEndpoint.routes, limits: configuration.serving,
      rules: HostRules(
        service: "query", listen: configuration.host, hosts: configuration.hosts, origins: configuration.origins),
      gate: gate, probe: probe, description: EmbeddedFile.queryOpenAPI.bytes, tooLargeCode: "body_too_large")
  }

  /// Ends the open connections of processes of this machine, the sidecar's included, and goes on accepting: callers
  /// that are still allowed connect again. Answers that take longer than some tenths of a second are cut, streams too.
  public func renewLocalConnections() async {
    await listener.renewConnections(grace: .milliseconds(300)) { $0.isFromThisMachine }
  }

  /// Stops accepting, finishes the requests that are under way, closes the connections.
  /// - Parameter timeout: The time after which connections are cut.
  public func shutDown(timeout: Duration = .seconds(10)) async {
    guard isStarted.exchange(false, ordering: .acquiringAndReleasing) else { return }
    service.drain()
    answers.drain()
    let cut = await listener.shutDown(timeout: timeout)
    if cut > 0 { logger.warning("query: requests still ran after \(timeout); cut \(cut) connections") }
  }
}
