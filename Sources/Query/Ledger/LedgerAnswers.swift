import Events
import Views

/// Answers `GET /v1/ledger`: whether every event that came is accounted for.
struct LedgerAnswers: Sendable {
  let source: ViewSource
  let log: any EventLog
  /// What ingest has counted since it started; nil where no ingest is known.
  let ingest: @Sendable () async -> IngestReport?

  func answer(_ query: Substring) async throws(QueryFailure) -> Answer {
    _ = try QueryParameters(query, known: [])
    // Before the views: by the time they are asked, the log may have let go of what they have counted since.
    let log = try await partitions()
    let statuses = try await source.statuses(maxAge: .zero)
    var isBalanced = true
    var views: [JSONValue] = []
    for status in statuses {
      var rows: [JSONValue] = []
      var sum = LedgerRow()
      for progress in status.partitions {
        let row = LedgerRow(progress, logStart: log[progress.partition]?.startOffset ?? .zero)
        sum.add(row)
        rows.append(.object(row.members(partition: progress)))
      }
      isBalanced = isBalanced && sum.isBalanced
      var members = JSONObject()
      members["view"] = .string(status.definition.name)
      members["generation"] = .int(Int64(status.generation))
      for member in sum.members() { members[member.name] = member.value }
      members["partitions"] = .array(rows)
      views.append(.object(members))
    }
    var result = JSONObject()
    if let row = await ingest()?.events {
      isBalanced = isBalanced && row.inFlight >= 0
      result["ingest"] = [
        "received": .int(Int64(row.received)), "appended": .int(Int64(row.appended)),
        "duplicates": .int(Int64(row.duplicates)), "rejected": .int(Int64(row.rejected)),
        "in_flight": .int(Int64(row.inFlight)), "balanced": .bool(row.inFlight >= 0),
      ]
    } else {
      result["ingest"] = .null
    }
    result["log"] = .array(
      log.sorted { $0.key < $1.key }.map { partition, bounds in
        [
          "partition": .int(Int64(partition.rawValue)), "start_offset": .int(bounds.startOffset.rawValue),
          "high_watermark": .int(bounds.highWatermark.rawValue),
        ]
      })
    result["views"] = .array(views)
    result["balanced"] = .bool(isBalanced)
    return Answer(200, .object(result))
  }

  private func partitions() async throws(QueryFailure) -> [PartitionID: PartitionBounds] {
    var partitions: [PartitionID: PartitionBounds] = [:]
    for index in 0..<log.partitionCount {
      let partition = PartitionID(index)
      do throws(LogError) { partitions[partition] = try await log.bounds(of: partition) } catch { throw QueryFailure(error) }
    }
    return partitions
  }
}

/// appended = applied + filtered + late + pending, of one partition of a view or of all.
struct LedgerRow: Sendable, Hashable {
  var appended = 0
  var applied = 0
  var filtered = 0
  var late = 0
  var pending = 0
  /// Events that retention took before the view had counted them, which it so never will: they are in none of the others but `appended`,
  /// so that nothing is balanced while there are any.
  var gone = 0
  /// Of every partition alone: what one has too many and another too few is no balance.
  var isBalanced = true

  init() {}

  /// - Parameters:
  ///   - progress: Of one partition.
  ///   - logStart: Where its log starts, as asked no later than the progress was: of an old one nothing is wrongly gone.
  init(_ progress: PartitionProgress, logStart: Offset) {
    appended = progress.firstOffset.distance(to: max(progress.highWatermark, progress.nextOffset))
    applied = progress.applied
    filtered = progress.filtered
    late = progress.late
    gone = max(0, progress.nextOffset.distance(to: min(logStart, progress.highWatermark)))
    pending = progress.lagEvents - gone
    isBalanced = appended == applied + filtered + late + pending
  }

  mutating func add(_ other: LedgerRow) {
    appended += other.appended
    applied += other.applied
    filtered += other.filtered
    late += other.late
    pending += other.pending
    gone += other.gone
    isBalanced = isBalanced && other.isBalanced
  }

  func members(partition progress: PartitionProgress? = nil) -> JSONObject {
    var members = JSONObject()
    if let progress {
      members["partition"] = .int(Int64(progress.partition.rawValue))
      members["first_offset"] = .int(progress.firstOffset.rawValue)
      members["next_offset"] = .int(progress.nextOffset.rawValue)
    }
    members["appended"] = .int(Int64(appended))
    members["applied"] = .int(Int64(applied))
    members["filtered"] = .int(Int64(filtered))
    members["late"] = .int(Int64(late))
    members["pending"] = .int(Int64(pending))
    members["gone"] = .int(Int64(gone))
    members["balanced"] = .bool(isBalanced)
    return members
  }
}
