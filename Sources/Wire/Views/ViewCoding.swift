import Events
import Serving
import Views

extension ViewReadRequest {
  var json: JSONValue {
    var members = JSONObject()
    members["view"] = .string(view)
    if let generation { members["generation"] = .int(Int64(generation)) }
    if let from { members["from"] = .int(from.nanoseconds) }
    if let to { members["to"] = .int(to.nanoseconds) }
    if let after { members["after"] = .string(after.description) }
    if let asOf { members["as_of"] = .string(asOf.description) }
    members["timeout_ms"] = .int(timeout.nanosecondsHeld / 1_000_000)
    return .object(members)
  }

  /// Nil when the value is no request. `keyFilter(of:)` reads the key filter, since that needs the view.
  init?(json: JSONValue) {
    guard case .string(let view)? = json["view"], case .int(let milliseconds)? = json["timeout_ms"],
      (0...3_600_000).contains(milliseconds)
    else { return nil }
    func number(_ name: String) -> Int64? { if case .int(let value)? = json[name] { value } else { nil } }
    var after: OffsetVector?
    var asOf: OffsetVector?
    if case .string(let text)? = json["after"] {
      guard let vector = try? OffsetVector(parsing: text) else { return nil }
      after = vector
    }
    if case .string(let text)? = json["as_of"] {
      guard let vector = try? OffsetVector(parsing: text) else { return nil }
      asOf = vector
    }
    self.init(
      view: view, generation: number("generation").flatMap { Int(exactly: $0) },
      from: number("from").map { Timestamp(nanoseconds: $0) }, to: number("to").map { Timestamp(nanoseconds: $0) }, after: after,
      timeout: .milliseconds(milliseconds), asOf: asOf)
  }
}

extension ViewStatus {
  var json: JSONValue {
    [
      "definition": .string(definition.yaml), "generation": .int(Int64(generation)),
      "partitions": .array(partitions.map(\.json)),
    ]
  }

  init?(json: JSONValue, definition read: (String) -> ViewDefinition?) {
    guard case .string(let text)? = json["definition"], let definition = read(text),
      case .int(let generation)? = json["generation"],
      case .array(let elements)? = json["partitions"], elements.count <= PartitionID.countMax
    else { return nil }
    var partitions: [PartitionProgress] = []
    for element in elements {
      guard let progress = PartitionProgress(json: element) else { return nil }
      partitions.append(progress)
    }
    self.init(definition: definition, generation: Int(clamping: generation), partitions: partitions)
  }
}

extension PartitionProgress {
  var json: JSONValue {
    var members = JSONObject()
    members["partition"] = .int(Int64(partition.index))
    members["first_offset"] = .int(firstOffset.rawValue)
    members["next_offset"] = .int(nextOffset.rawValue)
    members["high_watermark"] = .int(highWatermark.rawValue)
    if let eventTimeWatermark { members["event_time_watermark"] = .int(eventTimeWatermark.nanoseconds) }
    if let lastAppendTime { members["last_append_time"] = .int(lastAppendTime.nanoseconds) }
    members["applied"] = .int(Int64(applied))
    members["amended"] = .int(Int64(amended))
    members["filtered"] = .int(Int64(filtered))
    members["late"] = .int(Int64(late))
    members["late_listed"] = .int(Int64(lateListed))
    members["where_errors"] = .int(Int64(whereErrors))
    members["argument_errors"] = .int(Int64(argumentErrors))
    return .object(members)
  }

  init?(json: JSONValue) {
    func number(_ name: String) -> Int64? { if case .int(let value)? = json[name] { value } else { nil } }
    guard let partition = number("partition"), (0..<Int64(PartitionID.countMax)).contains(partition),
      let first = number("first_offset"), let next = number("next_offset"), let high = number("high_watermark"),
      let applied = number("applied"), let amended = number("amended"), let filtered = number("filtered"), let late = number("late"),
      let lateListed = number("late_listed"),
      let whereErrors = number("where_errors"), let argumentErrors = number("argument_errors")
    else { return nil }
    self.init(
      partition: PartitionID(Int(partition)), firstOffset: Offset(first), nextOffset: Offset(next), highWatermark: Offset(high),
      eventTimeWatermark: number("event_time_watermark").map { Timestamp(nanoseconds: $0) },
      lastAppendTime: number("last_append_time").map { Timestamp(nanoseconds: $0) }, applied: Int(applied),
      filtered: Int(filtered), late: Int(late), whereErrors: Int(whereErrors), argumentErrors: Int(argumentErrors))
    self.amended = Int(amended)
    self.lateListed = Int(lateListed)
  }
}

