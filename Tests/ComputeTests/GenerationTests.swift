import Events
import Foundation
import Log
import SQLite
import Synchronization
import TestSupport
import Testing
import Views

@testable import Compute

/// Generations of views: built beside the live one, swapped, rolled back, compared, verified.
@Suite("Generations")
struct GenerationTests {
  private static let views = ComputeServiceTests.views
  private static let wider = views.replacing("tumble: 1h", with: "tumble: 2h")
  private static let lenient = views.replacing("allowed_lateness: 1m", with: "allowed_lateness: 10d")

  private static func catalog(_ yaml: String) throws -> ViewCatalog { try ViewCatalog(yaml: yaml, file: "test.yaml") }

  /// Waits until a generation is in a state.
  static func wait(_ service: ComputeService, _ view: String, _ generation: Int, until state: GenerationState) async throws {
    let end = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < end {
      if try await service.generations(of: view).first(where: { $0.generation == generation })?.state == state { return }
      try await Task.sleep(for: .milliseconds(2))
    }
    Issue.record("generation \(generation) of \(view) is not \(state) after 30 s: \(try await service.generations(of: view))")
  }

  private static func states(_ service: ComputeService, _ view: String) async throws -> [GenerationState] {
    try await service.generations(of: view).map(\.state)
  }

