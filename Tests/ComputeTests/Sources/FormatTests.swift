import Compute
import Events
import Foundation
import SQLite
import Testing
import Views

@Suite("State files of format 4")
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

  @Test("a state file of the format before goes on with its rows, counts and late events, whose windows had closed")
  func goesOn() async throws {
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
    try Self.makeEarlier(path)
    service = try await fixture.start(Self.views, workers: 1)
    #expect(!FileManager.default.fileExists(atPath: path + ".old"))
    let counted = try await service.views().map { $0.partitions.reduce(0) { $0 + $1.nextOffset.rawValue } }
    #expect(counted == [600, 600], "nothing is read again")
    #expect(try await fixture.rows(service, "tumbled", after: end) == before[0])
    #expect(try await fixture.rows(service, "visits", after: end) == before[1])
    let kept = try await service.late(LateReadRequest(view: "tumbled", limit: 1000)).events
    #expect(kept == late && kept.allSatisfy { $0.reason == .windowClosed })
    end.formMaximum(try await fixture.append(Array(events.dropFirst(600))) { 50 })
    _ = try await fixture.rows(service, "tumbled", after: end)
    for view in ["tumbled", "visits"] { #expect(try await service.verify(view, generation: nil, timeout: .seconds(60)).isSame) }
    #expect(try await service.tallies().allSatisfy { $0.partitions.allSatisfy { $0.isBalanced } })
    await service.shutDown()
    try await fixture.remove()
  }

  /// Makes a file what format 4 was, with that format's own statements.
  private static func makeEarlier(_ path: String) throws {
    let db = try SQLiteConnection(path: path)
    let progress =
      "view, partition, first_offset, next_offset, event_time_max, last_append_time, applied, filtered, late, where_errors, "
      + "argument_errors, late_listed, dropped_end, dropped_events"
    try db.execute(
      """
      BEGIN;
      ALTER TABLE progress RENAME TO present_progress;
      ALTER TABLE late RENAME TO present_late;
      CREATE TABLE progress (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        event_time_max INTEGER, last_append_time INTEGER, applied INTEGER NOT NULL, filtered INTEGER NOT NULL,
        late INTEGER NOT NULL, where_errors INTEGER NOT NULL, argument_errors INTEGER NOT NULL, late_listed INTEGER NOT NULL,
        dropped_end INTEGER, dropped_events INTEGER NOT NULL,
        PRIMARY KEY (view, partition)) WITHOUT ROWID;
      CREATE TABLE late (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, events INTEGER NOT NULL,
        block BLOB NOT NULL, PRIMARY KEY (view, partition, first_offset)) WITHOUT ROWID;
      INSERT INTO progress SELECT \(progress) FROM present_progress;
      INSERT INTO late SELECT view, partition, first_offset, events, block FROM present_late;
      DROP TABLE present_progress; DROP TABLE present_late; DROP TABLE clock; DROP TABLE source;
      UPDATE meta SET value = 4 WHERE name = 'format';
      COMMIT;
      """)
  }
}
