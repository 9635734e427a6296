import Events

/// The answers of every service's operational endpoints.
package struct ServiceProbe: Sendable {
  package struct Readiness: Sendable, Hashable {
    /// Each dependency asked, and its problem; nil where there is none.
    package var checks: [(name: String, problem: String?)]
    /// Dependencies that the service can answer without, for a while at least: their problems are reported, and keep nobody away.
    package var dispensable: [(name: String, problem: String?)]

    package init(_ checks: [(name: String, problem: String?)], dispensable: [(name: String, problem: String?)] = []) {
      self.checks = checks
      self.dispensable = dispensable
    }

    package var isReady: Bool { checks.allSatisfy { $0.problem == nil } }

    /// `{"status":"ready","checks":{"log":"ok"}}`
    package var json: JSONValue {
      var members = JSONObject()
      for (name, problem) in checks + dispensable { members[name] = .string(problem ?? "ok") }
      return ["status": .string(isReady ? "ready" : "not ready"), "checks": .object(members)]
    }

    package static func == (a: Self, b: Self) -> Bool { a.json == b.json }
    package func hash(into hasher: inout Hasher) { hasher.combine(json) }
  }

  /// `/readyz`: asks the dependencies.
  package var readiness: @Sendable () async -> Readiness
  /// `/metrics`: Prometheus text.
  package var metrics: @Sendable () -> String
  /// The sum of a metric over all its labels; nil where this process has none of that name.
  package var total: @Sendable (_ metric: String) -> Double?
  package init(
    readiness: @escaping @Sendable () async -> Readiness, metrics: @escaping @Sendable () -> String,
    total: @escaping @Sendable (_ metric: String) -> Double? = { _ in nil }
  ) {
    self.readiness = readiness
    self.metrics = metrics
    self.total = total
  }
}
