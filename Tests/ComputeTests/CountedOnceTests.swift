import Events
import Foundation
import SQLite
import Testing
import Views

@testable import Compute

/// Each event is in one row, and what says otherwise is seen.
@Suite("Counted once")
struct CountedOnceTests {
  private static let keys = 2000

  private static func views(_ aggregates: String = "{ n: count() }") -> String {
    """
    views:
      first:
        key: [source]
        window: { session: {gap: 10s} }
        allowed_lateness: 1d
        aggregates: \(aggregates)
      second:
        key: [source]
        window: { session: {gap: 20s} }
        allowed_lateness: 1d
        aggregates: { n: count() }
      third:
        key: [source]
        window: { tumble: 1h }
        allowed_lateness: 1d
        aggregates: { n: count() }
    """
  }

  /// One event of each key, then the next of each, 5 s later: sessions that grow long after memory has let go of them.
  private static func events(_ round: Int) -> [Event] {
    (0..<keys).map { key in
      Event(
        source: "device/\(key)", type: "t",
        time: Timestamp(nanoseconds: WindowTests.start + Int64(round * 5) * WindowTests.second + Int64(key)))
    }
  }

  private static func counted(_ service: ComputeService, _ view: String, after end: OffsetVector) async throws -> Int64 {
    let result = try await service.read(ViewReadRequest(view: view, after: end, timeout: .seconds(120)))
    return (0..<result.rows.count).reduce(0) { sum, row in
      guard case .int(let count) = result.rows.withState(row, { result.definition.layout.value(of: 0, in: $0) }) else {
        return -1
      }
      return sum + count
    }
  }

  private static func tallies(_ service: ComputeService, reached end: OffsetVector) async throws -> [ViewTally] {
    let deadline = ContinuousClock.now + .seconds(60)
    while true {
      let tallies = try await service.tallies()
      let isThere = tallies.allSatisfy { tally in
        end.offsets.allSatisfy { partition, offset in
          tally.partitions.contains { $0.partition == partition && $0.nextOffset >= offset }
        }
      }
      if isThere || ContinuousClock.now > deadline { return tallies }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  @Test("sessions of several views and generations in one file, all beyond memory, hold every event once")
  func several() async throws {
    let fixture = try await ComputeFixture(partitions: 2)
    var service = try await fixture.start(Self.views(), workers: 1, memoryBytesMax: 200_000)
    var end = OffsetVector()
    for round in 0..<4 {
      end.formMaximum(try await fixture.append(Self.events(round)) { 500 })
      for view in ["first", "second", "third"] {
        #expect(try await Self.counted(service, view, after: end) == Int64(Self.keys * (round + 1)), "\(view), round \(round)")
      }
    }
    await service.shutDown()
    // Another definition: two generations of one view lie in the file.
    service = try await fixture.start(Self.views("{ n: count(), last: max(data.x) }"), workers: 1, memoryBytesMax: 200_000)
    end.formMaximum(try await fixture.append(Self.events(4)) { 500 })
    for view in ["first", "second", "third"] {
      #expect(try await Self.counted(service, view, after: end) == Int64(Self.keys * 5), "\(view)")
      #expect(try await service.verify(view, generation: nil, timeout: .seconds(60)).isSame, "\(view)")
    }
    for tally in try await Self.tallies(service, reached: end) {
      #expect(tally.partitions.allSatisfy { $0.isBalanced }, "\(tally)")
      #expect(tally.partitions.reduce(0) { $0 + $1.inRows } == Self.keys * 5, "\(tally)")
    }
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("rows that count events twice do not balance, whichever table they are in", arguments: ["session", "block"])
  func tampered(table: String) async throws {
    let fixture = try await ComputeFixture(partitions: 2)
    var service = try await fixture.start(Self.views(), workers: 1)
    let end = try await fixture.append(Self.events(0)) { 500 }
    _ = try await Self.counted(service, "first", after: end)
    await service.shutDown()
    let db = try SQLiteConnection(path: fixture.directory + "/compute/0/state.sqlite")
    if table == "block" {
      try TamperedRows.double(db)
    } else {
      try db.run(
        """
        INSERT INTO session SELECT view, partition, window_start - 7200000000000, key, window_end - 7200000000000, events, state
        FROM session LIMIT 3
        """)
    }
    service = try await fixture.start(Self.views(), workers: 1)
    let tallies = try await service.tallies()
    #expect(tallies.flatMap(\.partitions).contains { !$0.isBalanced && $0.inRows > $0.applied }, "\(tallies)")
    #expect(
      tallies.filter { $0.view == (table == "block" ? "first" : "third") }.flatMap(\.partitions).allSatisfy { $0.isBalanced })
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("a row that should go and is not there fails the checkpoint, loudly")
  func deleteOfNothing() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let service = try await fixture.start(Self.views(), workers: 1)
    let end = try await fixture.append(Self.events(0)) { 500 }
    _ = try await Self.counted(service, "first", after: end)
    _ = try await Self.tallies(service, reached: end)
    try SQLiteConnection(path: fixture.directory + "/compute/0/state.sqlite").run("DELETE FROM session")
    _ = try await fixture.append(Self.events(1)) { 500 }
    let deadline = ContinuousClock.now + .seconds(60)
    while await service.problem() == nil, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(5)) }
    let problem = await service.problem() ?? ""
    #expect(problem.contains("does not have a row of partition 0 that it should"), "\(problem)")
    await service.shutDown()
    try await fixture.remove()
  }
}
