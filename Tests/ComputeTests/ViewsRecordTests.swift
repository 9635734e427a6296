import Aggregates
import Events
import Foundation
import SQLite
import TestSupport
import Testing
import Views

@testable import Compute

/// The record of views, which lies with the log, brings views back; and views end by hand.
@Suite("Views' record and removal")
struct ViewsRecordTests {
  private static let views = ComputeServiceTests.views
  private static let wider = views.replacing("tumble: 1h", with: "tumble: 2h")
  private static let hour: Int64 = 3_600_000_000_000

  private static func catalog(_ yaml: String) throws -> ViewCatalog { try ViewCatalog(yaml: yaml, file: "test.yaml") }

  private static func listing(_ service: ComputeService, _ views: [String]) async throws -> [String] {
    var lines: [String] = []
    for view in views {
      for one in try await service.generations(of: view) {
        lines.append("\(view) \(one.generation) \(one.state.rawValue) \(one.definition.generationHash) \(one.createdAt)")
      }
    }
    return lines
  }

  /// Rows of every kept generation, by the hash of their state.
  private static func hashes(_ service: ComputeService, _ view: String, after: OffsetVector) async throws -> [Int: StateHash] {
    var hashes: [Int: StateHash] = [:]
    for one in try await service.generations(of: view) where one.state.isKept {
      let deadline = ContinuousClock.now + .seconds(60)
      while case let status = try await service.generations(of: view).first(where: { $0.generation == one.generation }),
        status?.eventsDone != status?.eventsTotal
      {
        try #require(ContinuousClock.now < deadline)
        try await Task.sleep(for: .milliseconds(2))
      }
      hashes[one.generation] = StateHash(try await service.read(ViewReadRequest(view: view, generation: one.generation)).rows)
    }
    return hashes
  }

