import Events
import Serving
import Views

/// The reason why a request is refused or failed: the problem that its sender gets, with further members.
struct QueryFailure: Error {
  var problem: HTTPProblem
  /// Further members of the problem's body.
  var extra = JSONObject()

  init(_ status: Int, _ code: String, _ detail: String, headers: [String: String] = [:]) {
    problem = HTTPProblem(status: status, code: code, detail: detail, headers: headers)
  }

  init(_ problem: HTTPProblem) { self.problem = problem }

  /// A query parameter with a wrong value.
  static func parameter(_ name: String, _ detail: String, code: String = "invalid_parameter") -> QueryFailure {
    var failure = QueryFailure(400, code, "\(name): \(detail)")
    failure.extra["parameter"] = .string(name)
    return failure
  }

  static func notFound(_ path: String) -> QueryFailure {
    QueryFailure(404, "not_found", "there is nothing at \(path.prefix(200)); GET /openapi.json lists what there is")
  }

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

  /// The HTTP problem of a log's error. Damage does not go away by itself; all other errors may.
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
