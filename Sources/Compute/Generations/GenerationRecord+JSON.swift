import Events
import Views

extension GenerationRecord {
  var json: JSONValue {
    var members = JSONObject()
    members["view"] = .string(definition.name)
    members["number"] = .int(Int64(number))
    members["definition"] = .string(definition.yaml)
    members["state"] = .string(state.rawValue)
    members["promotes"] = .bool(promotes)
    members["from"] = .string(from.description)
    if let to { members["to"] = .string(to.description) }
    if let time = times.from { members["from_time"] = .int(time) }
    if let time = times.to { members["to_time"] = .int(time) }
    members["created"] = .int(createdAt.nanoseconds)
    if !settled.isEmpty { members["settled"] = GenerationRecord.json(settled) }
    return .object(members)
  }

  static func json(_ partitions: Set<PartitionID>) -> JSONValue { .array(partitions.sorted().map { .int(Int64($0.index)) }) }

  static func partitions(_ json: JSONValue?) -> Set<PartitionID> {
    var partitions: Set<PartitionID> = []
    guard case .array(let elements)? = json else { return partitions }
    for case .int(let partition) in elements where (0..<Int64(PartitionID.countMax)).contains(partition) {
      partitions.insert(PartitionID(Int(partition)))
    }
    return partitions
  }

  enum Read {
    case record(GenerationRecord)
    /// All is right but the definition, which this program cannot read.
    case setAside(GenerationID, reason: String)
  }

  /// Nil when it is no generation of this version.
  static func read(_ json: JSONValue) -> Read? {
    func offsets(_ name: String) -> OffsetVector? {
      if case .string(let text)? = json[name] { try? OffsetVector(parsing: text) } else { nil }
    }
    func time(_ name: String) -> Int64? { if case .int(let time)? = json[name] { time } else { nil } }
    guard case .string(let view)? = json["view"], case .string(let yaml)? = json["definition"],
      case .int(let number)? = json["number"], let number = Int(exactly: number), number > 0,
      case .string(let state)? = json["state"], let state = GenerationState(rawValue: state),
      case .bool(let promotes)? = json["promotes"], let from = offsets("from"), case .int(let created)? = json["created"]
    else { return nil }
    let to = offsets("to")
    guard to != nil || json["to"] == nil else { return nil }
    let id = GenerationID(view: view, number: number)
    let definition: ViewDefinition
    do throws(ViewCatalogError) {
      definition = try ViewDefinition(written: yaml, name: view, file: "kept")
    } catch {
      return .setAside(id, reason: error.description)
    }
    return .record(
      GenerationRecord(
        definition: definition, number: number, state: state, promotes: promotes, from: from, to: to,
        times: EventTimeBounds(from: time("from_time"), to: time("to_time")), createdAt: Timestamp(nanoseconds: created),
        settled: partitions(json["settled"])))
  }
}
