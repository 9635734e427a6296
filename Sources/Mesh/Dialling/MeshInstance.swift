/// An instance of a service whose checks pass, and where its sidecar listens.
public struct MeshInstance: Sendable, Hashable {
  /// The service's, not its sidecar's.
  public var id: String
  public var host: String
  public var port: Int
  public var metadata: [String: String]
  public var datacenter: String

  public var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  init(_ entry: ConnectHealthEntry) {
    id = entry.Service.Proxy?.DestinationServiceID ?? entry.Service.ID
    if id.isEmpty { id = entry.Service.ID }
    host = entry.Service.Address.isEmpty ? entry.Node.Address : entry.Service.Address
    port = entry.Service.Port
    metadata = entry.Service.Meta ?? [:]
    datacenter = entry.Node.Datacenter
  }
}

/// The instances known at one time. `version` differs where the list does.
public struct MeshInstanceList: Sendable, Hashable {
  public var version: UInt64 = 0
  /// In the order of their ids.
  public var instances: [MeshInstance] = []
}
