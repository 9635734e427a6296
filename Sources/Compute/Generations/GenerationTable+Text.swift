import Events
import Views

extension GenerationTable {
  /// JSON that `init(text:)` reads back: what instances share.
  var text: String {
    var hashes = JSONObject()
    for (view, hash) in configured.sorted(by: { $0.key < $1.key }) { hashes[view] = .string(hash) }
    let document: JSONValue = [
      "records": .array(records.map(\.json)),
      "configured": .object(hashes),
    ]
    return document.text
  }

  /// Nil when the text is no table of this version.
  init?(text: String) {
    guard let json = try? JSONValue(parsing: text.utf8), case .array(let elements)? = json["records"],
      case .object(let members)? = json["configured"]
    else { return nil }
    var records: [GenerationRecord] = []
    for element in elements {
      guard let record = GenerationRecord(json: element) else { return nil }
      records.append(record)
    }
    var configured: [String: String] = [:]
    for member in members { if case .string(let hash) = member.value { configured[member.name] = hash } }
    self.init(records: records, configured: configured)
  }
}

extension GenerationRecord {
  fileprivate var json: JSONValue {
    var members = JSONObject()
    members["definition"] = .string(definition.yaml)
    members["number"] = .int(Int64(number))
    members["state"] = .string(state.rawValue)
    members["promotes"] = .bool(promotes)
    members["from"] = .string(from.description)
    if let to { members["to"] = .string(to.description) }
    members["created"] = .int(createdAt.nanoseconds)
    if !settled.isEmpty { members["settled"] = .array(settled.sorted().map { .int(Int64($0.index)) }) }
    return .object(members)
  }

  fileprivate init?(json: JSONValue) {
    func offsets(_ name: String) -> OffsetVector? {
      if case .string(let text)? = json[name] { try? OffsetVector(parsing: text) } else { nil }
    }
    guard case .string(let yaml)? = json["definition"], let definition = try? ViewCatalog(yaml: yaml, file: "shared").views.first,
      case .int(let number)? = json["number"], let number = Int(exactly: number), number > 0,
      case .string(let state)? = json["state"], let state = GenerationState(rawValue: state),
      case .bool(let promotes)? = json["promotes"], let from = offsets("from"), case .int(let created)? = json["created"]
    else { return nil }
    let to = offsets("to")
    guard to != nil || json["to"] == nil else { return nil }
    var settled: Set<PartitionID> = []
    if case .array(let partitions)? = json["settled"] {
      for case .int(let partition) in partitions where (0..<Int64(PartitionID.countMax)).contains(partition) {
        settled.insert(PartitionID(Int(partition)))
      }
    }
    self.init(
      definition: definition, number: number, state: state, promotes: promotes, from: from, to: to,
      createdAt: Timestamp(nanoseconds: created), settled: settled)
  }
}
