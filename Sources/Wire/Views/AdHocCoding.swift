import Events
import Serving
import Views

// The wire form of one-off aggregations: the request as JSON, its rows like any rows, or the error.

extension AdHocRequest {
  var json: JSONValue {
    var members = JSONObject()
    members["definition"] = .string(definition.yaml)
    if let from { members["from"] = .int(from.nanoseconds) }
    if let to { members["to"] = .int(to.nanoseconds) }
    members["timeout_ms"] = .int(max(1, timeout.nanosecondsHeld / 1_000_000))
    members["rows_max"] = .int(Int64(rowsMax))
    if let partitions { members["partitions"] = .array(partitions.sorted().map { .int(Int64($0.index)) }) }
    return .object(members)
  }

  /// Nil when the value is no request.
  init?(json: JSONValue?) {
    guard let json, case .string(let text)? = json["definition"], text.utf8.count <= RowsCoding.definitionBytesMax,
      let definition = try? ViewCatalog(yaml: text, file: "wire").views.first,
      case .int(let milliseconds)? = json["timeout_ms"], (1...3_600_000).contains(milliseconds),
      case .int(let rowsMax)? = json["rows_max"], let rowsMax = Int(exactly: rowsMax), rowsMax > 0
    else { return nil }
    func time(_ name: String) -> Timestamp? {
      if case .int(let value)? = json[name] { Timestamp(nanoseconds: value) } else { nil }
    }
    self.init(
      definition: definition, from: time("from"), to: time("to"), timeout: .milliseconds(milliseconds), rowsMax: rowsMax)
    guard let listed = json["partitions"] else { return }
    guard case .array(let numbers) = listed, numbers.count <= PartitionID.countMax else { return nil }
    var partitions: Set<PartitionID> = []
    for number in numbers {
      guard case .int(let number) = number, (0..<Int64(PartitionID.countMax)).contains(number) else { return nil }
      partitions.insert(PartitionID(Int(number)))
    }
    self.partitions = partitions
  }
}

extension AdHocError {
  var json: JSONValue {
    switch self {
    case .timeout: ["code": .string("timeout")]
    case .tooLarge(let rowsMax): ["code": .string("too_large"), "rows_max": .int(Int64(rowsMax))]
    case .log(let error): ["code": .string("log"), "log": error.json]
    case .unavailable(let detail): ["code": .string("unavailable"), "detail": .string(detail)]
    case .cancelled: ["code": .string("cancelled")]
    }
  }

  /// Nil when the value is no such error.
  init?(json: JSONValue?) {
    guard let json, case .string(let code)? = json["code"] else { return nil }
    switch code {
    case "timeout": self = .timeout
    case "too_large":
      guard case .int(let rowsMax)? = json["rows_max"] else { return nil }
      self = .tooLarge(rowsMax: Int(clamping: rowsMax))
    case "log":
      guard let error = LogError(json: json["log"]) else { return nil }
      self = .log(error)
    case "unavailable":
      guard case .string(let detail)? = json["detail"] else { return nil }
      self = .unavailable(detail)
    case "cancelled": self = .cancelled
    default: return nil
    }
  }

  /// The answer with this error.
  var response: WireResponse {
    let (status, code) =
      switch self {
      case .timeout: (504, "timeout")
      case .tooLarge: (422, "aggregate_too_large")
      case .log, .unavailable, .cancelled: (503, "unavailable")
      }
    var extra = JSONObject()
    extra["ad_hoc"] = json
    return WireResponse(HTTPProblem(status: status, code: code, detail: description), extra: extra)
  }
}
