import Events
import NIOHTTP1
import Serving
import Testing
import Views

@testable import Query

/// Sources a and b lie in partition 0, c in partition 1; each has hours 0 to 5. One hour of lateness is allowed.
/// - Parameters:
///   - sources: The event-time watermarks of sources, in hours.
///   - slowest: The event-time watermarks of each partition's slowest active source.
///   - watermarks: The event-time watermarks of the partitions.
private func asking(
  sources: [String: Int] = [:], slowest: [Int: Int] = [:], watermarks: [Int: Int], keysOnSource: Bool = true
) throws -> Asking {
  let seen = (0..<6).flatMap { hour in
    [("a", 0), ("b", 0), ("c", 1)].map { Seen(partition: $1, hour: hour, source: $0, site: .null, values: [1]) }
  }
  let asking = Asking()
  asking.store.put(
    seen, try Hours.definition(watermark: .source, keysOnSource: keysOnSource), watermarks: watermarks, slowest: slowest,
    sources: sources)
  return asking
}

/// Whether each row is final, in order, by source.
private func finals(_ asking: Asking, _ parameters: [(String, String)] = []) async throws -> [String: [Bool]] {
  var result: [String: [Bool]] = [:]
  for row in try await asking.get("/v1/views/hourly", parameters).array("rows") {
    result[row["source"]?.string ?? "all", default: []].append(row["final"] == .bool(true))
  }
  return result
}

private func first(_ count: Int, of total: Int = 6) -> [Bool] { (0..<total).map { $0 < count } }

@Test("a row keyed by source is final by its own source, whoever is ahead or behind, active or silent")
func ownSource() async throws {
  // b is years ahead, c is not known.
  let asking = try asking(sources: ["a": 3, "b": 40_000], slowest: [0: 3], watermarks: [0: 40_000])
  let expected = ["a": first(2), "b": first(6), "c": first(0)]
  #expect(try await finals(asking) == expected)
  #expect(try await finals(asking, [("group_by", "source")]) == expected)
  #expect(try await finals(asking, [("group_by", "site,source")]) == expected)
  #expect(try await finals(asking, [("step", "3h")]) == ["a": first(0, of: 2), "b": first(2, of: 2), "c": first(0, of: 2)])
  // The statuses of partitions say nothing of sources: they are asked for the definition, and not again.
  #expect(asking.store.state.withLock { $0.viewsAsked } == 1)
}

@Test("a row of several sources is final when all active ones have passed, and silent ones hold nothing back")
func activeSources() async throws {
  let all = [("group_by", "")]
  let three = ["a": 3, "b": 9, "c": 6]
  #expect(try await finals(try asking(sources: three, slowest: [0: 3, 1: 6], watermarks: [0: 9, 1: 6]), all) == ["all": first(2)])
  // a is silent: b decides in partition 0, and c in partition 1.
  #expect(try await finals(try asking(sources: three, slowest: [0: 9, 1: 6], watermarks: [0: 9, 1: 6]), all) == ["all": first(5)])
  // Partition 1 has no active source.
  #expect(try await finals(try asking(sources: three, slowest: [0: 3], watermarks: [0: 9, 1: 6]), all) == ["all": first(2)])
  // Nobody is active: a row is final once somebody's time has closed its window.
  #expect(try await finals(try asking(sources: three, watermarks: [0: 4, 1: 3]), all) == ["all": first(3)])
  #expect(try await finals(try asking(watermarks: [:]), all) == ["all": first(0)])
  // The only active source is ahead of everything that partitions have seen: no more than that is closed.
  #expect(try await finals(try asking(sources: three, slowest: [0: 20], watermarks: [0: 4]), all) == ["all": first(3)])
  let two = try asking(sources: three, slowest: [0: 9, 1: 6], watermarks: [0: 9, 1: 6])
  #expect(try await finals(two, [("group_by", "site")]) == ["all": first(5)])
  #expect(try await finals(two, all + [("step", "3h")]) == ["all": first(1, of: 2)])
}