extension ViewStoreError {
  var json: JSONValue {
    switch self {
    case .unknownView(let view, let known):
      ["code": .string("unknown_view"), "view": .string(view), "known": .array(known.map { .string($0) })]
    case .unknownGeneration(let generation, let view, let known):
      [
        "code": .string("unknown_generation"), "view": .string(view), "generation": .int(Int64(generation)),
        "known": .array(known.map { .int(Int64($0)) }),
      ]
    case .timeout(let reached): ["code": .string("timeout"), "reached": .string(reached.description)]
    case .missingPartitions(let partitions):
      ["code": .string("missing_partitions"), "partitions": .array(partitions.map { .int(Int64($0.index)) })]
    case .asOfUnreachable(let logStarts, let detail):
      [
        "code": .string("as_of_unreachable"), "log_starts": .string(logStarts.description), "detail": .string(detail),
      ]
    case .refused(let code, let detail): ["code": .string("refused"), "reason": .string(code), "detail": .string(detail)]
    case .unusable(let code, let detail): ["code": .string("unusable"), "reason": .string(code), "detail": .string(detail)]
    case .unavailable(let detail): ["code": .string("unavailable"), "detail": .string(detail)]
    case .failed(let detail): ["code": .string("failed"), "detail": .string(detail)]
    }
  }

  init?(json: JSONValue?) {
    guard let json, case .string(let code)? = json["code"] else { return nil }
    func text(_ name: String) -> String { if case .string(let text)? = json[name] { text } else { "" } }
    func elements(_ name: String) -> [JSONValue] { if case .array(let elements)? = json[name] { elements } else { [] } }
    func numbers(_ name: String) -> [Int] {
      elements(name).compactMap { if case .int(let value) = $0 { Int(exactly: value) } else { nil } }
    }
    switch code {
    case "unknown_view":
      self = .unknownView(
        text("view"), known: elements("known").compactMap { if case .string(let name) = $0 { name } else { nil } })
    case "unknown_generation":
      guard case .int(let generation)? = json["generation"] else { return nil }
      self = .unknownGeneration(Int(clamping: generation), view: text("view"), known: numbers("known"))
    case "timeout":
      guard let reached = try? OffsetVector(parsing: text("reached")) else { return nil }
      self = .timeout(reached: reached)
    case "missing_partitions":
      self = .missingPartitions(numbers("partitions").filter { (0..<PartitionID.countMax).contains($0) }.map { PartitionID($0) })
    case "as_of_unreachable":
      guard let logStarts = try? OffsetVector(parsing: text("log_starts")) else { return nil }
      self = .asOfUnreachable(logStarts: logStarts, detail: text("detail"))
    case "refused": self = .refused(code: text("reason"), detail: text("detail"))
    case "unusable": self = .unusable(code: text("reason"), detail: text("detail"))
    case "unavailable": self = .unavailable(text("detail"))
    case "failed": self = .failed(text("detail"))
    default: return nil
    }
  }

  var response: WireResponse {
    let (status, code) =
      switch self {
      case .unknownView: (404, "unknown_view")
      case .unknownGeneration: (404, "unknown_generation")
      case .timeout: (504, "timeout")
      case .missingPartitions: (503, "missing_partitions")
      case .asOfUnreachable: (410, "as_of_unreachable")
      case .refused(let code, _): (409, code)
      case .unusable(let code, _): (503, code)
      case .unavailable: (503, "unavailable")
      case .failed: (500, "failed")
      }
    var extra = JSONObject()
    extra["store"] = json
    return WireResponse(HTTPProblem(status: status, code: code, detail: description), extra: extra)
  }
}
