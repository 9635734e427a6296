import Logging

/// Keeps an instance registered with the local agent until it is told to leave.
///
/// An agent that was restarted may have forgotten its services: it is asked every few seconds, and told again.
public actor MeshRegistration {
  private let client: ConsulClient
  private let logger: Logger
  private let refresh: Duration
  private let definition: ServiceDefinition
  private var isLeft = false

  public init(_ definition: ServiceDefinition, client: ConsulClient, refresh: Duration = .seconds(2), logger: Logger) {
    self.definition = definition
    self.client = client
    self.refresh = refresh
    self.logger = logger
  }

  public var id: String { definition.id }

  /// Registers, trying again until it is done or the task is cancelled; then watches that it stays so.
  public func run() async {
    var backoff = Backoff(client.configuration)
    while !Task.isCancelled, !isLeft {
      do throws(ConsulError) {
        if try await !client.isRegistered(definition.id), !isLeft {
          try await client.register(definition)
          logger.info("registered \(definition.service.rawValue) as \(definition.id)")
        }
        backoff.reset()
        if await !slept(refresh) { return }
      } catch {
        if error.code == .cancelled { return }
        logger.warning("registering \(definition.id): \(error)")
        if await !backoff.sleep() { return }
      }
    }
  }

  /// Registers now, once.
  public func register() async throws(ConsulError) {
    guard !isLeft else { return }
    try await client.register(definition)
  }

  /// Takes the instance out of the mesh: others stop dialling it within milliseconds.
  public func leave() async {
    isLeft = true
    do throws(ConsulError) {
      try await client.deregister(definition.id)
    } catch {
      logger.warning("deregistering \(definition.id): \(error); its checks will fail, and the agent drop it later")
    }
  }
}
