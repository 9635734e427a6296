import Events
import Foundation
import SQLite
import Testing
import Views

@testable import Compute

/// Retention deletes rows whole or not at all.
@Suite("Retention of rows")
struct RetentionTests {
  private static func views(_ window: String, key: String = "{site: data.site}", lateness: String = "0s") -> String {
    """
    views:
      v:
        key: \(key)
        window: \(window)
        allowed_lateness: \(lateness)
        retention: 1h
        aggregates: { n: count(), total: sum(data.value) }
    """
  }

  /// Sources of two partitions.
  private static func sources(_ fixture: ComputeFixture) -> [String] {
    (0..<2).map { wanted in
      (0..<100).lazy.map { "device/\($0)" }.first { fixture.log.partition(of: $0).index == wanted } ?? ""
    }
  }

  private static func event(_ source: String, minute: Int64, value: Int64 = 1) -> Event {
    Event(
      source: source, type: "t", time: Timestamp(nanoseconds: WindowTests.start / 60 * 60 + minute * 60 * WindowTests.second),
      data: ["site": .string("ams"), "value": .int(value)])
  }

  private static func sums(
    _ service: ComputeService, after end: OffsetVector, asOf: OffsetVector? = nil
  ) async throws -> [Double] {
    let result = try await service.read(
      ViewReadRequest(view: "v", after: end, timeout: .seconds(120), asOf: asOf))
    let rows = result.rows.retained(for: result.definition, after: result.expiredEnd)
    return (0..<rows.count).map { row in
      guard case .double(let sum) = rows.withState(row, { result.definition.layout.value(of: 1, in: $0) }) else { return -1 }
      return sum
    }
  }

  private static func storedRows(_ fixture: ComputeFixture, workers: Int) throws -> Int {
    try (0..<workers).reduce(0) { sum, worker in
      let db = try SQLiteConnection(path: fixture.directory + "/compute/\(worker)/state.sqlite")
      let sessions = try db.first("SELECT count(*) FROM session") { $0.int(0) } ?? 0
      return try sum + sessions
        + (db.first("SELECT count(DISTINCT owner || '/' || partition || '/' || last_slot || '/' || hex(last_key)) FROM block "
          + "JOIN run ON run.id = block.run WHERE kind = 0") { $0.int(0) } ?? 0)
    }
  }

