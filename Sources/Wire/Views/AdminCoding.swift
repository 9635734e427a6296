import Aggregates
import Events
import Expressions
import Views

// The wire form of views' generations, as JSON. Numbers beyond 53 bits are strings.

extension ReplayBound {
  fileprivate var json: JSONValue {
    switch self {
    case .earliest: .string("earliest")
    case .time(let time): .int(time.nanoseconds)
    case .offsets(let offsets): .string(offsets.description)
    }
  }

  fileprivate init?(json: JSONValue) {
    switch json {
    case .string("earliest"): self = .earliest
    case .int(let time): self = .time(Timestamp(nanoseconds: time))
    case .string(let text):
      guard let offsets = try? OffsetVector(parsing: text) else { return nil }
      self = .offsets(offsets)
    default: return nil
    }
  }
}

extension ReplayRequest {
  var json: JSONValue {
    var members = JSONObject()
    members["view"] = .string(view)
    members["from"] = from.json
    if let to { members["to"] = to.json }
    members["promotes"] = .bool(promotes)
    if let allowedLateness { members["allowed_lateness"] = .int(allowedLateness) }
    return .object(members)
  }

  init?(json: JSONValue) {
    guard case .string(let view)? = json["view"], let from = json["from"].flatMap({ ReplayBound(json: $0) }),
      case .bool(let promotes)? = json["promotes"]
    else { return nil }
    self.init(view: view, from: from, promotes: promotes)
    if let to = json["to"] {
      guard let bound = ReplayBound(json: to) else { return nil }
      self.to = bound
    }
    if case .int(let lateness)? = json["allowed_lateness"] { allowedLateness = lateness }
  }
}

extension ReplayEstimate {
  var json: JSONValue {
    var members = JSONObject()
    members["from"] = .string(from.description)
    members["to"] = .string(to.description)
    members["events"] = .int(Int64(events))
    if let eventsPerSecond { members["events_per_second"] = .double(eventsPerSecond) }
    return .object(members)
  }

  init?(json: JSONValue?) {
    guard let json, case .string(let from)? = json["from"], let from = try? OffsetVector(parsing: from),
      case .string(let to)? = json["to"], let to = try? OffsetVector(parsing: to), case .int(let events)? = json["events"]
    else { return nil }
    self.init(from: from, to: to, events: Int(clamping: events), eventsPerSecond: json["events_per_second"]?.number)
  }
}

extension PromoteRequest {
  /// Without the gate, which the caller of all instances checks.
  var json: JSONValue {
    var members = JSONObject()
    members["view"] = .string(view)
    if let generation { members["generation"] = .int(Int64(generation)) }
    return .object(members)
  }

  init?(json: JSONValue) {
    guard case .string(let view)? = json["view"] else { return nil }
    self.init(view: view)
    if case .int(let generation)? = json["generation"] { self.generation = Int(clamping: generation) }
  }
}

extension PinnedRequest {
  var json: JSONValue {
    [
      "view": .string(view), "first": .int(Int64(first)), "second": .int(Int64(second)),
      "timeout_ms": .int(timeout.nanosecondsHeld / 1_000_000),
    ]
  }

  init?(json: JSONValue) {
    guard case .string(let view)? = json["view"], case .int(let first)? = json["first"], case .int(let second)? = json["second"],
      case .int(let milliseconds)? = json["timeout_ms"], (0...3_600_000).contains(milliseconds)
    else { return nil }
    self.init(
      view: view, first: Int(clamping: first), second: Int(clamping: second), timeout: .milliseconds(milliseconds))
  }
}

extension AppliedView {
  var json: JSONValue {
    ["view": .string(view), "generation": .int(Int64(generation)), "action": .string(action.rawValue)]
  }

  init?(json: JSONValue) {
    guard case .string(let view)? = json["view"], case .int(let generation)? = json["generation"],
      case .string(let text)? = json["action"], let action = Action(rawValue: text)
    else { return nil }
    self.init(view: view, generation: Int(clamping: generation), action: action)
  }
}

extension ViewRemoval {
  var json: JSONValue {
    [
      "view": .string(view), "generations": .array(generations.map { .int(Int64($0)) }),
      "removed_at": .int(removedAt.nanoseconds),
      "purge_at": .int(purgeAt.nanoseconds), "configured": .bool(isConfigured),
    ]
  }

  init?(json: JSONValue?) {
    guard let json, case .string(let view)? = json["view"], case .array(let elements)? = json["generations"],
      case .int(let removedAt)? = json["removed_at"], case .int(let purgeAt)? = json["purge_at"],
      case .bool(let isConfigured)? = json["configured"]
    else { return nil }
    var generations: [Int] = []
    for case .int(let number) in elements { generations.append(Int(clamping: number)) }
    self.init(
      view: view, generations: generations, removedAt: Timestamp(nanoseconds: removedAt),
      purgeAt: Timestamp(nanoseconds: purgeAt),
      isConfigured: isConfigured)
  }
}

extension GenerationStatus {
  var json: JSONValue {
    var members = JSONObject()
    members["definition"] = .string(definition.yaml)
    members["generation"] = .int(Int64(generation))
    members["state"] = .string(state.rawValue)
    members["promotes"] = .bool(promotes)
    if let to { members["to"] = .string(to.description) }
    if let time = times.from { members["from_time"] = .int(time) }
    if let time = times.to { members["to_time"] = .int(time) }
    members["created"] = .int(createdAt.nanoseconds)
    members["partitions"] = .array(partitions.map(\.json))
    if let eventsPerSecond { members["events_per_second"] = .double(eventsPerSecond) }
    if let problem { members["problem"] = .string(problem) }
    return .object(members)
  }

