import Events
import Testing
import Views

@testable import Query

/// Source a lies in partition 0, b in partition 1; each has hours 0 to 5. One hour of lateness is allowed.
private func finals(
  _ watermarks: [Int: Int], idle: Set<Int> = [], lag: Bool = false, _ parameters: [(String, String)] = [],
  keysOnSource: Bool = true
) async throws -> [String: [Bool]] {
  let seen = (0..<6).flatMap { hour in
    [
      Seen(partition: 0, hour: hour, source: "a", site: .null, values: [1]),
      Seen(partition: 1, hour: hour, source: "b", site: .null, values: [1]),
    ]
  }
  let asking = Asking()
  let minute: Int64 = 60_000_000_000
  let appended = Dictionary(
    uniqueKeysWithValues: watermarks.keys.map { partition in
      (partition, Timestamp(nanoseconds: Asking.now.nanoseconds - (idle.contains(partition) ? minute : minute - 1)))
    })
  asking.store.put(seen, try Hours.definition(keysOnSource: keysOnSource), watermarks: watermarks, lastAppend: appended)
  if lag {
    asking.store.state.withLock { state in
      for index in state.statuses[0].partitions.indices { state.statuses[0].partitions[index].highWatermark = Offset(11) }
    }
  }
  var result: [String: [Bool]] = [:]
  for row in try await asking.get("/v1/views/hourly", parameters).array("rows") {
    result[row["source"]?.string ?? "all", default: []].append(row["final"] == .bool(true))
  }
  return result
}

private func first(_ count: Int, of total: Int = 6) -> [Bool] { (0..<total).map { $0 < count } }

@Test("a row keyed by source is final when its own partition has passed its window and the lateness")
func ownPartition() async throws {
  #expect(try await finals([0: 3, 1: 6]) == ["a": first(2), "b": first(5)])
  #expect(try await finals([0: 1, 1: 6]) == ["a": first(0), "b": first(5)])
  #expect(try await finals([0: 7, 1: 7]) == ["a": first(6), "b": first(6)])
}

@Test("a row without source is final when all partitions that saw events have passed")
func allPartitions() async throws {
  #expect(try await finals([0: 3, 1: 6], [("group_by", "")]) == ["all": first(2)])
  #expect(try await finals([0: 3, 1: 6, 3: 2], [("group_by", "site")]) == ["all": first(1)])
  // A key named source that is not the attribute says nothing of partitions.
  #expect(try await finals([0: 3, 1: 6], keysOnSource: false) == ["a": first(2), "b": first(2)])
}

@Test("with a step, a row is final when the step's end is")
func steps() async throws {
  #expect(try await finals([0: 4, 1: 4], [("step", "3h")]) == ["a": first(1, of: 2), "b": first(1, of: 2)])
  #expect(try await finals([0: 6, 1: 7], [("step", "3h")]) == ["a": first(1, of: 2), "b": first(2, of: 2)])
}

@Test("a partition that is idle and counted holds nothing back, and is as far as the slowest that is not")
func idle() async throws {
  #expect(try await finals([0: 1, 1: 5], idle: [0], [("group_by", "")]) == ["all": first(4)])
  #expect(try await finals([0: 1, 1: 5], idle: [0]) == ["a": first(4), "b": first(4)])
  // Were it ahead, it stays ahead for its own rows.
  #expect(try await finals([0: 6, 1: 3], idle: [0]) == ["a": first(5), "b": first(2)])
  // When all are idle, the furthest counts: the end of the data is not final for being the end.
  #expect(try await finals([0: 1, 1: 5], idle: [0, 1], [("group_by", "")]) == ["all": first(4)])
  // Events that are not counted yet may still close nothing.
  #expect(try await finals([0: 1, 1: 5], idle: [0], lag: true, [("group_by", "")]) == ["all": first(0)])
}

extension Finality {
  /// Whether a row of this partition that ends then is final.
  /// - Parameter sourceWatermark: The event-time watermark of its source.
  fileprivate func isFinal(partition: PartitionID, windowEnd: Int64, sourceWatermark: Int64? = nil) -> Bool {
    var rows = PartialRows(stride: 1)
    KeyCodec.encode([.string("a"), .null]).withUnsafeBytes { key in
      rows.append(
        partition: partition, windowStart: windowEnd - 1, windowEnd: windowEnd, key: key, sourceWatermark: sourceWatermark
      ) { $0.append(1) }
    }
    return isFinal(0, of: rows)
  }
}

