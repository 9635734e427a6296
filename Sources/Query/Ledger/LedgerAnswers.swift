import Events
import Serving
import Views

/// Answers `GET /v1/ledger`: whether every event is accounted for.
struct LedgerAnswers: Sendable {
  let source: ViewSource
  let log: any EventLog
  /// Nil where no ingest is known.
  let reports: (any IngestReports)?

  func answer(_ query: Substring) async throws(QueryFailure) -> HTTPAnswer {
    _ = try QueryParameters(query, known: [])
    // Before the log: events acknowledged by then are in it.
    let received = await reports?.ingest()?.events
    // Before the views: by the time they are asked, the log may have deleted events that they have counted since.
    let log = try await partitions()
    let statuses = try await source.statuses(maxAge: .zero)
    let tallies = try await source.tallies()
    var isBalanced = true
    var differences: [JSONValue] = []
    var problems: [String] = []
    var views: [JSONValue] = []
    for status in statuses {
      var rows: [JSONValue] = []
      var sum = LedgerRow()
      for progress in status.partitions {
        let row = LedgerRow(progress, logStart: log[progress.partition]?.startOffset ?? .zero)
        if progress.nextOffset > progress.highWatermark {
          problems.append(
            "view \(status.definition.name) has counted partition \(progress.partition) up to offset \(progress.nextOffset), and the log "
              + "ends at \(progress.highWatermark)")
        }
        sum.add(row)
        if let difference = row.difference { differences.append(difference.json(status, progress.partition, nil)) }
        rows.append(.object(row.members(partition: progress)))
      }
      let tally = tallies.first { $0.view == status.definition.name && $0.generation == status.generation }
      for one in tally?.partitions ?? [] {
        if let difference = one.difference { differences.append(difference.json(status, one.partition, one.nextOffset)) }
      }
      isBalanced = isBalanced && sum.isBalanced && tally?.partitions.allSatisfy(\.isBalanced) ?? true
      var members = JSONObject()
      members["view"] = .string(status.definition.name)
      members["generation"] = .int(Int64(status.generation))
      for member in sum.members() { members[member.name] = member.value }
      members["rows"] = tally?.json ?? .null
      members["partitions"] = .array(rows)
      views.append(.object(members))
    }
    var result = JSONObject()
    if let row = received {
      isBalanced = isBalanced && row.inFlight >= 0
      let kept = log.values.reduce(0) { $0 + Int($1.highWatermark.rawValue) }
      if row.appended > kept {
        problems.append("ingest has had \(row.appended) events appended since it started, and the log has had \(kept) in all")
      }
      result["ingest"] = [
        "received": .int(Int64(row.received)), "appended": .int(Int64(row.appended)),
        "duplicates": .int(Int64(row.duplicates)), "rejected": .int(Int64(row.rejected)),
        "suspect_duplicates": .int(Int64(row.suspects)), "in_flight": .int(Int64(row.inFlight)),
        "balanced": .bool(row.inFlight >= 0),
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
    result["differences"] = .array(differences)
    result["balanced"] = .bool(isBalanced && problems.isEmpty)
    if !problems.isEmpty { result["problems"] = .array(problems.map { .string($0) }) }
    return HTTPAnswer(200, .object(result))
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

/// appended = applied + filtered + late + pending, and amended is a part of applied, for one partition of a view or for all.
struct LedgerRow: Sendable, Hashable {
  var appended = 0
  var applied = 0
  /// The applied events that changed windows which the largest event time of their partition had closed.
  var amended = 0
  var filtered = 0
  var late = 0
  var pending = 0
  /// Events that retention deleted before the view had counted them: only `appended` has them, so nothing is balanced
  /// while there are any.
  var gone = 0
  /// Whether every single partition balances: too many in one and too few in another are no balance.
  var isBalanced = true

  init() {}

  /// - Parameters:
  ///   - progress: The progress of one partition.
  ///   - logStart: The start of the partition's log, asked for no later than the progress: with an older start nothing is wrongly
  ///     gone.
  init(_ progress: PartitionProgress, logStart: Offset) {
    appended = progress.firstOffset.distance(to: max(progress.highWatermark, progress.nextOffset))
    applied = progress.applied
    amended = progress.amended
    filtered = progress.filtered
    late = progress.late
    gone = max(0, progress.nextOffset.distance(to: min(logStart, progress.highWatermark)))
    pending = progress.lagEvents - gone
    // Counted events must be in the log.
    isBalanced =
      appended == applied + filtered + late + pending && amended <= applied && progress.nextOffset <= progress.highWatermark
  }

  /// The sum of one partition that is not right.
  var difference: LedgerDifference? {
    guard !isBalanced else { return nil }
    guard amended <= applied else {
      return LedgerDifference(expected: applied, found: amended, detail: "more events are amended than applied")
    }
    return LedgerDifference(
      expected: appended, found: applied + filtered + late + pending,
      detail: gone > 0
        ? "the log let go of \(gone) events before the view had counted them"
        : "applied + filtered + late + pending is not appended")
  }

  mutating func add(_ other: LedgerRow) {
    appended += other.appended
    applied += other.applied
    amended += other.amended
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
    members["amended"] = .int(Int64(amended))
    members["filtered"] = .int(Int64(filtered))
    members["late"] = .int(Int64(late))
    members["pending"] = .int(Int64(pending))
    members["gone"] = .int(Int64(gone))
    members["balanced"] = .bool(isBalanced)
    return members
  }
}

/// Two numbers that should be the same.
struct LedgerDifference: Sendable, Hashable {
  var expected: Int
  var found: Int
  var detail: String

  /// - Parameter asOf: The offset up to which the partition was counted; nil for all.
  func json(_ status: ViewStatus, _ partition: PartitionID, _ asOf: Offset?) -> JSONValue {
    [
      "view": .string(status.definition.name), "generation": .int(Int64(status.generation)),
      "partition": .int(Int64(partition.rawValue)), "as_of": asOf.map { JSONValue.int($0.rawValue) } ?? .null,
      "expected": .int(Int64(expected)), "found": .int(Int64(found)), "detail": .string(detail),
    ]
  }
}

extension RowTally {
  /// The sum that is not right.
  var difference: LedgerDifference? {
    guard !isBalanced else { return nil }
    return LedgerDifference(
      expected: applied, found: inRows + dropped, detail: "the view's rows do not count the events that were applied")
  }
}

extension ViewTally {
  /// The sums over all partitions, each as of its last checkpoint.
  var json: JSONValue {
    let (applied, inRows) = (partitions.reduce(0) { $0 + $1.applied }, partitions.reduce(0) { $0 + $1.inRows })
    return [
      "as_of": OffsetVector(Dictionary(partitions.map { ($0.partition, $0.nextOffset) }) { $1 }).json,
      "applied": .int(Int64(applied)), "in_rows": .int(Int64(inRows)),
      "dropped": .int(Int64(partitions.reduce(0) { $0 + $1.dropped })),
      "balanced": .bool(partitions.allSatisfy(\.isBalanced)),
    ]
  }
}