  init?(json: JSONValue?, definition read: (String) -> ViewDefinition?) {
    guard let json, case .string(let text)? = json["definition"], let definition = read(text),
      case .int(let generation)? = json["generation"], case .string(let state)? = json["state"],
      let state = GenerationState(rawValue: state), case .bool(let promotes)? = json["promotes"],
      case .int(let created)? = json["created"], case .array(let elements)? = json["partitions"],
      elements.count <= PartitionID.countMax
    else { return nil }
    self.init(
      definition: definition, generation: Int(clamping: generation), state: state, promotes: promotes,
      createdAt: Timestamp(nanoseconds: created), eventsPerSecond: json["events_per_second"]?.number)
    for element in elements {
      guard let progress = PartitionProgress(json: element) else { return nil }
      partitions.append(progress)
    }
    if case .string(let text)? = json["to"] {
      guard let offsets = try? OffsetVector(parsing: text) else { return nil }
      to = offsets
    }
    if case .int(let time)? = json["from_time"] { times.from = time }
    if case .int(let time)? = json["to_time"] { times.to = time }
    if case .string(let text)? = json["problem"] { problem = text }
  }
}

extension VerifyReport {
  var json: JSONValue {
    var members = JSONObject()
    members["definition"] = .string(definition.yaml)
    members["generation"] = .int(Int64(generation))
    members["partitions"] = .array(
      partitions.map {
        [
          "partition": .int(Int64($0.partition.index)), "offset": .int($0.offset.rawValue), "rows": .int(Int64($0.rows)),
          "kept": $0.kept.json, "replayed": $0.replayed.json,
        ]
      })
    if let difference { members["difference"] = difference.json }
    return .object(members)
  }

  init?(json: JSONValue?, definition read: (String) -> ViewDefinition?) {
    guard let json, case .string(let text)? = json["definition"], let definition = read(text),
      case .int(let generation)? = json["generation"], case .array(let elements)? = json["partitions"],
      elements.count <= PartitionID.countMax
    else { return nil }
    self.init(definition: definition, generation: Int(clamping: generation), partitions: [], difference: nil)
    for element in elements {
      guard case .int(let partition)? = element["partition"], (0..<Int64(PartitionID.countMax)).contains(partition),
        case .int(let offset)? = element["offset"], case .int(let rows)? = element["rows"],
        let kept = StateHash(json: element["kept"]), let replayed = StateHash(json: element["replayed"])
      else { return nil }
      partitions.append(
        Partition(
          partition: PartitionID(Int(partition)), offset: Offset(offset), rows: Int(clamping: rows), kept: kept,
          replayed: replayed))
    }
    if let json = json["difference"] {
      guard let read = Difference(json: json) else { return nil }
      difference = read
    }
  }
}

extension VerifyReport.Difference {
  fileprivate var json: JSONValue {
    var members = JSONObject()
    members["partition"] = .int(Int64(partition.index))
    members["window_start"] = .int(windowStart.nanoseconds)
    members["keys"] = .array(keys.map(\.wireJSON))
    if let kept { members["kept"] = .array(kept.map(\.wireJSON)) }
    if let replayed { members["replayed"] = .array(replayed.map(\.wireJSON)) }
    return .object(members)
  }

  fileprivate init?(json: JSONValue) {
    func values(_ name: String) -> [ResultValue]? {
      guard case .array(let elements)? = json[name] else { return nil }
      let values = elements.compactMap { ResultValue(wireJSON: $0) }
      return values.count == elements.count ? values : nil
    }
    guard case .int(let partition)? = json["partition"], (0..<Int64(PartitionID.countMax)).contains(partition),
      case .int(let start)? = json["window_start"], let keys = values("keys")
    else { return nil }
    self.init(
      partition: PartitionID(Int(partition)), windowStart: Timestamp(nanoseconds: start), keys: keys, kept: values("kept"),
      replayed: values("replayed"))
  }
}

extension StateHash {
  fileprivate var json: JSONValue { .array([.string(String(value, radix: 16)), .int(Int64(rows))]) }

  fileprivate init?(json: JSONValue?) {
    guard case .array(let parts)? = json, parts.count == 2, case .string(let text) = parts[0],
      let value = UInt64(text, radix: 16), case .int(let rows) = parts[1]
    else { return nil }
    self.init(value: value, rows: Int(clamping: rows))
  }
}

extension ResultValue {
  /// The kind is beside the value, and a double is its bits: every value comes back unchanged.
  fileprivate var wireJSON: JSONValue {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .int(let value): .int(value)
    case .uint(let value): .array([.string("u"), .string(String(value))])
    case .double(let value): .array([.string("d"), .string(String(value.bitPattern, radix: 16))])
    case .string(let value): .string(value)
    case .time(let value): .array([.string("t"), .int(value.nanoseconds)])
    }
  }

  fileprivate init?(wireJSON json: JSONValue) {
    switch json {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .string(let value): self = .string(value)
    case .array(let parts):
      switch (parts.first, parts.last) {
      case (.string("d")?, .string(let bits)?):
        guard let bits = UInt64(bits, radix: 16) else { return nil }
        self = .double(Double(bitPattern: bits))
      case (.string("u")?, .string(let digits)?):
        guard let value = UInt64(digits), value > UInt64(Int64.max) else { return nil }
        self = .uint(value)
      case (.string("t")?, .int(let nanoseconds)?): self = .time(Timestamp(nanoseconds: nanoseconds))
      default: return nil
      }
    default: return nil
    }
  }
}

extension JSONValue {
  fileprivate var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    case .null, .bool, .number, .string, .array, .object: nil
    }
  }
}