@Test("with no time known, nothing is final, and at the ends of time nothing overflows", arguments: WatermarkScope.allCases)
func extremes(scope: WatermarkScope) throws {
  let definition = try Hours.definition(watermark: scope, allowedLateness: WindowDefinition.lengthMax)
  let none = Finality(definition: definition, keptKeys: nil, Finality.Partitions([:]))
  #expect(!none.isFinal(partition: PartitionID(0), windowEnd: 0))
  #expect(!none.isFinal(partition: PartitionID(0), windowEnd: .min + 1, sourceWatermark: .min))
  let early = Finality(definition: definition, keptKeys: [], Finality.Partitions([PartitionID(0): Timestamp(nanoseconds: .min)]))
  #expect(!early.isFinal(partition: PartitionID(0), windowEnd: .min + 1))
  let late = Finality(definition: definition, keptKeys: nil, Finality.Partitions([PartitionID(0): Timestamp(nanoseconds: .max)]))
  #expect(!late.isFinal(partition: PartitionID(0), windowEnd: .max, sourceWatermark: .max))
  #expect(!late.isFinal(partition: PartitionID(1023), windowEnd: 0))
}

@Test("a partition that has seen no event holds back what it may have events for, as do those that are missing")
func silentPartitions() throws {
  let definition = try Hours.definition(keysOnSource: false)
  let watermarks = [PartitionID(0): Timestamp(nanoseconds: 10 * Hours.hour)]
  let asOf = OffsetVector([PartitionID(0): Offset(5), PartitionID(1): Offset(0)])
  func isFinal(_ partitions: Finality.Partitions, idle: Set<PartitionID> = [], _ definition: ViewDefinition) -> Bool {
    Finality(definition: definition, keptKeys: nil, partitions, idle: idle).isFinal(
      partition: PartitionID(0), windowEnd: Hours.hour)
  }
  #expect(!isFinal(Finality.Partitions(watermarks, asOf: asOf), definition))
  #expect(isFinal(Finality.Partitions(watermarks, asOf: asOf), idle: [PartitionID(1)], definition))
  #expect(!isFinal(Finality.Partitions(watermarks, areMissing: true), definition))
  // Other partitions say nothing about a source's own.
  #expect(isFinal(Finality.Partitions(watermarks, asOf: asOf, areMissing: true), try Hours.definition()))
}

@Test("sessions that are joined or merged into steps are final when no event can join them")
func joinedSessions() async throws {
  let gap = Hours.hour
  let definition = ViewDefinition(
    name: "s", keys: [KeyColumn(name: "site", path: .data(["site"]))], window: .session(gap: gap), watermark: .partition,
    aggregates: [AggregateColumn(name: "n", function: .countRows)])
  var rows = PartialRows(stride: definition.layout.stride)
  func add(_ partition: Int, _ start: Int64, _ end: Int64) {
    KeyCodec.encode([.string("ams")]).withUnsafeBytes { key in
      rows.append(partition: PartitionID(partition), windowStart: start * gap, windowEnd: end * gap, key: key) { $0.append(1) }
    }
  }
  // Two sessions of one partition that overlap, and one of another that overlaps both: one row. Another row that is open.
  add(0, 1, 5)
  add(0, 4, 8)
  add(1, 4, 6)
  add(0, 20, 22)
  func finals(_ watermark: Int64, _ parameters: Substring = "") throws -> [Bool] {
    var read = PartialResult(
      definition: definition, generation: 1, asOf: OffsetVector([PartitionID(0): Offset(9), PartitionID(1): Offset(9)]),
      eventTimeWatermarks: [
        PartitionID(0): Timestamp(nanoseconds: watermark * gap), PartitionID(1): Timestamp(nanoseconds: watermark * gap),
      ], rows: rows)
    read.missing = []
    let query = try ViewQuery(
      QueryParameters(parameters, known: ViewQuery.parameterNames), definition: definition, generation: 1, partitionCount: 2,
      rowsMax: 100)
    let result = query.result(of: read)
    var finality = Finality(
      definition: definition, keptKeys: query.keptKeys, Finality.Partitions(read.eventTimeWatermarks, asOf: read.asOf))
    finality.lastChanges = result.lastChanges
    return (0..<result.rows.count).map { finality.isFinal($0, of: result.rows) }
  }
  #expect(try finals(9) == [false, false], "an open session may be extended to before its start")
  #expect(try finals(21) == [false, false])
  #expect(try finals(22) == [true, false], "its own end is closed, but one could begin right after it")
  #expect(try finals(23) == [true, true])
  #expect(try finals(23, "step=12h") == [true, false])
  #expect(try finals(25, "step=12h") == [true, true])
}
