import HTTPClient

/// An instance of a service whose checks pass, and the address of its sidecar.
public struct MeshInstance: Sendable, Hashable {
  /// The id of the service's instance, not of its sidecar.
  public var id: String
  public var host: String
  public var port: Int
  public var metadata: [String: String]
  public var datacenter: String

  public var address: String { ServiceURL.authority(of: host, port) }

  init(_ entry: ConnectHealthEntry) {
    id = entry.Service.Proxy?.DestinationServiceID ?? entry.Service.ID
    if id.isEmpty { id = entry.Service.ID }
    host = entry.Service.Address.isEmpty ? entry.Node.Address : entry.Service.Address
    port = entry.Service.Port
    metadata = entry.Service.Meta ?? [:]
    datacenter = entry.Node.Datacenter
  }
}

/// The instances known at one time. Two lists that differ have different versions.
public struct MeshInstanceList: Sendable, Hashable {
  public var version: UInt64 = 0
  /// In the order of ids.
  public var instances: [MeshInstance] = []
}
