/// An instance of a service whose checks pass, and the address of its sidecar.
package struct MeshInstance: Sendable, Hashable {
  /// The id of the service's instance, not of its sidecar.
  package var id: String
  package var host: String
  package var port: Int
  package var metadata: [String: String]
  package var datacenter: String

  package var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

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
package struct MeshInstanceList: Sendable, Hashable {
  package var version: UInt64 = 0
  /// In the order of ids.
  package var instances: [MeshInstance] = []
}