  @Test("the log's folder alone brings back definitions, generations, which is live, and what was removed")
  func logAlone() async throws {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 41, count: 1500)) { 40 }
    let before = try await fixture.start(Self.views)
    let applied = Self.views.replacing("  all:", with: "  applied:").replacing("  readings:", with: "  gone:")
    _ = try await before.apply(try Self.catalog(applied), hold: false)
    _ = try await before.apply(try Self.catalog(Self.wider), hold: false)
    try await GenerationTests.wait(before, "all", 2, until: .live)
    _ = try await before.replay(ReplayRequest(view: "readings", promotes: true, allowedLateness: 10 * 24 * Self.hour))
    try await GenerationTests.wait(before, "readings", 2, until: .live)
    _ = try await before.rollback("all")
    _ = try await before.replay(
      ReplayRequest(view: "applied", to: .time(Timestamp(nanoseconds: 1_700_000_000_000_000_000 + Self.hour / 6))))
    try await GenerationTests.wait(before, "applied", 2, until: .complete)
    _ = try await before.remove("gone", purgeAfter: Self.hour)
    for view in ["readings", "all", "applied"] { _ = try await fixture.rows(before, view, after: end) }
    let views = ["readings", "all", "applied"]
    let (listing, live) = (
      try await Self.listing(before, views), try await before.views().map { "\($0.definition.name) \($0.generation)" }
    )
    var hashes: [[Int: StateHash]] = []
    for view in views { hashes.append(try await Self.hashes(before, view, after: end)) }
    await before.shutDown()

    // Another folder: nothing of what compute has kept is there. The file of views is the one of before.
    for (folder, workers) in [("restored", 2), ("restored", 3), ("again", 1)] {
      let after = try await fixture.start(Self.views, workers: workers, folder: folder)
      #expect(try await Self.listing(after, views) == listing)
      #expect(try await after.views().map { "\($0.definition.name) \($0.generation)" } == live)
      for (index, view) in views.enumerated() {
        #expect(try await Self.hashes(after, view, after: end) == hashes[index], "\(view)")
      }
      await #expect(throws: ViewStoreError.self) { try await after.generations(of: "gone") }
      // The definition last asked for is still known.
      #expect(try await after.apply(try Self.catalog(Self.wider), hold: false).map(\.action) == [.unchanged, .unchanged])
      await after.shutDown()
    }
    try await fixture.remove()
  }

  @Test("where the record and compute's copy differ the record counts; where there is none it begins with the copy")
  func recordCounts() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 42, count: 300)) { 40 }
    var service = try await fixture.start(Self.views)
    _ = try await service.replay(ReplayRequest(view: "all", promotes: true))
    try await GenerationTests.wait(service, "all", 2, until: .live)
    let listing = try await Self.listing(service, ["readings", "all"])
    await service.shutDown()
    // As an earlier version leaves it: a state file, and no record.
    let another = VolatileViewsRecord()
    service = try await fixture.start(Self.views, record: another)
    #expect(try await Self.listing(service, ["readings", "all"]) == listing)
    _ = try await service.rollback("all")
    _ = try await service.remove("readings", purgeAfter: 0)
    await service.shutDown()
    service = try await fixture.start(Self.views)
    #expect(try await Self.listing(service, ["readings", "all"]) == listing)
    _ = try await fixture.rows(service, "readings", after: end)
    await service.shutDown()
    #expect(try await another.entries(from: 0, bytesMax: 1 << 20).count >= 3)
    try await fixture.remove()
  }

  @Test("a definition in the record that does not read is set aside: the others start, and its number is not given again")
  func unreadable() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    var service = try await fixture.start(Self.views)
    await service.shutDown()
    let count = try await fixture.record.entries(from: 0, bytesMax: 1 << 20).count
    let entry = """
      {"version":1,"at":"2026-01-01T00:00:00Z","events":[{"event":"began","generation":{"view":"bad","number":3,"definition":"views: {bad: {where: 1}}",\
      "state":"live","promotes":false,"from":"{}","created":0}},{"event":"became","view":"bad","number":3,"state":"previous","promotes":false}]}
      """
    #expect(try await fixture.record.append(Array(entry.utf8), as: count))
    let readable = "views:\n  bad:\n    window: { tumble: 1h }\n    aggregates: { n: count() }\n"
    service = try await fixture.start(Self.views)
    #expect(try await service.views().map(\.definition.name) == ["readings", "all"])
    #expect(
      try await service.apply(try Self.catalog(readable), hold: false) == [
        AppliedView(view: "bad", generation: 4, action: .created)
      ])
    await service.shutDown()
    service = try await fixture.start(Self.views)
    #expect(try await service.views().map { "\($0.definition.name) \($0.generation)" } == ["readings 1", "all 1", "bad 4"])
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("a removed view is gone at once, stays away over restarts, and comes back as it was when it is applied")
  func removal() async throws {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 43, count: 800)) { 40 }
    var service = try await fixture.start(Self.views)
    _ = try await service.replay(ReplayRequest(view: "readings", promotes: true, allowedLateness: 10 * 24 * Self.hour))
    try await GenerationTests.wait(service, "readings", 2, until: .live)
    let rows = try await fixture.rows(service, "readings", after: end)
    let removal = try await service.remove("readings", purgeAfter: Self.hour)
    #expect(removal.generations == [1, 2] && removal.isConfigured)
    #expect(removal.purgeAt.nanoseconds - removal.removedAt.nanoseconds == Self.hour)
    for _ in 0..<2 {
      #expect(try await service.views().map(\.definition.name) == ["all"])
      await #expect(throws: ViewStoreError.unknownView("readings", known: ["all"])) {
        try await service.read(ViewReadRequest(view: "readings"))
      }
      // A removed view holds back no log.
      let more = try await fixture.append(ComputeServiceTests.readings(seed: 44, count: 50)) { 10 }
      _ = try await fixture.rows(service, "all", after: more)
      #expect(try await service.reload(try Self.catalog(Self.views)).map(\.action) == [.removed, .unchanged])
      await service.shutDown()
      service = try await fixture.start(Self.views)
    }
    #expect(try await service.apply(try Self.catalog(Self.views), hold: false).map(\.action) == [.restored, .unchanged])
    let status = try #require(try await service.views().first { $0.definition.name == "readings" })
    #expect(status.generation == 2)
    _ = try await service.read(ViewReadRequest(view: "readings", asOf: end))
    let back = try await service.read(ViewReadRequest(view: "readings", timeout: .seconds(30), asOf: end))
    #expect(back.rows.merged(layout: back.definition.layout).count == rows.count)
    #expect(try await service.verify("readings", generation: nil, timeout: .seconds(30)).isSame)
    await service.shutDown()
    try await fixture.remove()
  }

  @Test(
    "when its time has come a removed view's rows go; the file of views brings it back only when its definition there changes")
  func purge() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let end = try await fixture.append(ComputeServiceTests.readings(seed: 45, count: 300)) { 40 }
    var service = try await fixture.start(Self.views, workers: 1)
    _ = try await fixture.rows(service, "all", after: end)
    func stored(_ view: String) throws -> Int? {
      let db = try SQLiteConnection(path: fixture.directory + "/compute/0/state.sqlite")
      return try db.first("SELECT count(*) FROM view WHERE name = ?", view) { $0.int(0) }
    }
    _ = try await service.remove("all", purgeAfter: 20_000_000)
    let deadline = ContinuousClock.now + .seconds(30)
    while try stored("all") != 0 {
      try #require(ContinuousClock.now < deadline)
      try await Task.sleep(for: .milliseconds(5))
    }
    // At once.
    #expect(try await service.remove("readings", purgeAfter: 0).generations == [1])
    #expect(try stored("readings") == 0)
    await #expect(throws: ViewStoreError.self) { try await service.remove("readings", purgeAfter: 0) }
    await service.shutDown()
    service = try await fixture.start(Self.views, workers: 1)
    #expect(try await service.views().isEmpty)
    await service.shutDown()
    service = try await fixture.start(Self.wider, workers: 1)
    #expect(try await service.views().map(\.definition.name) == ["all"])
    #expect(!(try await fixture.rows(service, "all", after: end)).isEmpty)
    #expect(try await service.apply(try Self.catalog(Self.wider), hold: false).map(\.action) == [.created, .unchanged])
    await service.shutDown()
    try await fixture.remove()
  }
}
