import Aggregates
import Events
import Log
import SQLite
import TestSupport
import Testing
import Views

@testable import Compute

/// Views follow the definitions last asked for, by the file of views, by `apply`, by replays between times; now and
/// after a restart.
@Suite("Declared views")
struct DeclarationTests {
  private static let views = GenerationTests.views
  private static let wider = GenerationTests.wider

  private static func catalog(_ yaml: String) throws -> ViewCatalog { try GenerationTests.catalog(yaml) }

  private static func states(_ service: ComputeService, _ view: String) async throws -> [GenerationState] {
    try await GenerationTests.states(service, view)
  }

  private static func wait(_ service: ComputeService, _ view: String, _ generation: Int, until state: GenerationState)
    async throws
  {
    try await GenerationTests.wait(service, view, generation, until: state)
  }

  @Test(
    "a replay from and to times counts exactly the events of these times, wherever they lie in the log, and accounts for the others",
    arguments: [31, 32, 33] as [UInt64])
  func boundedByTime(seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let fixture = try await ComputeFixture()
    // No order of times at all: a later event lies before an earlier one as often as behind it.
    let events = ComputeServiceTests.readings(seed: seed, count: 2000).shuffled(using: &random)
    let end = try await fixture.append(events) { Int.random(in: 1...90, using: &random) }
    var service = try await fixture.start(Self.views.replacing("allowed_lateness: 1d", with: "allowed_lateness: 400d"))
    _ = try await fixture.rows(service, "all", after: end)
    let times = events.map(\.time.nanoseconds).sorted()
    let (from, to) = (times[times.count / 4], times[times.count * 2 / 3])
    var generation = 1
    for (first, last) in [(nil, to), (from, to), (from, nil), (to, to), (nil, times[0])] as [(Int64?, Int64?)] {
      let replay = try await service.replay(
        ReplayRequest(
          view: "all", from: first.map { .time(Timestamp(nanoseconds: $0)) } ?? .earliest,
          to: last.map { .time(Timestamp(nanoseconds: $0)) }))
      generation = replay.generation
      if Bool.random(using: &random) {
        await service.shutDown()
        service = try await fixture.start(
          Self.views.replacing("allowed_lateness: 1d", with: "allowed_lateness: 400d"), workers: 3)
      }
      try await Self.wait(service, "all", generation, until: last == nil ? .held : .complete)
      let result = try await service.read(ViewReadRequest(view: "all", generation: generation))
      let rows = result.rows.merged(layout: result.definition.layout)
      var counts: [Int64: Int64] = [:]
      for row in 0..<rows.count {
        guard case .int(let n)? = rows.withState(row, { result.definition.layout.values(of: $0) }).first else { continue }
        counts[rows.windowStarts[row]] = n
      }
      var expected: [Int64: Int64] = [:]
      for event in events where event.time.nanoseconds >= first ?? .min && event.time.nanoseconds < last ?? .max {
        expected[WindowDefinition.tumbleStart(of: event.time.nanoseconds, size: 60 * ComputeServiceTests.minute), default: 0] += 1
      }
      if last != nil { #expect(result.asOf == end, "complete is at its end in every partition") }
      #expect(counts == expected, "seed \(seed), \(String(describing: first)) to \(String(describing: last))")
      let status = try #require(try await service.generations(of: "all").first { $0.generation == generation })
      #expect(status.times == EventTimeBounds(from: first, to: last))
      for progress in status.partitions {
        #expect(progress.nextOffset == end[progress.partition])
        #expect(progress.applied + progress.filtered + progress.late == progress.firstOffset.distance(to: progress.nextOffset))
      }
      #expect(status.partitions.reduce(0) { $0 + $1.applied } == Int(expected.values.reduce(0, +)))
      #expect(try await service.verify("all", generation: generation, timeout: .seconds(30)).isSame)
      // As it was at its end, and compared with itself: both are folded by the same bounds.
      let past = try await service.read(ViewReadRequest(view: "all", generation: generation, asOf: result.asOf))
      #expect(StateHash(past.rows) == StateHash(result.rows))
      let early = OffsetVector(result.asOf.offsets.mapValues { Offset($0.rawValue * 3 / 4) })
      let before = try await service.read(ViewReadRequest(view: "all", generation: generation, asOf: early))
      #expect(before.rows.count <= result.rows.count && before.asOf == early)
    }
    await service.shutDown()
    try await fixture.remove()
  }

  @Test(
    "applying what was asked for last changes nothing: neither a promoted replay nor a rollback is undone, held or not, now or after a restart"
  )
  func unchanged() async throws {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 21, count: 2000)) { 40 }
    var service = try await fixture.start(Self.views)
    let strict = try await fixture.rows(service, "readings", after: end)
    _ = try await service.replay(ReplayRequest(view: "readings", promotes: true, allowedLateness: 10 * 86_400_000_000_000))
    try await Self.wait(service, "readings", 2, until: .live)
    let lenient = try await fixture.rows(service, "readings", after: end)
    #expect(lenient != strict)
    for hold in [false, true] {
      let applied = try await service.apply(try Self.catalog(Self.views), hold: hold)
      #expect(applied.map(\.action) == [.unchanged, .unchanged] && applied[0].generation == 2)
      #expect(try await Self.states(service, "readings") == [.previous, .live])
    }
    #expect(try await fixture.rows(service, "readings", after: end) == lenient)
    await service.shutDown()
    // A start reads the file too, and other rows for longer are no other definition.
    service = try await fixture.start(
      Self.views.replacing("    allowed_lateness: 1m\n", with: "    allowed_lateness: 1m\n    retention: 500d\n"))
    #expect(try await fixture.rows(service, "readings", after: end) == lenient)
    #expect(try await Self.states(service, "readings") == [.previous, .live])
    #expect(try await service.rollback("readings").generation == 1)
    #expect(try await service.apply(try Self.catalog(Self.views), hold: false)[0].action == .unchanged)
    #expect(try await fixture.rows(service, "readings", after: end) == strict)
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("a rollback from what the file says lasts over a restart, with the rows and the definition of before")
  func rolledBackFromFile() async throws {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 22, count: 1500)) { 40 }
    var service = try await fixture.start(Self.views)
    let before = try await fixture.rows(service, "all", after: end)
    _ = try await service.reload(try Self.catalog(Self.wider))
    try await Self.wait(service, "all", 2, until: .live)
    #expect(try await service.rollback("all").generation == 1)
    for _ in 0..<2 {
      await service.shutDown()
      service = try await fixture.start(Self.wider)
      #expect(try await Self.states(service, "all") == [.live, .previous])
      #expect(try await fixture.rows(service, "all", after: end) == before)
      #expect(try await service.verify("all", generation: nil, timeout: .seconds(30)).isSame)
    }
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("a definition that is taken back while it builds does not take over")
  func takenBack() throws {
    var table = GenerationTable()
    let (first, second) = (try Self.catalog(Self.views).views[1], try Self.catalog(Self.wider).views[1])
    func apply(_ definition: ViewDefinition) throws -> AppliedView.Action {
      try table.apply(definition, hold: false, at: Timestamp(nanoseconds: 0)).action
    }
    #expect(try [apply(first), apply(second), apply(first)] == [.created, .building, .unchanged])
    table.caughtUp(GenerationID(view: "all", number: 2), [PartitionID(0)], of: 1)
    #expect(table.of("all").map(\.state) == [.live, .held])
    #expect(try [apply(second), apply(second)] == [.promoted, .unchanged])
  }

  @Test("what was held goes live when it is applied again without hold; until then the file as it was changes nothing")
  func heldThenApplied() async throws {
    let fixture = try await ComputeFixture()
    _ = try await fixture.append(ComputeServiceTests.readings(seed: 23, count: 300)) { 40 }
    let service = try await fixture.start(Self.views)
    #expect(try await service.apply(try Self.catalog(Self.wider), hold: true).map(\.action) == [.unchanged, .building])
    try await Self.wait(service, "all", 2, until: .held)
    #expect(try await service.apply(try Self.catalog(Self.wider), hold: true).map(\.action) == [.unchanged, .unchanged])
    #expect(try await Self.states(service, "all") == [.live, .held])
    #expect(try await service.apply(try Self.catalog(Self.wider), hold: false).map(\.action) == [.unchanged, .promoted])
    #expect(try await Self.states(service, "all") == [.previous, .live])
    // The one of before waits as the previous one: a rollback to it stays possible.
    #expect(try await service.apply(try Self.catalog(Self.views), hold: true).map(\.action) == [.unchanged, .held])
    #expect(try await Self.states(service, "all") == [.previous, .live])
    #expect(try await service.apply(try Self.catalog(Self.views), hold: false).map(\.action) == [.unchanged, .promoted])
    #expect(try await Self.states(service, "all") == [.live, .previous])
    await service.shutDown()
    try await fixture.remove()
  }

  @Test(
    "a kept view that does not read is set aside; the others start, and what an earlier version wrote with control characters is read"
  )
  func setAside() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 24, count: 200)) { 40 }
    let service = try await fixture.start(Self.views, record: VolatileViewsRecord())
    let rows = try await fixture.rows(service, "all", after: end)
    await service.shutDown()
    let path = fixture.directory + "/compute/0/state.sqlite"
    do {
      let db = try SQLiteConnection(path: path)
      try db.execute(
        """
        DELETE FROM generations;
        CREATE TABLE generation (
          position INTEGER NOT NULL, view TEXT NOT NULL, number INTEGER NOT NULL, definition TEXT NOT NULL, state TEXT NOT NULL, promotes INTEGER NOT NULL,
          from_offsets TEXT NOT NULL, to_offsets TEXT, created INTEGER NOT NULL, PRIMARY KEY (view, number)) WITHOUT ROWID;
        CREATE TABLE configured (view TEXT PRIMARY KEY, hash TEXT NOT NULL) WITHOUT ROWID;
        """)
      let settings = #""window":{"tumble":"1h"},"aggregates":{"n":"count()"}"#
      for (position, view, text) in [
        (0, "all", try Self.catalog(Self.views).views[1].yaml),
        (1, "bad", #"{"views":{"bad":{"where":"no such(",\#(settings)}}}"#),
        (2, "del", "{\"views\":{\"del\":{\"where\":\"data.a == 'x\u{7F}\u{85}y'\",\(settings)}}}"),
      ] {
        try db.run("INSERT INTO generation VALUES (?, ?, 1, ?, 'live', 0, '{}', NULL, 0)", position, view, text)
      }
    }
    let again = try await fixture.start(Self.views, record: VolatileViewsRecord())
    #expect(Set(try await again.views().map(\.definition.name)) == ["readings", "all", "del"])
    #expect(try await fixture.rows(again, "all", after: end) == rows)
    let del = try #require(try await again.views().first { $0.definition.name == "del" })
    #expect(del.definition.filter?.canonicalText == "data.a == \"x\\u007f\u{85}y\"")
    await again.shutDown()
    try await fixture.remove()
  }
}
