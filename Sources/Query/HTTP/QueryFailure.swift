import Events
import Serving
import Views

/// Why a request is refused or failed: the problem its sender gets, with members of its own.
struct QueryFailure: Error {
  var problem: HTTPProblem
  /// Members of the problem's body besides its own.
  var extra = JSONObject()

  init(_ status: Int, _ code: String, _ detail: String, headers: [String: String] = [:]) {
    problem = HTTPProblem(status: status, code: code, detail: detail, headers: headers)
  }

  init(_ problem: HTTPProblem) { self.problem = problem }

  /// A query parameter that cannot be what it is.
  static func parameter(_ name: String, _ detail: String, code: String = "invalid_parameter") -> QueryFailure {
    var failure = QueryFailure(400, code, "\(name): \(detail)")
    failure.extra["parameter"] = .string(name)
    return failure
  }

  static func notFound(_ path: String) -> QueryFailure {
    QueryFailure(404, "not_found", "there is nothing at \(path.prefix(200)); GET /openapi.json lists what there is")
  }

  /// What a store's error is over HTTP.
  init(_ error: ViewStoreError) {
    switch error {
    case .unknownView: self.init(404, "unknown_view", error.description)
    case .unknownGeneration: self.init(404, "unknown_generation", error.description)
    case .timeout(let reached):
      self.init(504, "timeout", error.description)
      extra["reached"] = reached.json
    case .missingPartitions(let partitions):
      self.init(503, "missing_partitions", error.description, headers: ["Retry-After": "1"])
      extra["partitions"] = .array(partitions.map { .int(Int64($0.rawValue)) })
    case .asOfUnreachable(let logStarts, let detail):
      self.init(410, "as_of_unreachable", detail)
      extra["log_starts"] = logStarts.json
    case .refused(let code, let detail): self.init(409, code, detail)
    case .unusable(let code, let detail): self.init(503, code, detail, headers: ["Retry-After": "1"])
    case .unavailable: self.init(503, "unavailable", error.description, headers: ["Retry-After": "1"])
    case .failed: self.init(500, "failed", error.description)
    }
  }

  /// What a log's error is over HTTP. Damage does not go away by itself; all else may.
  init(_ error: LogError) {
    switch error.code {
    case .corrupt, .incompatible, .io: self.init(500, "log_\(error.code.rawValue)", error.description)
    case .poisoned, .locked, .outOfRange, .unknownPartition, .unavailable, .diskFull, .anotherLog:
      self.init(503, "log_\(error.code.rawValue)", error.description, headers: ["Retry-After": "1"])
    }
    if let partition = error.partition { extra["partition"] = .int(Int64(partition.rawValue)) }
  }
}

extension OffsetVector {
  /// `{"0":118}`
  var json: JSONValue {
    var members = JSONObject()
    for (partition, offset) in sorted { members[partition.description] = .int(offset.rawValue) }
    return .object(members)
  }
}
