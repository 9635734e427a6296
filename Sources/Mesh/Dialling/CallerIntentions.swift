import Logging

/// Watches who may call a service of ours, and tells when somebody may no longer.
///
/// A sidecar asks about intentions when a connection begins, not later, and does not say who called: a service that hears of a
/// withdrawal ends all its connections, and whoever is still allowed comes again through the sidecar.
public final class CallerIntentions: Sendable {
  private let service: MeshService
  private let client: ConsulClient
  private let logger: Logger

  /// - Parameters:
  ///   - service: Who is called. The client's token has to permit `service:read` on it.
  ///   - client: The local agent.
  ///   - logger: Told of withdrawals.
  public init(of service: MeshService, client: ConsulClient, logger: Logger) {
    self.service = service
    self.client = client
    self.logger = logger
  }

  /// Calls `withdrawn` whenever a rule that allowed a caller is gone or denies, or a new one denies, until the task is cancelled. While the
  /// servers can't be asked, nothing is said; what was withdrawn meanwhile is told afterwards.
  public func run(_ withdrawn: @Sendable () async -> Void) async {
    var before: (allowed: Set<Intention>, denied: Set<Intention>)?
    await client.watch("/v1/connect/intentions", mayMiss: true) { response, request throws(ConsulError) in
      let all = response.status == 404 ? [] : try self.client.decode([Intention]?.self, response, of: request) ?? []
      let ours = all.filter { $0.DestinationName == self.service.rawValue || $0.DestinationName == "*" }
      let now = (allowed: Set(ours.filter { !$0.isDenying }), denied: Set(ours.filter(\.isDenying)))
      defer { before = now }
      guard let before, !before.allowed.isSubset(of: now.allowed) || !now.denied.isSubset(of: before.denied) else { return }
      self.logger.notice("an intention to \(self.service.rawValue) was withdrawn: its connections are ended")
      await withdrawn()
    }
  }
}

/// One entry of `GET /v1/connect/intentions`.
private struct Intention: Decodable, Hashable {
  var SourceName: String
  var DestinationName: String
  /// None where permissions of requests stand in its place (Consul 1.9).
  var Action: String?

  var isDenying: Bool { Action == "deny" }
}
