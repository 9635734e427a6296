import Events
import Expressions
import Views

extension GenerationStatus {
  /// One element of `GET …/generations` and `…/replays`: a replay's id is its generation's number.
  var json: JSONValue {
    var members = JSONObject()
    members["id"] = .string(String(generation))
    members["view"] = .string(definition.name)
    members["generation"] = .int(Int64(generation))
    members["state"] = .string(state.rawValue)
    members["promote"] = .bool(promotes)
    members["created_at"] = .string(createdAt.description)
    members["from"] =
      OffsetVector(Dictionary(uniqueKeysWithValues: partitions.map { ($0.partition, $0.firstOffset) })).json
    members["to"] = to?.json ?? .null
    if !times.isAll {
      members["from_time"] = times.from.map { .string(Timestamp(nanoseconds: $0).description) } ?? .null
      members["to_time"] = times.to.map { .string(Timestamp(nanoseconds: $0).description) } ?? .null
    }
    members["offsets"] = offsets.json
    members["events_done"] = .int(Int64(eventsDone))
    members["events_total"] = .int(Int64(eventsTotal))
    members["events_per_second"] = eventsPerSecond.map { .double($0.rounded()) } ?? .null
    members["seconds_left"] = secondsLeft.map { .double(($0 * 10).rounded() / 10) } ?? .null
    members["problem"] = problem.map { .string($0) } ?? .null
    members["hash"] = .string(definition.generationHash)
    members["definition"] = definition.settings
    return .object(members)
  }
}

extension ViewRemoval {
  var json: JSONValue {
    [
      "view": .string(view), "generations": .array(generations.map { .int(Int64($0)) }),
      "removed_at": .string(removedAt.description),
      "purge_at": .string(purgeAt.description), "configured": .bool(isConfigured),
    ]
  }
}

extension ReplayEstimate {
  func json(_ view: String) -> JSONValue {
    [
      "view": .string(view), "dry_run": .bool(true), "from": from.json, "to": to.json, "events": .int(Int64(events)),
      "events_per_second": eventsPerSecond.map { .double($0.rounded()) } ?? .null,
      "seconds": seconds.map { .double(($0 * 1000).rounded() / 1000) } ?? .null,
    ]
  }
}

extension VerifyReport {
  var json: JSONValue {
    [
      "view": .string(definition.name), "generation": .int(Int64(generation)), "as_of": asOf.json, "same": .bool(isSame),
      "partitions": .array(
        partitions.map {
          [
            "partition": .int(Int64($0.partition.rawValue)), "offset": .int($0.offset.rawValue), "rows": .int(Int64($0.rows)),
            "kept": .string($0.kept.description), "replayed": .string($0.replayed.description),
            "same": .bool($0.kept == $0.replayed),
          ]
        }),
      "first_difference": difference.map { $0.json(definition) } ?? .null,
    ]
  }
}

extension VerifyReport.Difference {
  fileprivate func json(_ definition: ViewDefinition) -> JSONValue {
    var members = JSONObject()
    members["partition"] = .int(Int64(partition.rawValue))
    members["window_start"] = .string(windowStart.description)
    for (column, value) in zip(definition.schema.keys, keys) { members[column.name] = value.jsonValue }
    func values(_ values: [ResultValue]?) -> JSONValue {
      guard let values else { return .null }
      var members = JSONObject()
      for (column, value) in zip(definition.schema.aggregates, values) { members[column.name] = value.jsonValue }
      return .object(members)
    }
    members["kept"] = values(kept)
    members["replayed"] = values(replayed)
    return .object(members)
  }
}

extension ResultValue {
  var jsonValue: JSONValue {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .int(let value): .int(value)
    case .uint(let value): .number(String(value))
    case .double(let value): value.isFinite ? .double(value) : .null
    case .string(let value): .string(value)
    case .time(let value): .string(value.description)
    }
  }
}
