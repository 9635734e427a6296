import NIOHTTP1

/// An agent's description of itself.
public struct ConsulAgentSelf: Sendable, Hashable, Decodable {
  private struct Facts: Sendable, Hashable, Decodable {
    var Datacenter: String
    var NodeName: String
    var Version: String
  }
  private var facts: Facts

  private enum CodingKeys: String, CodingKey { case facts = "Config" }

  public var datacenter: String { facts.Datacenter }
  public var node: String { facts.NodeName }
  public var version: String { facts.Version }
}

extension ConsulClient {
  /// - Throws: `.forbidden` where the token lacks `agent:read`.
  public func agent() async throws(ConsulError) -> ConsulAgentSelf {
    let request = ConsulRequest(path: "/v1/agent/self")
    return try decode(ConsulAgentSelf.self, try await send(request), of: request)
  }

  /// Registers the service with the agent, or changes the one registered under the same id; checks keep the state they have.
  public func register(_ service: ServiceDefinition) async throws(ConsulError) {
    var request = ConsulRequest(method: .PUT, path: "/v1/agent/service/register", query: "replace-existing-checks=true")
    request.body = try encode(service, for: request.place)
    _ = try await send(request)
  }

  /// Removes the instance and its sidecar. Succeeds when they are not there.
  public func deregister(_ id: String) async throws(ConsulError) {
    for id in ["\(id)-sidecar-proxy", id] {
      _ = try await send(ConsulRequest(method: .PUT, path: "/v1/agent/service/deregister/\(id)"), mayMiss: true)
    }
  }

  /// Whether the agent has an instance of that id.
  public func isRegistered(_ id: String) async throws(ConsulError) -> Bool {
    try await send(ConsulRequest(path: "/v1/agent/service/\(id)"), mayMiss: true).status == 200
  }

  /// Tells a TTL check that its subject lives.
  /// - Throws: `.missing` or `.failed` if the agent does not know the check: it was restarted, and the service must register
  ///   again.
  func pass(check: String, timeout: Duration) async throws(ConsulError) {
    _ = try await send(ConsulRequest(method: .PUT, path: "/v1/agent/check/pass/\(check)", timeout: timeout))
  }
}
