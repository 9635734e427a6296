/// Every instance of every service, and which partitions each holds.
public struct MeshOverview: Sendable, Hashable {
  public struct Instance: Sendable, Hashable {
    public var service: MeshService
    public var id: String
    /// The sidecar's address; the instance's own where it has no sidecar.
    public var address: String
    /// `passing`, `warning` or `critical`: the worst of its checks, its sidecar's and its node's.
    public var health: String
    /// The partitions that it has leased, in order.
    public var partitions: [Int] = []
  }

  /// In the order of service and id.
  public var instances: [Instance] = []
  /// The reason why something is missing here: the token does not permit to read the leases.
  public var problem: String?

  init() {}

  /// Adds the catalogue's entries of a service.
  /// - Parameters:
  ///   - own: The service's entries: all instances, whatever their health.
  ///   - sidecars: Its sidecars' entries.
  mutating func add(_ service: MeshService, own: [ConnectHealthEntry], sidecars: [ConnectHealthEntry]) {
    let sidecars = Dictionary(sidecars.map { (MeshInstance($0).id, $0) }) { $1 }
    for entry in own {
      let id = entry.Service.ID
      let sidecar = sidecars[id]
      instances.append(
        Instance(
          service: service, id: id, address: MeshInstance(sidecar ?? entry).address,
          health: MeshOverview.worst((entry.Checks ?? []) + (sidecar?.Checks ?? []))))
    }
    instances.sort { ($0.service.rawValue, $0.id) < ($1.service.rawValue, $1.id) }
  }

  /// Adds the partitions' owners. A lease of an instance that is not in the catalogue is not shown.
  mutating func add(_ owners: [Int: String]) {
    for (partition, owner) in owners.sorted(by: { $0.key < $1.key }) {
      guard let index = instances.firstIndex(where: { $0.service == .compute && $0.id == owner }) else { continue }
      instances[index].partitions.append(partition)
    }
  }

  private static func worst(_ checks: [ConnectHealthEntry.Check]) -> String {
    let order = ["passing", "warning"]
    return checks.map(\.Status).max { (order.firstIndex(of: $0) ?? 2) < (order.firstIndex(of: $1) ?? 2) } ?? "passing"
  }
}

extension ConsulClient {
  /// The overview as the agent and the servers have it now.
  /// - Parameter prefix: The prefix of the leases' keys.
  public func overview(leases prefix: String) async throws(ConsulError) -> MeshOverview {
    var overview = MeshOverview()
    for service in MeshService.allCases {
      overview.add(
        service, own: try await entries("/v1/health/service/\(service.rawValue)"),
        sidecars: try await entries("/v1/health/connect/\(service.rawValue)"))
    }
    do throws(ConsulError) {
      let below = "\(prefix)/partitions/"
      var owners: [Int: String] = [:]
      for entry in try await keys(below: below) where entry.Session != nil {
        if let partition = Int(entry.Key.dropFirst(below.count)) { owners[partition] = entry.text }
      }
      overview.add(owners)
    } catch {
      guard error.code == .forbidden else { throw error }
      overview.problem = "who owns which partitions may not be read (key_prefix \"\(prefix)/\" read): \(error)"
    }
    return overview
  }

  private func entries(_ path: String) async throws(ConsulError) -> [ConnectHealthEntry] {
    let request = ConsulRequest(path: path, timeout: .seconds(2))
    return try decode([ConnectHealthEntry].self, try await send(request), of: request)
  }
}