  @Test(
    "a row of several partitions is there whole until all have passed, and then it is not there, also after restarts",
    arguments: ["{ tumble: 10m }", "{ hop: {size: 10m, every: 10m} }", "{ session: {gap: 5m} }"], [1, 2])
  func wholeOrNot(window: String, workers: Int) async throws {
    let fixture = try await ComputeFixture(partitions: 2)
    let sources = Self.sources(fixture)
    let yaml = Self.views(window)
    var service = try await fixture.start(yaml, workers: workers)
    var end = try await fixture.append([Self.event(sources[0], minute: 1, value: 100), Self.event(sources[1], minute: 2)]) { 1 }
    let whole = end
    #expect(try await Self.sums(service, after: end) == [101])
    // The time of one partition moves on, by far more than retention.
    end.formMaximum(try await fixture.append([Self.event(sources[1], minute: 300)]) { 1 })
    for _ in 0..<2 {
      #expect(try await Self.sums(service, after: end) == [101, 1])
      await service.shutDown()
      service = try await fixture.start(yaml, workers: 3 - workers)
    }
    // And then that of the other; once all is on disk, the rows go.
    for minute in Int64(300)..<303 {
      end.formMaximum(
        try await fixture.append([Self.event(sources[0], minute: minute), Self.event(sources[1], minute: minute)]) { 1 })
      #expect(try await Self.sums(service, after: end).reduce(0, +) == Double(2 * (minute - 299) + 1))
      await service.shutDown()
      service = try await fixture.start(yaml, workers: workers)
    }
    #expect(try await Self.sums(service, after: end) == [7])
    await service.shutDown()
    #expect(try Self.storedRows(fixture, workers: 2) == 2, "a part of each partition is left")
    service = try await fixture.start(yaml, workers: workers)
    #expect(try await service.verify("v", generation: nil, timeout: .seconds(60)).isSame)
    for tally in try await service.tallies() {
      #expect(tally.partitions.allSatisfy { $0.isBalanced } && tally.partitions.reduce(0) { $0 + $1.dropped } == 2, "\(tally)")
    }
    // As of when nothing had passed, the row is there: what was dropped is in the log.
    #expect(try await Self.sums(service, after: end, asOf: whole) == [101])
    var half = end
    for (partition, offset) in whole.offsets where partition.index == 0 { half[partition] = offset }
    #expect(try await Self.sums(service, after: end, asOf: half).first == 101)
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("a row stays for as long as it takes events, whatever retention says")
  func longLateness() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let service = try await fixture.start(Self.views("{ tumble: 10m }", lateness: "5h"), workers: 1)
    var end = try await fixture.append([Self.event("a", minute: 1), Self.event("a", minute: 200)]) { 1 }
    #expect(try await Self.sums(service, after: end) == [1, 1])
    end.formMaximum(try await fixture.append([Self.event("a", minute: 2, value: 5)]) { 1 })
    #expect(try await Self.sums(service, after: end) == [6, 1])
    let status = try #require(try await service.views().first)
    #expect(status.partitions.reduce(0) { $0 + $1.applied } == 3)
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("at the ends of the range of times every event is in a row or listed as late", arguments: WindowTests.Kind.allCases)
  func ends(kind: WindowTests.Kind) async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let yaml = """
      views:
        v:
          key: [source]
          window: \(kind.rawValue)
          aggregates: { n: count(), total: sum(data.value) }
      """
    var service = try await fixture.start(yaml, workers: 1, memoryBytesMax: 1 << 20, clockAheadMax: .seconds(Int64.max))
    let times: [Int64] = [
      .min, .min + 1, .min, .min + 47 * WindowTests.second, .min + 70 * WindowTests.second, .min, 0,
      .max - 90 * WindowTests.second, .max - 1, .max, .max, .max - 1,
      .max - 200 * WindowTests.second, 0, .min,
    ]
    let events = (times + times.reversed()).map { time in
      Event(source: "a", type: "t", time: Timestamp(nanoseconds: time), data: ["value": .int(1)])
    }
    // Some of it before a restart: what is at the first of times is put back.
    var end = try await fixture.append(Array(events.prefix(2))) { 3 }
    _ = try await service.read(ViewReadRequest(view: "v", after: end, timeout: .seconds(60)))
    await service.shutDown()
    service = try await fixture.start(yaml, workers: 1, memoryBytesMax: 1 << 20, clockAheadMax: .seconds(Int64.max))
    end.formMaximum(try await fixture.append(Array(events.dropFirst(2))) { 3 })
    let window: PlainView.Window =
      switch kind {
      case .tumble: .tumble(60 * WindowTests.second)
      case .hop: .hop(size: 60 * WindowTests.second, every: 20 * WindowTests.second)
      case .unevenHop: .hop(size: 50 * WindowTests.second, every: 20 * WindowTests.second)
      case .session: .session(gap: 15 * WindowTests.second)
      }
    let plain = PlainView(
      name: "v", window: window, keys: ["source"], delay: 0, lateness: 0, retention: nil, isFiltered: false)
    let expected = plain.outcome(of: [PartitionID(0): events])
    let result = try await service.read(ViewReadRequest(view: "v", after: end, timeout: .seconds(60)))
    let rows = result.rows.merged(for: result.definition)
    #expect(rows.windowStarts == expected.rows.map(\.start) && rows.windowEnds == expected.rows.map(\.end))
    let status = try #require(try await service.views().first).partitions
    #expect(status.reduce(0) { $0 + $1.applied } == expected.applied && status.reduce(0) { $0 + $1.late } == expected.late.count)
    let late = try await service.late(LateReadRequest(view: "v", limit: 1000))
    #expect(late.events.map(\.time.nanoseconds) == expected.late.map(\.time))
    #expect(late.events.map(\.windowStart.nanoseconds) == expected.late.map(\.windowStart))
    #expect(late.events.count + status.reduce(0) { $0 + $1.applied } == events.count)
    await service.shutDown()
    try await fixture.remove()
  }
}
