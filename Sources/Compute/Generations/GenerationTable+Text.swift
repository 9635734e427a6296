import Events
import Views

extension GenerationTable {
  /// JSON that `init(text:)` reads back.
  var text: String {
    var hashes = JSONObject()
    for (view, hash) in configured.sorted(by: { $0.key < $1.key }) { hashes[view] = .string(hash) }
    var declarations = JSONObject()
    for (view, declaration) in declared.sorted(by: { $0.key < $1.key }) { declarations[view] = declaration.json }
    var gone = JSONObject()
    for (view, removal) in removed.sorted(by: { $0.key < $1.key }) {
      gone[view] = [
        "at": .int(removal.at.nanoseconds), "purge_at": .int(removal.purgeAt.nanoseconds),
        "records": .array(removal.records.map(\.json)),
      ]
    }
    let document: JSONValue = [
      "records": .array(records.map(\.json)), "configured": .object(hashes), "declared": .object(declarations),
      "removed": .object(gone),
    ]
    return document.text
  }

  /// Nil when the text is no table of this version. Generations whose definitions cannot be read are set aside.
  init?(text: String) {
    guard let json = try? JSONValue(parsing: text.utf8), case .array(let elements)? = json["records"],
      case .object(let hashes)? = json["configured"]
    else { return nil }
    guard let records = read(elements) else { return nil }
    self.records = records
    for member in hashes { if case .string(let hash) = member.value { configured[member.name] = hash } }
    if case .object(let members)? = json["declared"] {
      for member in members { declared[member.name] = ViewDeclaration(json: member.value) }
    }
    guard case .object(let members)? = json["removed"] else { return }
    for member in members {
      guard case .int(let at)? = member.value["at"], case .int(let purgeAt)? = member.value["purge_at"],
        case .array(let elements)? = member.value["records"], let records = read(elements)
      else { return nil }
      removed[member.name] = RemovedView(
        at: Timestamp(nanoseconds: at), purgeAt: Timestamp(nanoseconds: purgeAt), records: records)
    }
  }

  private mutating func read(_ elements: [JSONValue]) -> [GenerationRecord]? {
    var records: [GenerationRecord] = []
    for element in elements {
      switch GenerationRecord.read(element) {
      case .record(let record)?: records.append(record)
      case .setAside(let id, let reason)?: setAside[id] = reason
      case nil: return nil
      }
    }
    return records
  }
}

extension ViewDeclaration {
  var json: JSONValue {
    var members = JSONObject()
    members["hash"] = .string(hash)
    if let waiting { members["waiting"] = .int(Int64(waiting)) }
    return .object(members)
  }

  init?(json: JSONValue?) {
    guard case .string(let hash)? = json?["hash"] else { return nil }
    self.init(hash: hash)
    if case .int(let number)? = json?["waiting"] { waiting = Int(clamping: number) }
  }
}
