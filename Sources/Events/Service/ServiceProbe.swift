/// What every service's operational endpoints answer with.
public struct ServiceProbe: Sendable {
  public struct Readiness: Sendable, Hashable {
    /// Each dependency asked, and what is wrong with it; nil where all is well.
    public var checks: [(name: String, problem: String?)]
    /// Those asked that the service answers without, for a while at least: what is wrong with them is told, and keeps nobody away.
    public var dispensable: [(name: String, problem: String?)]

    public init(_ checks: [(name: String, problem: String?)], dispensable: [(name: String, problem: String?)] = []) {
      self.checks = checks
      self.dispensable = dispensable
    }

    public var isReady: Bool { checks.allSatisfy { $0.problem == nil } }

    /// `{"status":"ready","checks":{"log":"ok"}}`
    public var json: JSONValue {
      var members = JSONObject()
      for (name, problem) in checks + dispensable { members[name] = .string(problem ?? "ok") }
      return ["status": .string(isReady ? "ready" : "not ready"), "checks": .object(members)]
    }

    public static func == (a: Self, b: Self) -> Bool { a.json == b.json }
    public func hash(into hasher: inout Hasher) { hasher.combine(json) }
  }

  /// `/readyz`: asks the dependencies.
  public var readiness: @Sendable () async -> Readiness
  /// `/metrics`: Prometheus text.
  public var metrics: @Sendable () -> String

  /// Every instance of every service; none where all run in one process.
  public var instances: @Sendable () async -> ServiceInstances

  public init(
    readiness: @escaping @Sendable () async -> Readiness, metrics: @escaping @Sendable () -> String,
    instances: @escaping @Sendable () async -> ServiceInstances = { ServiceInstances() }
  ) {
    self.readiness = readiness
    self.metrics = metrics
    self.instances = instances
  }
}

/// Every instance of every service, as the mesh has it.
public struct ServiceInstances: Sendable, Hashable {
  /// In the order of service and id.
  public var instances: [ServiceInstance]
  /// Why they are not as of now, or lack something; nil when all is told.
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
  /// Where the mesh reaches it: its sidecar's, as `127.0.0.1:21003`; its own where it has none.
  public var address: String
  /// `passing`, `warning` or `critical`: the worst of its checks, its sidecar's and its machine's.
  public var health: String
  /// Those it owns; empty for services that own none.
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

/// An RFC 9457 problem: what every error answer over HTTP is.
public struct HTTPProblem: Error, Sendable, Hashable {
  public var status: Int
  /// Stable, for programs.
  public var code: String
  /// For people: what, where, and what to do.
  public var detail: String
  public var headers: [String: String]

  public init(status: Int, code: String, detail: String, headers: [String: String] = [:]) {
    self.status = status
    self.code = code
    self.detail = detail
    self.headers = headers
  }

  public static let contentType = "application/problem+json"

  /// The body, with `extra` members after the problem's own.
  public func body(extra: JSONObject = JSONObject()) -> [UInt8] {
    var members = JSONObject()
    members["type"] = .string("about:blank")
    members["title"] = .string(code.split(separator: "_").joined(separator: " "))
    members["status"] = .int(Int64(status))
    members["code"] = .string(code)
    members["detail"] = .string(detail)
    for member in extra { members[member.name] = member.value }
    var bytes: [UInt8] = []
    JSONValue.object(members).write(to: &bytes)
    return bytes
  }
}