  @Test("a changed definition builds beside the live one and takes over; a rollback is at once, and holds over a restart")
  func takeOver() async throws {
    let fixture = try await ComputeFixture()
    let events = ComputeServiceTests.readings(seed: 11, count: 3000)
    let end = try await fixture.append(events) { 50 }
    var service = try await fixture.start(Self.views)
    let before = try await fixture.rows(service, "all", after: end)
    let applied = try await service.apply(try Self.catalog(Self.wider), hold: false)
    #expect(applied.map(\.action) == [.unchanged, .building])
    try await Self.wait(service, "all", 2, until: .live)
    #expect(try await Self.states(service, "all") == [.previous, .live])
    let after = try await fixture.rows(service, "all", after: end)
    #expect(after.allSatisfy { $0.windowStart % (2 * 60 * ComputeServiceTests.minute) == 0 } && after.count < before.count)
    // The previous one counts along.
    let more = try await fixture.append(ComputeServiceTests.readings(seed: 12, count: 100)) { 10 }
    _ = try await fixture.rows(service, "all", after: more)
    #expect(try await service.rollback("all").generation == 1)
    #expect(try await Self.states(service, "all") == [.live, .previous])
    let status = try #require(try await service.views().first { $0.definition.name == "all" })
    #expect(status.generation == 1 && status.offsets.reaches(more))
    await service.shutDown()
    // The file says what it said before: a definition that was rolled back does not come again.
    service = try await fixture.start(Self.views, workers: 3)
    #expect(try await Self.states(service, "all") == [.live, .previous])
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("held generations wait; the gates of a promotion compare both as of the same offsets")
  func gates() async throws {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 13, count: 2000)) { 40 }
    let service = try await fixture.start(Self.views)
    _ = try await fixture.rows(service, "readings", after: end)
    _ = try await service.apply(try Self.catalog(Self.lenient), hold: true)
    try await Self.wait(service, "readings", 2, until: .held)
    let pair = try await service.pinned(PinnedRequest(view: "readings", first: 1, second: 2))
    #expect(pair.first.asOf == pair.second.asOf && pair.first.asOf.reaches(end))
    let differences = RowDifferences(pair, rowsMax: 10_000)
    #expect(differences.count == differences.rows.count && differences.count > 1)
    #expect(differences.gone == 0, "a longer lateness loses no row")
    for row in differences.rows where row.kind == .changed { #expect(row.first != row.second && row.first != nil) }
    for gate in [0, differences.count - 1] {
      await #expect(
        performing: {
          try await service.promote(PromoteRequest(view: "readings", generation: 2, changesMax: gate))
        },
        throws: { error in
          guard case .refused("generations_differ", _)? = error as? ViewStoreError else { return false }
          return true
        })
    }
    #expect(try await Self.states(service, "readings") == [.live, .held])
    #expect(try await service.promote(PromoteRequest(view: "readings", changesMax: differences.count)).state == .live)
    #expect(try await Self.states(service, "readings") == [.previous, .live])
    // A replay of the same definition is the same, whatever it read beside.
    #expect(try await service.replay(ReplayRequest(view: "readings")).generation == 3)
    try await Self.wait(service, "readings", 3, until: .held)
    #expect(try await service.promote(PromoteRequest(view: "readings", changesMax: 0)).generation == 3)
    #expect(try await Self.states(service, "readings") == [.dropped, .previous, .live])
    #expect(try await service.drop("readings", generation: 2).state == .dropped)
    await #expect(throws: ViewStoreError.self) { try await service.rollback("readings") }
    await #expect(throws: ViewStoreError.self) { try await service.drop("readings", generation: 3) }
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("a replay with a longer lateness counts what was late")
  func lateness() async throws {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 14, count: 2000)) { 40 }
    let service = try await fixture.start(Self.views)
    _ = try await fixture.rows(service, "readings", after: end)
    func late() async throws -> Int {
      try await service.views().first { $0.definition.name == "readings" }?.partitions.reduce(0) { $0 + $1.late } ?? -1
    }
    #expect(try await late() > 0)
    _ = try await service.replay(
      ReplayRequest(view: "readings", promotes: true, allowedLateness: 10 * 86_400_000_000_000))
    try await Self.wait(service, "readings", 2, until: .live)
    #expect(try await late() == 0)
    await service.shutDown()
    try await fixture.remove()
  }

  @Test(
    "the state hash is the same for every batch size, worker count and restart, in replays and in the live view", arguments: 0..<4
  )
  func metamorphic(seed: UInt64) async throws {
    let events = ComputeServiceTests.readings(seed: seed &+ 100, count: 2500)
    var first: [StateHash]?
    for variant in 0..<3 {
      var random = SeededGenerator(seed: seed &* 17 &+ UInt64(variant))
      let fixture = try await ComputeFixture()
      // The same order in each partition, in other batches.
      let end = try await fixture.append(events) { Int.random(in: 1...300, using: &random) }
      var service = try await fixture.start(
        Self.views, workers: 1 + variant, changedRowsMax: Int.random(in: 5...500, using: &random))
      _ = try await service.replay(ReplayRequest(view: "readings"))
      // Wherever the replay is, it goes on from its own checkpoint.
      for _ in 0..<variant {
        await service.shutDown()
        service = try await fixture.start(Self.views, workers: Int.random(in: 1...4, using: &random))
      }
      try await Self.wait(service, "readings", 2, until: .held)
      _ = try await fixture.rows(service, "readings", after: end)
      for generation in [1, 2] {
        let report = try await service.verify("readings", generation: generation, timeout: .seconds(60))
        #expect(report.isSame && report.difference == nil && report.partitions.count == 3, "seed \(seed), variant \(variant)")
        let hashes = report.partitions.map(\.kept)
        if let first { #expect(hashes == first, "seed \(seed), variant \(variant)") } else { first = hashes }
      }
      await service.shutDown()
      try await fixture.remove()
    }
  }

  @Test("a bounded replay ends where it is told, in the midst of a batch, and equals the past state there")
  func bounded() async throws {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 15, count: 1500)) { 70 }
    let service = try await fixture.start(Self.views)
    let present = try await fixture.rows(service, "readings", after: end)
    let middle = OffsetVector(end.offsets.mapValues { Offset($0.rawValue / 2 + 1) })
    let replay = try await service.replay(ReplayRequest(view: "readings", to: .offsets(middle)))
    try await Self.wait(service, "readings", replay.generation, until: .complete)
    let bounded = try await service.read(ViewReadRequest(view: "readings", generation: 2))
    #expect(bounded.asOf == middle)
    let past = try await service.read(ViewReadRequest(view: "readings", asOf: middle))
    #expect(past.asOf == middle)
    #expect(StateHash(past.rows) == StateHash(bounded.rows) && past.rows.count > 0)
    let pair = try await service.pinned(PinnedRequest(view: "readings", first: 1, second: 2))
    #expect(pair.first.asOf == middle && RowDifferences(pair, rowsMax: 10).isSame)
    #expect(
      StateHash(try await service.read(ViewReadRequest(view: "readings", asOf: end)).rows)
        == StateHash(try await service.read(ViewReadRequest(view: "readings")).rows))
    #expect(present.count > past.rows.count)
    await #expect(throws: ViewStoreError.self) {
      try await service.promote(PromoteRequest(view: "readings", generation: 2))
    }
    await #expect(throws: ViewStoreError.self) {
      try await service.read(ViewReadRequest(view: "readings", asOf: OffsetVector([PartitionID(0): Offset(1_000_000)])))
    }
    let estimate = try await service.estimate(ReplayRequest(view: "readings", from: .offsets(middle)))
    #expect(estimate.events == end.offsets.keys.reduce(0) { $0 + (middle[$1] ?? .zero).distance(to: end[$1] ?? .zero) })
    #expect(estimate.eventsPerSecond ?? 0 > 0)
    await service.shutDown()
    try await fixture.remove()
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
        service = try await fixture.start(Self.views.replacing("allowed_lateness: 1d", with: "allowed_lateness: 400d"), workers: 3)
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

  @Test("a kept state that was tampered with is found, with the first row that differs")
  func tampered() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 16, count: 1000)) { 50 }
    var service = try await fixture.start(Self.views, workers: 1)
    _ = try await fixture.rows(service, "readings", after: end)
    await service.shutDown()
    do {
      let db = try SQLiteConnection(path: fixture.directory + "/compute/0/state.sqlite")
      try db.run(
        """
        DELETE FROM state WHERE (view, window_start, key) IN
          (SELECT view, window_start, key FROM state WHERE view = (SELECT id FROM view WHERE name = 'readings')
           ORDER BY window_start, key LIMIT 1 OFFSET 3)
        """)
      #expect(db.changes == 1)
    }
    service = try await fixture.start(Self.views, workers: 1)
    let report = try await service.verify("readings", generation: nil, timeout: .seconds(30))
    #expect(!report.isSame)
    let difference = try #require(report.difference)
    #expect(difference.kept == nil && difference.replayed != nil)
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("partitions are released and taken while it runs; who does not own them all says which are missing")
  func ownership() async throws {
    let fixture = try await ComputeFixture()
    let allowed = Mutex<Set<PartitionID>>([PartitionID(0), PartitionID(1), PartitionID(2)])
    let configuration = ComputeConfiguration(
      directory: fixture.directory + "/compute", workers: 2, checkpointInterval: .milliseconds(5))
    let service = try await ComputeService(
      configuration: configuration, catalog: try Self.catalog(Self.views), log: fixture.log,
      fence: PartitionFence { partition in allowed.withLock { $0.contains(partition) } }, logger: ComputeFixture.logger)
    service.start()
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 17, count: 800)) { 40 }
    let rows = try await fixture.rows(service, "readings", after: end)
    await service.release([PartitionID(1)])
    await #expect(throws: ViewStoreError.missingPartitions([PartitionID(1)])) {
      try await service.read(ViewReadRequest(view: "readings"))
    }
    let rest = try await service.read(ViewReadRequest(view: "readings", partitions: [PartitionID(0), PartitionID(2)]))
    #expect(rest.asOf.offsets.keys.sorted() == [PartitionID(0), PartitionID(2)])
    try await service.own([PartitionID(1)])
    #expect(Set(try await fixture.rows(service, "readings", after: end)) == Set(rows))
    allowed.withLock { _ = $0.remove(PartitionID(2)) }
    await #expect(throws: ViewStoreError.missingPartitions([PartitionID(2)])) {
      try await service.read(ViewReadRequest(view: "readings"))
    }
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("what the log must keep is what some generation has not checkpointed")
  func needed() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 18, count: 500)) { 50 }
    let service = try await fixture.start(Self.views)
    _ = try await fixture.rows(service, "readings", after: end)
    let deadline = ContinuousClock.now + .seconds(10)
    while await service.neededOffsets() != end, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(2)) }
    #expect(await service.neededOffsets() == end)
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("whatever is done to a view, in any order, exactly one generation is live and at most one previous", arguments: 0..<50)
  func stateMachine(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let catalogs = try [Self.views, Self.wider, Self.lenient].map { try Self.catalog($0) }
    var table = GenerationTable()
    _ = try table.load(catalogs[0], hold: false, at: Timestamp(nanoseconds: 0))
    for step in 0..<200 {
      let view = ["readings", "all"].randomElement(using: &random) ?? ""
      let number = Int.random(in: 1...12, using: &random)
      let time = Timestamp(nanoseconds: Int64(step))
      do throws(ViewStoreError) {
        switch Int.random(in: 0..<8, using: &random) {
        case 0: _ = try table.load(catalogs[Int.random(in: 0..<3, using: &random)], hold: Bool.random(using: &random), at: time)
        case 1:
          for definition in catalogs[Int.random(in: 0..<3, using: &random)].views {
            _ = try table.apply(definition, hold: Bool.random(using: &random), at: time)
          }
        case 2: _ = try table.promote(view, Bool.random(using: &random) ? number : nil)
        case 3: _ = try table.rollback(view)
        case 4: _ = try table.drop(view, number)
        case 5:
          _ = try table.replay(
            catalogs[0].views[0], from: OffsetVector(), to: Bool.random(using: &random) ? OffsetVector() : nil,
            promotes: false, at: time)
        case 6: table.movedOn([PartitionID(Int.random(in: 0..<3, using: &random))])
        default:
          table.caughtUp(
            GenerationID(view: view, number: number), [PartitionID(Int.random(in: 0..<3, using: &random))],
            of: Int.random(in: 1...3, using: &random))
        }
      } catch {
        // Refusals leave the table whole; what follows checks that.
      }
      for view in ["readings", "all"] {
        let records = table.of(view)
        #expect(records.count(where: { $0.state == .live }) == 1, "seed \(seed), step \(step)")
        #expect(records.count(where: { $0.state == .previous }) <= 1, "seed \(seed), step \(step)")
        #expect(Set(records.map(\.number)).count == records.count, "seed \(seed), step \(step)")
        #expect(records.count(where: \.state.isKept) <= GenerationTable.keptMax, "seed \(seed), step \(step)")
      }
    }
    // What instances share says the same to each.
    #expect(GenerationTable(text: table.text) == table, "seed \(seed)")
  }

  @Test("applying what was asked for last changes nothing: neither a promoted replay nor a rollback is undone, held or not, now or after a restart")
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
    service = try await fixture.start(Self.views.replacing("    allowed_lateness: 1m\n", with: "    allowed_lateness: 1m\n    retention: 500d\n"))
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

  @Test("a kept view that does not read is set aside; the others start, and what an earlier version wrote with control characters is read")
  func setAside() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 24, count: 200)) { 40 }
    let service = try await fixture.start(Self.views)
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
        (0, "all", try Self.catalog(Self.views).views[1].yaml), (1, "bad", #"{"views":{"bad":{"where":"no such(",\#(settings)}}}"#),
        (2, "del", "{\"views\":{\"del\":{\"where\":\"data.a == 'x\u{7F}\u{85}y'\",\(settings)}}}"),
      ] {
        try db.run("INSERT INTO generation VALUES (?, ?, 1, ?, 'live', 0, '{}', NULL, 0)", position, view, text)
      }
    }
    let again = try await fixture.start(Self.views)
    #expect(Set(try await again.views().map(\.definition.name)) == ["readings", "all", "del"])
    #expect(try await fixture.rows(again, "all", after: end) == rows)
    let del = try #require(try await again.views().first { $0.definition.name == "del" })
    #expect(del.definition.filter?.canonicalText == "data.a == \"x\\u007f\u{85}y\"")
    await again.shutDown()
    try await fixture.remove()
  }

  @Test("a definition's text reads back as the same definition")
  func text() throws {
    for yaml in [Self.views, Self.wider] {
      let catalog = try Self.catalog(yaml)
      let again = try Self.catalog(catalog.yaml)
      #expect(again.views == catalog.views)
      #expect(again.views.map(\.generationHash) == catalog.views.map(\.generationHash))
    }
  }
}
