#if Secure
  import Logging
  import NIOCore

  /// A service's means to dial others: its certificate, the intentions, and a dialler for each target.
  public final class MeshDiallers: Sendable {
    private let identity: ConnectIdentity
    private let intentions: ConnectIntentions
    private let diallers: [MeshService: ConnectDialler]
    private let logger: Logger

    /// - Parameters:
    ///   - service: The dialling service. Its token has to permit `service:write` on it.
    ///   - targets: The services that it dials.
    ///   - client: The local agent.
    ///   - logger: Logs targets that cannot be dialled.
    public init(
      of service: MeshService, to targets: [MeshService], client: ConsulClient, logger: Logger
    ) {
      identity = ConnectIdentity(of: service, client: client, logger: logger)
      intentions = ConnectIntentions(from: service, client: client, logger: logger)
      let identity = identity
      diallers = Dictionary(
        uniqueKeysWithValues: targets.map {
          ($0, ConnectDialler(to: $0, identity: identity, client: client, logger: logger))
        })
      self.logger = logger
    }

    /// - Precondition: `target` was given at the start.
    public func dialler(to target: MeshService) -> ConnectDialler {
      guard let dialler = diallers[target] else { preconditionFailure("no dialler to \(target.rawValue) was asked for") }
      return dialler
    }

    /// Returns once the agent has given a certificate and roots, or the task is cancelled.
    public func waitUntilReady() async { await identity.waitUntilKnown() }

    /// Whether the agent has given a certificate and roots.
    public var isReady: Bool { identity.current != nil }

    /// Keeps certificate, intentions and instances fresh until the task is cancelled; then closes the open connections.
    public func run() async {
      await withTaskGroup { group in
        group.addTask { await self.identity.run() }
        for dialler in diallers.values { group.addTask { await dialler.run() } }
        group.addTask {
          await self.intentions.run(Array(self.diallers.keys)) { target, isAllowed in
            self.diallers[target]?.set(allowed: isAllowed)
          }
        }
      }
      for dialler in diallers.values { dialler.shutDown() }
    }
  }
#endif
