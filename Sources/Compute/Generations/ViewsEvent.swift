import Events
import Views

/// One decision about views, as the record stores it; the table of generations is the fold of these.
enum ViewsEvent: Sendable, Hashable {
  case began(GenerationRecord)
  /// Its state changed: it was promoted, rolled back, dropped, or has caught up.
  case became(GenerationID, GenerationState, promotes: Bool, settled: Set<PartitionID>)
  /// Its definition changed in place: the retention of its rows.
  case redefined(GenerationID, ViewDefinition)
  /// It is no longer listed.
  case forgotten(GenerationID)
  /// The definition of a view in the file of views; nil when the file no longer has it.
  case configured(String, hash: String?)
  /// The definition last asked for; nil when that no longer matters.
  case declared(String, ViewDeclaration?)
  /// A view was ended by hand, to be purged later.
  case removed(String, at: Timestamp, purgeAt: Timestamp)
  /// A removed view is there again.
  case restored(String)
  case purged(String)
  /// A generation whose definition cannot be read: it is set aside.
  case unreadable(GenerationID, reason: String)
}

extension ViewsEvent {
  var json: JSONValue {
    switch self {
    case .began(let record): return ["event": .string("began"), "generation": record.json]
    case .became(let id, let state, let promotes, let settled):
      return [
        "event": .string("became"), "view": .string(id.view), "number": .int(Int64(id.number)), "state": .string(state.rawValue),
        "promotes": .bool(promotes), "settled": GenerationRecord.json(settled),
      ]
    case .redefined(let id, let definition):
      return [
        "event": .string("redefined"), "view": .string(id.view), "number": .int(Int64(id.number)),
        "definition": .string(definition.yaml),
      ]
    case .forgotten(let id): return ["event": .string("forgotten"), "view": .string(id.view), "number": .int(Int64(id.number))]
    case .configured(let view, let hash):
      return ["event": .string("configured"), "view": .string(view), "hash": hash.map { .string($0) } ?? .null]
    case .declared(let view, let declaration):
      return ["event": .string("declared"), "view": .string(view), "declaration": declaration?.json ?? .null]
    case .removed(let view, let at, let purgeAt):
      return [
        "event": .string("removed"), "view": .string(view), "at": .int(at.nanoseconds), "purge_at": .int(purgeAt.nanoseconds),
      ]
    case .restored(let view): return ["event": .string("restored"), "view": .string(view)]
    case .purged(let view): return ["event": .string("purged"), "view": .string(view)]
    case .unreadable: preconditionFailure("what does not read is not written")
    }
  }

  /// Nil when it is no entry of this version.
  init?(json: JSONValue) {
    if json["event"] == .string("began") {
      switch json["generation"].flatMap({ GenerationRecord.read($0) }) {
      case .record(let record)?: self = .began(record)
      case .setAside(let id, let reason)?: self = .unreadable(id, reason: reason)
      case nil: return nil
      }
      return
    }
    guard case .string(let event)? = json["event"], case .string(let view)? = json["view"] else { return nil }
    var id: GenerationID?
    if case .int(let number)? = json["number"], number > 0 { id = GenerationID(view: view, number: Int(clamping: number)) }
    switch (event, id) {
    case ("became", let id?):
      guard case .string(let text)? = json["state"], let state = GenerationState(rawValue: text),
        case .bool(let promotes)? = json["promotes"]
      else { return nil }
      self = .became(id, state, promotes: promotes, settled: GenerationRecord.partitions(json["settled"]))
    case ("redefined", let id?):
      guard case .string(let yaml)? = json["definition"] else { return nil }
      do throws(ViewCatalogError) {
        self = .redefined(id, try ViewDefinition(written: yaml, name: view, file: "record"))
      } catch {
        self = .unreadable(id, reason: error.description)
      }
    case ("forgotten", let id?): self = .forgotten(id)
    case ("configured", _):
      if case .string(let hash)? = json["hash"] {
        self = .configured(view, hash: hash)
      } else {
        self = .configured(view, hash: nil)
      }
    case ("declared", _): self = .declared(view, ViewDeclaration(json: json["declaration"]))
    case ("removed", _):
      guard case .int(let at)? = json["at"], case .int(let purgeAt)? = json["purge_at"] else { return nil }
      self = .removed(view, at: Timestamp(nanoseconds: at), purgeAt: Timestamp(nanoseconds: purgeAt))
    case ("restored", _): self = .restored(view)
    case ("purged", _): self = .purged(view)
    default: return nil
    }
  }
}

/// An entry of the record: all events of one change of the table, which happen together.
struct ViewsEntry: Sendable, Hashable {
  private static let version: Int64 = 1

  /// The time of the decision, for readers only.
  var at: Timestamp
  var events: [ViewsEvent]

  var bytes: [UInt8] {
    let json: JSONValue = [
      "version": .int(ViewsEntry.version), "at": .string(at.description), "events": .array(events.map(\.json)),
    ]
    return Array(json.text.utf8)
  }

  init(at: Timestamp, events: [ViewsEvent]) {
    self.at = at
    self.events = events
  }

  /// Nil when it is no entry of this version.
  init?(parsing bytes: [UInt8]) {
    guard let json = try? JSONValue(parsing: bytes), json["version"] == .int(ViewsEntry.version),
      case .string(let text)? = json["at"], let at = Timestamp(rfc3339: text), case .array(let elements)? = json["events"]
    else { return nil }
    let events = elements.compactMap { ViewsEvent(json: $0) }
    guard events.count == elements.count else { return nil }
    self.init(at: at, events: events)
  }
}
