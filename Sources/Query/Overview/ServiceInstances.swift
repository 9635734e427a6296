import Events

/// Every instance of every service, as the mesh sees it.
package struct ServiceInstances: Sendable, Hashable {
  /// In the order of service and id.
  package var instances: [ServiceInstance]
  /// The reason why they are old or incomplete; nil when they are not.
  package var problem: String?

  package init(_ instances: [ServiceInstance] = [], problem: String? = nil) {
    self.instances = instances
    self.problem = problem
  }

  /// `{"instances":[…],"problem":null}`
  package var json: JSONValue {
    ["instances": .array(instances.map(\.json)), "problem": problem.map { .string($0) } ?? .null]
  }
}

/// One process of a service, as the mesh sees it.
package struct ServiceInstance: Sendable, Hashable {
  /// `penstock-compute`
  package var service: String
  package var id: String
  /// The address at which the mesh reaches it: its sidecar's, as `127.0.0.1:21003`; its own where it has no sidecar.
  package var address: String
  /// `passing`, `warning` or `critical`: the worst of its checks, its sidecar's and its machine's.
  package var health: String
  /// The partitions that it owns; empty for services that own none.
  package var partitions: [PartitionID]

  package init(service: String, id: String, address: String, health: String, partitions: [PartitionID] = []) {
    self.service = service
    self.id = id
    self.address = address
    self.health = health
    self.partitions = partitions
  }

  package var json: JSONValue {
    [
      "service": .string(service), "id": .string(id), "address": .string(address), "health": .string(health),
      "partitions": .array(partitions.map { .int(Int64($0.index)) }),
    ]
  }
}
