import Events

/// Every instance of every service, as the mesh sees it.
public struct ServiceInstances: Sendable, Hashable {
  /// In the order of service and id.
  public var instances: [ServiceInstance]
  /// The reason why they are old or incomplete; nil when they are not.
  public var problem: String?

  public init(_ instances: [ServiceInstance] = [], problem: String? = nil) {
    self.instances = instances
    self.problem = problem
  }

  /// `{"instances":[…],"problem":null}`
  public var json: JSONValue {
    ["instances": .array(instances.map(\.json)), "problem": problem.map { .string($0) } ?? .null]
  }
}

/// One process of a service, as the mesh sees it.
public struct ServiceInstance: Sendable, Hashable {
  /// `penstock-compute`
  public var service: String
  public var id: String
  /// The address at which the mesh reaches it: its sidecar's, as `127.0.0.1:21003`; its own where it has no sidecar.
  public var address: String
  /// `passing`, `warning` or `critical`: the worst of its checks, its sidecar's and its machine's.
  public var health: String
  /// The partitions that it owns; empty for services that own none.
  public var partitions: [PartitionID]

  public init(service: String, id: String, address: String, health: String, partitions: [PartitionID] = []) {
    self.service = service
    self.id = id
    self.address = address
    self.health = health
    self.partitions = partitions
  }

  public var json: JSONValue {
    [
      "service": .string(service), "id": .string(id), "address": .string(address), "health": .string(health),
      "partitions": .array(partitions.map { .int(Int64($0.index)) }),
    ]
  }
}
