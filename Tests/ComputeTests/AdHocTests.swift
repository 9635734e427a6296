import Compute
import Events
import Expressions
import Log
import TestSupport
import Testing
import Views

/// Readings of value 0, 1, 2, …, a second apart, in order.
private func readings(_ count: Int) -> [Event] {
  (0..<count).map { index in
    Event(
      source: "device/\(index % 5)", type: "reading", time: Timestamp(nanoseconds: Int64(index) * 1_000_000_000),
      data: ["value": .int(Int64(index))])
  }
}

private func definition(lateness: String = "3650d") throws -> ViewDefinition {
  let catalog = try ViewCatalog(
    yaml: """
      views:
        once:
          where: data.value != 7
          key: [source]
          window: { tumble: 1m }
          allowed_lateness: \(lateness)
          aggregates: { n: count(), total: sum(data.value) }
      """, file: "test.yaml")
  return try #require(catalog["once"])
}

private func request(
  _ definition: ViewDefinition, from: Int? = nil, to: Int? = nil, timeout: Duration = .seconds(30), rowsMax: Int = 1000
) -> AdHocRequest {
  func time(_ second: Int?) -> Timestamp? { second.map { Timestamp(nanoseconds: Int64($0) * 1_000_000_000) } }
  return AdHocRequest(definition: definition, from: time(from), to: time(to), timeout: timeout, rowsMax: rowsMax)
}

@Suite("Aggregations computed once") struct AdHocTests {
  @Test("they give what a plain computation gives, for any range and any batches", arguments: 1...4 as ClosedRange<UInt64>)
  func equalsPlain(seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let fixture = try await ComputeFixture()
    let events = readings(500)
    let offsets = try await fixture.append(events) { Int.random(in: 1...40, using: &random) }
    let store = AdHocAggregation(log: fixture.log, threads: 2, ComputeConfiguration(directory: ""))
    for _ in 0..<6 {
      let from: Int? = Bool.random(using: &random) ? Int.random(in: -10..<250, using: &random) : nil
      let to: Int? = Bool.random(using: &random) ? Int.random(in: 250..<600, using: &random) : nil
      let result = try await store.aggregate(request(try definition(), from: from, to: to))
      var expected: [String: (count: Int, total: Int)] = [:]
      for index in events.indices where index >= from ?? .min && index < to ?? .max && index != 7 {
        expected["\(index / 60 * 60) device/\(index % 5)", default: (0, 0)].count += 1
        expected["\(index / 60 * 60) device/\(index % 5)", default: (0, 0)].total += index
      }
      let rows = result.rows.merged(layout: result.definition.layout)
      #expect(rows.count == expected.count, "seed \(seed), \(from.debugDescription) to \(to.debugDescription)")
      for row in 0..<rows.count {
        guard case .string(let source)? = rows.keys(row).first else { continue }
        let values = rows.withState(row) { result.definition.layout.values(of: $0) }
        let its = try #require(expected["\(rows.windowStarts[row] / 1_000_000_000) \(source)"])
        #expect(values == [.int(Int64(its.count)), .double(Double(its.total))], "seed \(seed)")
      }
      #expect(offsets.reaches(result.asOf) && result.asOf.reaches(offsets))
    }
    try await fixture.remove()
  }

  @Test("bounds on time choose events, whatever the length of the condition; events outside make none late")
  func timeBounds() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    // The last one, outside of the bounds, comes in the midst of the others' batch.
    var events = readings(100)
    events.swapAt(50, 99)
    _ = try await fixture.append(events) { 100 }
    let store = AdHocAggregation(log: fixture.log, threads: 1, ComputeConfiguration(directory: ""))
    let condition = "data.value >= 0 && data.other != \"" + String(repeating: "x", count: 4000) + "\""
    let long = ViewDefinition(
      name: "long", filter: try Expression(parsing: "has(data.value) && (!has(data.other) || \(condition))"),
      window: .tumble(size: 1_000_000_000), aggregates: [AggregateColumn(name: "n", function: .countRows)])
    let result = try await store.aggregate(request(long, from: 0, to: 99))
    #expect(result.rows.count == 98, "all of the bounds but the one of second 50, which came last")
    try await fixture.remove()
  }

  @Test("memory, time and a client that leaves end them")
  func bounds() async throws {
    let fixture = try await ComputeFixture()
    _ = try await fixture.append(readings(500)) { 10 }
    let store = AdHocAggregation(log: fixture.log, threads: 2, ComputeConfiguration(directory: ""))
    await #expect(throws: AdHocError.tooLarge(rowsMax: 20)) { try await store.aggregate(request(definition(), rowsMax: 20)) }
    await #expect(throws: AdHocError.timeout) { try await store.aggregate(request(definition(), timeout: .zero)) }
    let left = Task {
      while !Task.isCancelled { await Task.yield() }
      return try await store.aggregate(request(definition()))
    }
    left.cancel()
    await #expect(throws: AdHocError.cancelled) { try await left.value }
    // None of them keeps its place.
    #expect(try await store.aggregate(request(definition())).rows.count == 45)
    try await fixture.remove()
  }
}
