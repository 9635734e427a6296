import Events
import Foundation
import SQLite
import Testing
import Views

@testable import Compute

@Suite("State files of earlier formats")
struct FormatTests {
  private static let views = """
    views:
      tumbled:
        key: [source]
        window: { tumble: 1m }
        watermark: partition
        watermark_delay: 10s
        allowed_lateness: 20s
        aggregates: { n: count(), total: sum(data.x) }
      visits:
        key: [source]
        window: { session: {gap: 15s} }
        watermark: partition
        watermark_delay: 10s
        aggregates: { n: count() }
    """

  @Test("a state file of an earlier format goes on with its rows, counts and late events", arguments: [4, 5])
  func goesOn(format: Int) async throws {
    let fixture = try await ComputeFixture(partitions: 2)
    let events = WindowTests.events(seed: 9, count: 900)
    var end = try await fixture.append(Array(events.prefix(600))) { 50 }
    var service = try await fixture.start(Self.views, workers: 1)
    let before = [
      try await fixture.rows(service, "tumbled", after: end), try await fixture.rows(service, "visits", after: end),
    ]
    let late = try await service.late(LateReadRequest(view: "tumbled", limit: 1000)).events
    #expect(!late.isEmpty, "the events have some")
    await service.shutDown()
    let path = fixture.directory + "/compute/0/state.sqlite"
    try format == 4 ? EarlierFile.makeFormat4(path, Self.views) : EarlierFile.makeFormat5(path, Self.views)
    service = try await fixture.start(Self.views, workers: 1)
    #expect(!FileManager.default.fileExists(atPath: path + ".old"))
    let counted = try await service.views().map { $0.partitions.reduce(0) { $0 + $1.nextOffset.rawValue } }
    #expect(counted == [600, 600], "nothing is read again")
    #expect(try await fixture.rows(service, "tumbled", after: end) == before[0])
    #expect(try await fixture.rows(service, "visits", after: end) == before[1])
    let kept = try await service.late(LateReadRequest(view: "tumbled", limit: 1000)).events
    #expect(kept == late && kept.allSatisfy { $0.reason == .windowClosed })
    let tables = try SQLiteConnection(path: path).rows("SELECT name FROM sqlite_master WHERE type = 'table'") { $0.text(0) }
    #expect(!tables.contains("state") && !tables.contains("source") && !tables.contains(EarlierRows.table), "\(tables)")
    end.formMaximum(try await fixture.append(Array(events.dropFirst(600))) { 50 })
    _ = try await fixture.rows(service, "tumbled", after: end)
    for view in ["tumbled", "visits"] { #expect(try await service.verify(view, generation: nil, timeout: .seconds(60)).isSame) }
    #expect(try await service.tallies().allSatisfy { $0.partitions.allSatisfy { $0.isBalanced } })
    await service.shutDown()
    try await fixture.remove()
  }
}
