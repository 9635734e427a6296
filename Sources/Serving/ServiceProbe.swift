import Events

/// The answers of every service's operational endpoints.
public struct ServiceProbe: Sendable {
  public struct Readiness: Sendable, Hashable {
    /// Each dependency asked, and its problem; nil where there is none.
    public var checks: [(name: String, problem: String?)]
    /// Dependencies that the service can answer without, for a while at least: their problems are reported, and keep nobody away.
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
  /// The sum of a metric over all its labels; nil where this process has none of that name.
  public var total: @Sendable (_ metric: String) -> Double?
  public init(
    readiness: @escaping @Sendable () async -> Readiness, metrics: @escaping @Sendable () -> String,
    total: @escaping @Sendable (_ metric: String) -> Double? = { _ in nil }
  ) {
    self.readiness = readiness
    self.metrics = metrics
    self.total = total
  }
}
