import Aggregates
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
  static let views = ComputeServiceTests.views
  static let wider = views.replacing("tumble: 1h", with: "tumble: 2h")
  private static let lenient = views.replacing("allowed_lateness: 1m", with: "allowed_lateness: 10d")

  static func catalog(_ yaml: String) throws -> ViewCatalog { try ViewCatalog(yaml: yaml, file: "test.yaml") }

  /// Waits until a generation is in a state.
  static func wait(_ service: ComputeService, _ view: String, _ generation: Int, until state: GenerationState) async throws {
    let end = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < end {
      if try await service.generations(of: view).first(where: { $0.generation == generation })?.state == state { return }
      try await Task.sleep(for: .milliseconds(2))
    }
    Issue.record("generation \(generation) of \(view) is not \(state) after 30 s: \(try await service.generations(of: view))")
  }

  static func states(_ service: ComputeService, _ view: String) async throws -> [GenerationState] {
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

  @Test("a kept state that was tampered with is found, with the first row that differs")
  func tampered() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 16, count: 1000)) { 50 }
    var service = try await fixture.start(Self.views, workers: 1)
    _ = try await fixture.rows(service, "readings", after: end)
    await service.shutDown()
    do {
      let db = try SQLiteConnection(path: fixture.directory + "/compute/0/state.sqlite")
      let catalog = try ViewCatalog(yaml: Self.views, file: "test.yaml")
      try TamperedRows.remove(db, try #require(catalog["readings"]), row: 3)
    }
    service = try await fixture.start(Self.views, workers: 1)
    let report = try await service.verify("readings", generation: nil, timeout: .seconds(30))
    #expect(!report.isSame)
    let difference = try #require(report.difference)
    #expect(difference.kept == nil && difference.replayed != nil)
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("partitions are released and taken while it runs; what is handed over is answered for until it is let go")
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
    // A lease that is not certain keeps nobody from reading what is here: the rows are as of their offsets.
    allowed.withLock { _ = $0.remove(PartitionID(2)) }
    #expect(service.ownedPartitions == [PartitionID(0), PartitionID(1)])
    #expect(Set(try await fixture.rows(service, "readings", after: end)) == Set(rows))
    // Handed over, it is counted and answered for until it is let go.
    await service.handOver([PartitionID(1)])
    #expect(service.ownedPartitions == [PartitionID(0)])
    let later = try await fixture.append(ComputeServiceTests.readings(seed: 18, count: 200)) { 40 }
    let all = try await service.read(ViewReadRequest(view: "readings", after: later))
    #expect(all.asOf.reaches(later) && all.missing.isEmpty)
    await service.release([PartitionID(1)])
    #expect(try await service.read(ViewReadRequest(view: "readings", allowsPartial: true)).missing == [PartitionID(1)])
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

  @Test(
    "whatever is done to a view, in any order, exactly one generation is live unless it is removed, and at most one previous; the record says all of it",
    arguments: 0..<50)
  func stateMachine(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let catalogs = try [Self.views, Self.wider, Self.lenient].map { try Self.catalog($0) }
    var table = GenerationTable()
    // The table that a reader of the record makes.
    var read = GenerationTable()
    var isEnded: Set<String> = []
    for step in 0..<200 {
      let view = ["readings", "all"].randomElement(using: &random) ?? ""
      let time = Timestamp(nanoseconds: Int64(step))
      let before = table
      if step == 0 {
        _ = try table.load(catalogs[0], hold: false, at: time)
      } else {
        try Self.change(&table, view, catalogs, time, &random)
      }
      let entry = ViewsEntry(at: time, events: before.events(to: table))
      let again = try #require(ViewsEntry(parsing: entry.bytes), "seed \(seed), step \(step)")
      #expect(again == entry)
      for event in again.events { read.apply(event) }
      #expect(Set(read.records) == Set(table.records) && read.removed.keys == table.removed.keys, "seed \(seed), step \(step)")
      #expect(read.configured == table.configured && read.declared == table.declared, "seed \(seed), step \(step)")
      for view in ["readings", "all"] {
        let records = table.of(view)
        if before.removed[view] != nil, table.removed[view] == nil, records.isEmpty { isEnded.insert(view) }
        if !records.isEmpty { isEnded.remove(view) }
        let isThere = table.removed[view] == nil && !isEnded.contains(view)
        #expect(records.count(where: { $0.state == .live }) == (isThere ? 1 : 0), "seed \(seed), step \(step)")
        #expect(records.count(where: { $0.state == .previous }) <= 1, "seed \(seed), step \(step)")
        #expect(Set(records.map(\.number)).count == records.count, "seed \(seed), step \(step)")
        #expect(records.count(where: \.state.isKept) <= GenerationTable.keptMax, "seed \(seed), step \(step)")
      }
    }
    #expect(GenerationTable(text: table.text) == table, "seed \(seed)")
  }

  /// One change of a table; a refusal leaves it as it was.
  private static func change(
    _ table: inout GenerationTable, _ view: String, _ catalogs: [ViewCatalog], _ time: Timestamp, _ random: inout SeededGenerator
  ) throws {
    let number = Int.random(in: 1...12, using: &random)
    var changed = table
    do throws(ViewStoreError) {
      switch Int.random(in: 0..<10, using: &random) {
      case 0: _ = try changed.load(catalogs[Int.random(in: 0..<3, using: &random)], hold: Bool.random(using: &random), at: time)
      case 1:
        for definition in catalogs[Int.random(in: 0..<3, using: &random)].views {
          _ = try changed.apply(definition, hold: Bool.random(using: &random), at: time)
        }
      case 2: _ = try changed.promote(view, Bool.random(using: &random) ? number : nil)
      case 3: _ = try changed.rollback(view)
      case 4: _ = try changed.drop(view, number)
      case 5:
        _ = try changed.replay(
          catalogs[0].views[0], from: OffsetVector(), to: Bool.random(using: &random) ? OffsetVector() : nil,
          times: EventTimeBounds(from: Bool.random(using: &random) ? 5 : nil), promotes: false, at: time)
      case 6: changed.movedOn([PartitionID(Int.random(in: 0..<3, using: &random))])
      case 7:
        _ = try changed.remove(
          view, purgeAt: Timestamp(nanoseconds: time.nanoseconds + Int64.random(in: 0...20, using: &random)), at: time)
      case 8: changed.purge(at: time)
      default:
        changed.caughtUp(
          GenerationID(view: view, number: number), [PartitionID(Int.random(in: 0..<3, using: &random))],
          of: Int.random(in: 1...3, using: &random))
      }
      table = changed
    } catch {
      // Refused.
    }
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