@Test("a partition that still has uncounted events and knows no source holds back what is of several sources")
func heldByUncounted() async throws {
  let held = try asking(sources: ["a": 9, "b": 9], watermarks: [0: 9])
  held.store.state.withLock { $0.results["hourly"]?.slowestSources[PartitionID(1)] = Timestamp(nanoseconds: .min) }
  #expect(try await finals(held, [("group_by", "")]) == ["all": first(0)])
  #expect(try await finals(held) == ["a": first(6), "b": first(6), "c": first(0)])
}

@Test("a key named source that is not the attribute is of any source")
func otherKey() async throws {
  let asking = try asking(slowest: [0: 3, 1: 6], watermarks: [0: 9, 1: 6], keysOnSource: false)
  #expect(try await finals(asking) == ["a": first(2), "b": first(2), "c": first(2)])
}

@Test("with partitions missing, only a row of one source may be final")
func missingPartitions() async throws {
  let asking = try asking(sources: ["a": 3, "b": 9], slowest: [0: 3], watermarks: [0: 9])
  asking.store.state.withLock { $0.results["hourly"]?.missing = [PartitionID(1)] }
  let partial = [("allow_partial", "true")]
  #expect(try await finals(asking, partial) == ["a": first(2), "b": first(6), "c": first(0)])
  #expect(try await finals(asking, partial + [("group_by", "")]) == ["all": first(0)])
}

