import Compute
import Events
import Expressions
import Foundation
import Log
import TestSupport
import Testing
import Views

@Suite("Compute")
struct ComputeServiceTests {
  static let minute: Int64 = 60_000_000_000
  static let views = """
    views:
      readings:
        where: data.value != null && data.value < 90
        key: [source, {site: data.site}]
        window: { tumble: 1m }
        watermark_delay: 30s
        allowed_lateness: 1m
        aggregates: { n: count(), total: sum(data.value), least: min(data.value), most: max(data.value) }
      all:
        key: []
        window: { tumble: 1h }
        watermark_delay: 1h
        allowed_lateness: 1d
        aggregates: { n: count() }
    """.replacing("[source, {site: data.site}]", with: "{source: source, site: data.site}").replacing("    key: []\n", with: "")

  /// Readings of a few devices whose clocks run on with some disorder, a few far behind.
  static func readings(seed: UInt64, count: Int) -> [Event] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { index in
      let isFarBehind = Int.random(in: 0..<20, using: &random) == 0
      let disorder = isFarBehind ? Int64.random(in: 0...600, using: &random) : Int64.random(in: 0...45, using: &random)
      var data: JSONValue = ["site": .string("site-\(Int.random(in: 0..<3, using: &random))")]
      switch Int.random(in: 0..<10, using: &random) {
      case 0: data = ["value": .null]
      case 1: data = ["value": .int(Int64.random(in: 0...100, using: &random))]
      case 2: break
      default:
        data = [
          "value": .double(Double.random(in: 0...100, using: &random)),
          "site": .string("site-\(Int.random(in: 0..<3, using: &random))"),
        ]
      }
      return Event(
        source: "device/\(Int.random(in: 0..<7, using: &random))", type: "reading",
        time: Timestamp(nanoseconds: 1_700_000_000_000_000_000 + (Int64(index) - disorder) * 1_000_000_000), data: data)
    }
  }

  /// The same by plain Swift, event by event: what compute must come to.
  static func expected(_ events: [Event]) -> (rows: [Row], late: Int, filtered: Int) {
    struct Key: Hashable {
      var window: Int64
      var source: String
      var site: String?
    }
    var greatest: [String: Int64] = [:]
    var values: [Key: [Double]] = [:]
    var late = 0, filtered = 0
    for event in events {
      let time = event.time.nanoseconds
      let most = max(greatest[event.source] ?? .min, time)
      greatest[event.source] = most
      let value: Double
      switch event.data?["value"] {
      case .int(let number)? where number < 90: value = Double(number)
      case .double(let number)? where number < 90: value = number
      default:
        filtered += 1
        continue
      }
      let window = time - time % minute
      guard window + minute + minute > most - minute / 2 else {
        late += 1
        continue
      }
      var site: String?
      if case .string(let text)? = event.data?["site"] { site = text }
      values[Key(window: window, source: event.source, site: site), default: []].append(value)
    }
    let rows = values.map { key, numbers in
      Row(
        windowStart: key.window, keys: [.string(key.source), key.site.map { .string($0) } ?? .null],
        values: [
          .int(Int64(numbers.count)), .double(numbers.reduce(0, +)), .double(numbers.min() ?? 0), .double(numbers.max() ?? 0),
        ])
    }
    return (rows, late, filtered)
  }

  /// Equal but for the last bits of sums, which the plain sum rounds at each step.
  static func same(_ a: [Row], _ b: [Row]) -> Bool {
    func sorted(_ rows: [Row]) -> [Row] {
      rows.sorted { ($0.windowStart, $0.keys.map(\.json).joined()) < ($1.windowStart, $1.keys.map(\.json).joined()) }
    }
    guard a.count == b.count else { return false }
    return zip(sorted(a), sorted(b)).allSatisfy { x, y in
      guard x.windowStart == y.windowStart, x.keys == y.keys, x.values.count == y.values.count else { return false }
      return zip(x.values, y.values).allSatisfy { p, q in
        if case .double(let first) = p, case .double(let second) = q { return abs(first - second) <= 1e-9 * max(1, abs(first)) }
        return p == q
      }
    }
  }

  @Test("comes to the same rows whatever the batches, the number of workers and the restarts", arguments: 0..<6)
  func metamorphic(seed: UInt64) async throws {
    let events = Self.readings(seed: seed, count: 3000)
    var first: [Row]?
    for variant in 0..<3 {
      var random = SeededGenerator(seed: seed &* 31 &+ UInt64(variant))
      let fixture = try await ComputeFixture()
      var service = try await fixture.start(
        Self.views, workers: 1 + variant, changedRowsMax: Int.random(in: 5...500, using: &random))
      var end = OffsetVector()
      var rest = events[...]
      while !rest.isEmpty {
        let part = rest.prefix(Int.random(in: 1...1500, using: &random))
        rest = rest.dropFirst(part.count)
        end.formMaximum(try await fixture.append(Array(part)) { Int.random(in: 1...400, using: &random) })
        if Int.random(in: 0..<2, using: &random) == 0 {
          await service.shutDown()
          service = try await fixture.start(Self.views, workers: Int.random(in: 1...4, using: &random))
        }
      }
      let rows = try await fixture.rows(service, "readings", after: end)
      let expected = Self.expected(events)
      #expect(Self.same(rows, expected.rows), "seed \(seed), variant \(variant)")
      // The same to the last bit, sums too.
      if let first { #expect(Set(rows) == Set(first), "seed \(seed), variant \(variant)") } else { first = rows }

      let status = try #require(try await service.views().first)
      #expect(status.partitions.reduce(0) { $0 + $1.late } == expected.late, "seed \(seed)")
      #expect(status.partitions.reduce(0) { $0 + $1.filtered } == expected.filtered, "seed \(seed)")
      for progress in status.partitions {
        #expect(
          progress.nextOffset.rawValue == Int64(progress.applied + progress.filtered + progress.late),
          "the ledger of partition \(progress.partition) adds up, seed \(seed)")
        #expect(progress.lagEvents == 0)
      }
      // Ranges cut through what is in memory and what is stored.
      let middle = Timestamp(nanoseconds: 1_700_000_000_000_000_000 / Self.minute * Self.minute + 25 * Self.minute)
      let before = try await fixture.rows(service, "readings", after: end, to: middle)
      let after = try await fixture.rows(service, "readings", after: end, from: middle)
      #expect(Set(before).union(after) == Set(rows) && before.count + after.count == rows.count, "seed \(seed)")
      let site = try Expression(
        parsing: #"site == "site-1" && source == "device/3""#, scope: status.definition.schema.keys.scope)
      let point = try await service.read(ViewReadRequest(view: "readings", after: end, keyFilter: site))
      #expect(
        Set((0..<point.rows.count).map { point.rows.windowStarts[$0] })
          == Set(rows.filter { $0.keys == [.string("device/3"), .string("site-1")] }.map(\.windowStart)), "seed \(seed)")
      #expect((0..<point.rows.count).allSatisfy { point.rows.keys($0) == [.string("device/3"), .string("site-1")] })
      let all = try await fixture.rows(service, "all", after: end)
      #expect(all.reduce(0) { if case .int(let n) = $1.values[0] { $0 + n } else { $0 } } == Int64(events.count))
      await service.shutDown()
      try await fixture.remove()
    }
  }

  @Test("waits for offsets, and says how far it came when the time is up")
  func waits() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let service = try await fixture.start(Self.views)
    let end = try await fixture.append(Self.readings(seed: 1, count: 10)) { 10 }
    #expect(try await fixture.rows(service, "all", after: end).isEmpty == false)
    await #expect(throws: ViewStoreError.timeout(reached: end)) {
      try await service.read(
        ViewReadRequest(view: "all", after: OffsetVector([PartitionID(0): Offset(11)]), timeout: .milliseconds(50)))
    }
    await #expect(throws: ViewStoreError.unknownView("none", known: ["readings", "all"])) {
      try await service.read(ViewReadRequest(view: "none"))
    }
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("gives a changed definition a new generation, computed from the log's start, and keeps the others")
  func generations() async throws {
    let fixture = try await ComputeFixture()
    let events = Self.readings(seed: 2, count: 500)
    let end = try await fixture.append(events) { 50 }
    var service = try await fixture.start(Self.views)
    let before = try await fixture.rows(service, "readings", after: end)
    await service.shutDown()
    service = try await fixture.start(Self.views.replacing("tumble: 1h", with: "tumble: 2h"), workers: 1)
    try await GenerationTests.wait(service, "all", 2, until: .live)
    let all = try await fixture.rows(service, "all", after: end)
    #expect(all.allSatisfy { $0.windowStart % (2 * 60 * Self.minute) == 0 })
    #expect(Set(try await fixture.rows(service, "readings", after: end)) == Set(before))
    #expect(try await service.views().map(\.generation) == [1, 2])
    await service.shutDown()
    service = try await fixture.start(Self.views.replacing("tumble: 1h", with: "tumble: 2h"), workers: 3)
    #expect(try await service.views().map(\.generation) == [1, 2])
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("puts a damaged state file aside and computes it anew")
  func damaged() async throws {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(Self.readings(seed: 3, count: 500)) { 50 }
    var service = try await fixture.start(Self.views, workers: 1)
    let rows = try await fixture.rows(service, "readings", after: end)
    await service.shutDown()
    let path = fixture.directory + "/compute/0/state.sqlite"
    // The write-ahead log too: with it SQLite would make the file whole again.
    for suffix in ["-wal", "-shm"] where FileManager.default.fileExists(atPath: path + suffix) {
      try FileManager.default.removeItem(atPath: path + suffix)
    }
    try Data(repeating: 0x55, count: 8192).write(to: URL(fileURLWithPath: path))
    service = try await fixture.start(Self.views, workers: 1)
    #expect(Set(try await fixture.rows(service, "readings", after: end)) == Set(rows))
    #expect(FileManager.default.fileExists(atPath: path + ".damaged"))
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("does not read on when what was counted is of another log")
  func logBehindCheckpoint() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let end = try await fixture.append(Self.readings(seed: 4, count: 100)) { 100 }
    let service = try await fixture.start(Self.views, workers: 1)
    _ = try await fixture.rows(service, "all", after: end)
    #expect(await service.problem() == nil)
    await service.shutDown()
    let other = try await ComputeFixture(partitions: 1)
    try FileManager.default.copyItem(atPath: fixture.directory + "/compute", toPath: other.directory + "/compute")
    let behind = try await other.start(Self.views, workers: 1)
    #expect(await behind.problem()?.contains("another log") == true)
    await behind.shutDown()
    try await fixture.remove()
    try await other.remove()
  }
}
