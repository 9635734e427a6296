import Events
import Views

extension ViewStatus {
  /// One element of `GET /v1/views`.
  func json(now: Timestamp) -> JSONValue {
    let schema = definition.schema
    var members = JSONObject()
    members["name"] = .string(definition.name)
    members["generation"] = .int(Int64(generation))
    members["where"] = definition.filter.map { .string($0.text) } ?? .null
    members["keys"] = .array(schema.keys.map { .string($0.name) })
    members["window"] = definition.window.json
    members["watermark"] = .string(definition.watermark.rawValue)
    members["watermark_delay"] = .string(DurationText.text(definition.watermarkDelay))
    members["allowed_lateness"] = .string(DurationText.text(definition.allowedLateness))
    members["retention"] = definition.retention.map { .string(DurationText.text($0)) } ?? .null
    members["columns"] = .array(
      schema.columns.map {
        ["name": .string($0.name), "type": .string($0.type.rawValue), "role": .string($0.role.rawValue)]
      })
    members["offsets"] = offsets.json
    members["high_watermarks"] =
      OffsetVector(Dictionary(uniqueKeysWithValues: partitions.map { ($0.partition, $0.highWatermark) })).json
    var times = JSONObject()
    for progress in partitions {
      if let time = progress.eventTimeWatermark { times[progress.partition.description] = .string(time.description) }
    }
    members["event_time_watermarks"] = .object(times)
    members["lag"] = ["events": .int(Int64(lagEvents)), "seconds": lagSeconds(now: now)]
    func total(_ count: KeyPath<PartitionProgress, Int>) -> JSONValue {
      .int(Int64(partitions.reduce(0) { $0 + $1[keyPath: count] }))
    }
    members["counts"] = [
      "applied": total(\.applied), "amended": total(\.amended), "filtered": total(\.filtered), "late": total(\.late),
      "pending": .int(Int64(lagEvents)),
      "where_errors": total(\.whereErrors), "argument_errors": total(\.argumentErrors),
    ]
    return .object(members)
  }

  /// The time since the last counted event was appended, in the partition that is furthest behind; 0 when all is
  /// counted, null when nothing has been counted yet.
  private func lagSeconds(now: Timestamp) -> JSONValue {
    let behind = partitions.filter { $0.lagEvents > 0 }
    guard !behind.isEmpty else { return .int(0) }
    guard let last = behind.compactMap(\.lastAppendTime).min() else { return .null }
    return .double(Double(max(0, now.nanoseconds - last.nanoseconds) / 1_000_000) / 1000)
  }
}