@Test("pages, orders, one key's rows, csv and SQL say the same of a row")
func everywhere() async throws {
  let asking = try asking(sources: ["a": 3, "b": 6, "c": 5], slowest: [0: 3, 1: 5], watermarks: [0: 6, 1: 5])
  let expected = ["a": first(2), "b": first(5), "c": first(4)]
  #expect(try await finals(asking) == expected)
  #expect(try await finals(asking, [("order", "-n,source,window_start")]) == expected)
  let ordered = try await asking.get("/v1/views/hourly", [("order", "final")]).array("rows").map { $0["final"] == .bool(true) }
  #expect(ordered == Array(repeating: false, count: 7) + Array(repeating: true, count: 11))
  let csv = await asking.get("/v1/views/hourly", [("format", "csv")]).text.split(whereSeparator: \.isNewline).dropFirst()
  var inCSV: [String: [Bool]] = [:]
  for line in csv {
    let fields = line.split(separator: ",", omittingEmptySubsequences: false)
    inCSV[String(fields[3]), default: []].append(fields[2] == "true")
  }
  #expect(inCSV == expected)
  let sql = await asking.post("/v1/sql", ["sql": .string("SELECT source, final FROM hourly ORDER BY source, window_start")])
  var inSQL: [String: [Bool]] = [:]
  for row in try sql.array("rows") { inSQL[row["source"]?.string ?? "", default: []].append(row["final"] == .bool(true)) }
  #expect(inSQL == expected)
  asking.store.state.withLock { $0.isAtOnce = true }
  let key = [("where", #"source == "b" && site == null"#)]
  #expect(try await finals(asking, key) == ["b": first(5)])
}

@Test("sessions of one source are final by their own source, joined ones by all active sources, and only once no event can join")
func sessions() throws {
  func definition(_ key: ValuePath) -> ViewDefinition {
    ViewDefinition(
      name: "s", keys: [KeyColumn(name: "k", path: key)], window: .session(gap: Hours.hour), watermark: .source,
      aggregates: [AggregateColumn(name: "n", function: .countRows)])
  }
  /// Sessions of key x from hour 1 to 5 and 20 to 22; the event-time watermarks are of x and of the slowest active source.
  func finals(_ key: ValuePath, own: Int, slowest: Int?, _ parameters: Substring = "") throws -> [Bool] {
    let definition = definition(key)
    var rows = PartialRows(stride: definition.layout.stride)
    for (start, end) in [(1, 5), (20, 22)] as [(Int64, Int64)] {
      KeyCodec.encode([.string("x")]).withUnsafeBytes { key in
        rows.append(partition: PartitionID(0), windowStart: start * Hours.hour, windowEnd: end * Hours.hour, key: key) {
          $0.append(1)
        }
      }
    }
    rows.fillSourceWatermarks(of: definition) { _ in Int64(own) * Hours.hour }
    var read = PartialResult(
      definition: definition, generation: 1, asOf: OffsetVector([PartitionID(0): Offset(9)]),
      eventTimeWatermarks: [PartitionID(0): Timestamp(nanoseconds: 100 * Hours.hour)], rows: rows)
    if let slowest { read.slowestSources = [PartitionID(0): Timestamp(nanoseconds: Int64(slowest) * Hours.hour)] }
    let query = try ViewQuery(
      QueryParameters(parameters, known: ViewQuery.parameterNames), definition: definition, generation: 1, partitionCount: 1,
      rowsMax: 100)
    let result = query.result(of: read)
    var finality = Finality(definition: definition, keptKeys: query.keptKeys, Finality.Partitions(read))
    finality.lastChanges = result.lastChanges
    return (0..<result.rows.count).map { finality.isFinal($0, of: result.rows) }
  }
  let (source, site) = (ValuePath.attribute("source"), ValuePath.data(["site"]))
  #expect(try finals(source, own: 5, slowest: 0) == [true, false] && finals(source, own: 22, slowest: 0) == [true, true])
  #expect(try finals(source, own: 21, slowest: 0, "step=12h") == [false, false], "the second session may move back to the first")
  #expect(try finals(source, own: 22, slowest: 0, "step=12h") == [true, false])
  #expect(try finals(source, own: 25, slowest: 0, "step=12h") == [true, true])
  #expect(try finals(source, own: 99, slowest: 9, "group_by=") == [false, false])
  #expect(try finals(source, own: 0, slowest: 23, "group_by=") == [true, true])
  #expect(try finals(site, own: 0, slowest: 22) == [true, false] && finals(site, own: 0, slowest: 23) == [true, true])
  #expect(try finals(site, own: 0, slowest: nil) == [true, true])
}

@Test("a stream sends a row that becomes final, and sends it again when it is amended")
func liveFinality() async throws {
  let asking = try asking(sources: ["a": 3, "b": 9], slowest: [0: 3], watermarks: [0: 9])
  asking.log.append(
    (0..<400).map { Event(source: "s\($0)", type: "t", id: "\($0)", time: Timestamp(nanoseconds: 0)) }, batchSize: 400)
  let answer = await asking.answer(
    HTTPRequest(.GET, "/v1/views/hourly/live?interval=50ms&group_by=&to=1970-01-01T04:00:00Z"))
  guard case .pieces(_, var pieces) = answer.body else {
    Issue.record("no stream: \(answer.status)")
    return
  }
  /// The next event's rows: n and final of each.
  func next() async throws -> [[JSONValue?]] {
    while true {
      let text = String(decoding: try #require(try await pieces.next()), as: UTF8.self)
      guard let data = text.split(separator: "\n").first(where: { $0.hasPrefix("data: ") }) else { continue }
      guard case .array(let rows)? = try JSONValue(parsing: String(data.dropFirst(6)))["rows"] else { continue }
      return rows.map { [$0["n"], $0["final"]] }
    }
  }
  #expect(try await next() == [true, true, false, false].map { [.int(3), .bool($0)] })
  // a goes on: two more hours are closed.
  asking.store.state.withLock { $0.results["hourly"]?.slowestSources[PartitionID(0)] = Timestamp(nanoseconds: 5 * Hours.hour) }
  asking.store.advance("hourly")
  #expect(try await next() == [[.int(3), .bool(true)], [.int(3), .bool(true)]])
  // A silent source comes back with an event of the first hour: the row is final no more, and has one event more.
  asking.store.state.withLock { state in
    let late = [Seen(partition: 0, hour: 0, source: "d", site: .null, values: [1])]
    guard let definition = state.results["hourly"]?.definition else { return }
    state.results["hourly"]?.rows.append(contentsOf: Hours.rows(late, definition))
    state.results["hourly"]?.slowestSources[PartitionID(0)] = Timestamp(nanoseconds: 0)
  }
  asking.store.advance("hourly")
  #expect(try await next() == [4, 3, 3, 3].map { [.int($0), .bool(false)] })
}
