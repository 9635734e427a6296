import Events
import Expressions
import Foundation
import SQLite
import TestSupport
import Testing
import Views

@testable import Compute

/// Rows that are read a piece at a time: those of one moment, whatever lies where and whatever is counted meanwhile.
@Suite("Streamed rows")
struct StreamTests {
  private static func all(_ rows: inout SnapshotReader, between: () async throws -> Void = {}) async throws -> PartialRows? {
    var result: PartialRows?
    while let piece = try await rows.next() {
      if result == nil { result = piece } else { result?.append(contentsOf: piece) }
      try await between()
    }
    return result
  }

  private static func isSame(_ a: PartialRows, _ b: PartialRows) -> Bool {
    a.windowStarts == b.windowStarts && a.windowEnds == b.windowEnds && a.partitions == b.partitions && a.keyEnds == b.keyEnds
      && a.keyBytes == b.keyBytes && a.stateEnds == b.stateEnds && a.states == b.states
  }

  /// Every second seed has keys that events of several partitions have, every third a retention.
  private static func views(_ kind: WindowTests.Kind, seed: UInt64) -> String {
    var yaml = WindowTests.views(kind)
    if seed % 2 == 0, kind != .session { yaml = yaml.replacingOccurrences(of: "key: [source]", with: "key: [data.label]") }
    if seed % 3 == 0 { yaml += "\n    retention: 150s" }
    return yaml
  }

  @Test(
    "they are the paged rows of the offsets they say, hot and cold, in the same order, while more is counted",
    arguments: WindowTests.Kind.allCases, [UInt64(1), 2, 3, 4])
  func oneMoment(kind: WindowTests.Kind, seed: UInt64) async throws {
    let fixture = try await ComputeFixture()
    var random = SeededGenerator(seed: seed &* 31)
    let yaml = Self.views(kind, seed: seed)
    let free = try await fixture.start(yaml, folder: "free")
    let bound = [0, 40_000, 1 << 20, Int.random(in: 1...200_000, using: &random)][Int(seed) % 4]
    let service = try await fixture.start(
      yaml, workers: 1 + Int(seed) % 2, changedRowsMax: Int.random(in: 5...200, using: &random), memoryBytesMax: bound,
      folder: "bounded")
    var rest = WindowTests.events(seed: seed, count: 900)[...]
    func count() async throws {
      let part = rest.prefix(Int.random(in: 20...120, using: &random))
      rest = rest.dropFirst(part.count)
      let end = try await fixture.append(Array(part)) { Int.random(in: 1...40, using: &random) }
      _ = try await service.read(ViewReadRequest(view: "v", after: end, timeout: .seconds(60)))
    }
    let first = Timestamp(nanoseconds: WindowTests.start + Int64.random(in: 0...300, using: &random) * WindowTests.second)
    var compared = 0
    while !rest.isEmpty {
      try await count()
      var request = ViewReadRequest(view: "v", timeout: .seconds(60))
      if Bool.random(using: &random) { request.from = first }
      if Bool.random(using: &random) {
        request.to = Timestamp(nanoseconds: first.nanoseconds + Int64.random(in: 1...400, using: &random) * WindowTests.second)
      }
      if seed % 2 == 1, Int.random(in: 0..<3, using: &random) == 0 {
        request.keyFilter = try Expression(parsing: #"source == "device/3""#)
      }
      var stream = try #require(try await service.snapshotReader(request, rowsMax: Int.random(in: 1...60, using: &random)))
      let rows = try await Self.all(&stream.rows) {
        if !rest.isEmpty, Int.random(in: 0..<8, using: &random) == 0 { try await count() }
      }
      request.asOf = stream.snapshot.head.asOf
      let past = try await free.read(request)
      let expected = past.rows.merged(for: past.definition)
      try #require(
        Self.isSame(rows?.merged(for: past.definition) ?? PartialRows(stride: expected.stride), expected),
        "\(kind), seed \(seed), as of \(stream.snapshot.head.asOf): \(rows?.count ?? 0) rows of \(expected.count)")
      #expect(stream.snapshot.head.eventTimeWatermarks == past.eventTimeWatermarks)
      compared += expected.count
    }
    #expect(compared > 0)
    await service.shutDown()
    await free.shutDown()
    try await fixture.remove()
  }

  /// `keys` events in each second, each with a key of its own.
  private static func wide(seconds: Int, keys: Int) -> [Event] {
    (0..<seconds).flatMap { second in
      (0..<keys).map { key in
        Event(
          source: "device/\(key)", type: "reading",
          time: Timestamp(nanoseconds: WindowTests.start + Int64(second) * WindowTests.second),
          data: ["skip": .bool(false), "value": .double(Double(key)), "label": .string("x"), "counter": .int(Int64(second))])
      }
    }
  }

  private static func lean(_ window: String) -> String {
    """
    views:
      v:
        key: [source]
        window: \(window)
        watermark_delay: 10s
        allowed_lateness: 100s
        aggregates: { n: count(), total: sum(data.value) }
    """
  }

  @Test(
    "the rows held do not grow with those there are",
    arguments: [("{ tumble: 1s }", 0), ("{ hop: {size: 4s, every: 2s} }", 3 * 2 * 40), ("{ session: {gap: 1s} }", 0)])
  func held(window: String, panes: Int) async throws {
    let rowsMax = 60
    for seconds in [40, 160] {
      let fixture = try await ComputeFixture()
      let service = try await fixture.start(Self.lean(window), memoryBytesMax: 0)
      let end = try await fixture.append(Self.wide(seconds: seconds, keys: 40)) { 500 }
      _ = try await service.read(ViewReadRequest(view: "v", after: end, timeout: .seconds(60)))
      await service.shutDown()
      // The rows that were in memory are in the file.
      let again = try await fixture.start(Self.lean(window), memoryBytesMax: 0)
      var stream = try #require(try await again.snapshotReader(ViewReadRequest(view: "v"), rowsMax: rowsMax))
      let inMemory = stream.snapshot.folds.reduce(0) { $0 + $1.rows.count }
      let rows = try #require(try await Self.all(&stream.rows))
      let whole = try await again.read(ViewReadRequest(view: "v"))
      #expect(Self.isSame(rows, whole.rows))
      #expect(stream.rows.heldRowsMax > 0 && rows.count >= seconds / 4 * 40)
      // A piece read and a piece given, and of a hop twice the panes of a window.
      #expect(
        stream.rows.heldRowsMax <= 2 * rowsMax + inMemory + 2 * panes,
        "\(window), \(seconds) s: \(stream.rows.heldRowsMax) held of \(rows.count), \(inMemory) in memory")
      #expect(inMemory < rows.count / 4)
      await again.shutDown()
      try await fixture.remove()
    }
  }

  @Test("moments that are held keep no read waiting, and are let go with the stream")
  func pins() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let service = try await fixture.start(Self.lean("{ tumble: 1s }"), workers: 1, memoryBytesMax: 0)
    var end = try await fixture.append(Self.wide(seconds: 20, keys: 20)) { 100 }
    let before = try await service.read(ViewReadRequest(view: "v", after: end, timeout: .seconds(60)))
    var held: [(rows: SnapshotReader, given: Int)] = []
    for _ in 0..<10 {
      var stream = try #require(try await service.snapshotReader(ViewReadRequest(view: "v"), rowsMax: 5))
      let first = try #require(try await stream.rows.next())
      held.append((stream.rows, first.count))
    }
    end = try await fixture.append(
      Self.wide(seconds: 20, keys: 20).map { event in
        var event = event
        event.time = Timestamp(nanoseconds: event.time.nanoseconds + 500 * WindowTests.second)
        return event
      }
    ) { 100 }
    // All of it lies in the file, which eight connections read at a time besides those that are held.
    let after = try await service.read(ViewReadRequest(view: "v", after: end, timeout: .seconds(60)))
    #expect(after.rows.count == 2 * before.rows.count)
    let store = service.workers[0].store
    func tidied() throws -> Bool {
      try store.file.withWriter { db in
        try db.first("PRAGMA wal_checkpoint(PASSIVE)") { $0.int(0) == 0 && $0.int(1) == $0.int(2) } ?? false
      }
    }
    let deadline = ContinuousClock.now + .seconds(30)
    // Once the changes are stored, pages of theirs cannot be taken over into the file.
    while await service.neededOffsets() != end, ContinuousClock.now < deadline { await Task.yield() }
    #expect(try !tidied())
    var last = held.removeLast()
    held = []
    while let piece = try await last.rows.next() { last.given += piece.count }
    #expect(last.given == before.rows.count, "a stream's moment is that of its beginning")
    while try !tidied(), ContinuousClock.now < deadline { await Task.yield() }
    #expect(try tidied())
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("what needs all rows is not streamed")
  func whole() async throws {
    let fixture = try await ComputeFixture()
    let yaml = WindowTests.views(.session).replacingOccurrences(of: "key: [source]", with: "key: [data.label]")
    let service = try await fixture.start(yaml)
    #expect(try await service.snapshotReader(ViewReadRequest(view: "v")) == nil)
    #expect(try await service.stream(ViewReadRequest(view: "v", asOf: OffsetVector())) == nil)
    await #expect(throws: ViewStoreError.unknownView("w", known: ["v"])) {
      _ = try await service.stream(ViewReadRequest(view: "w"))
    }
    await service.shutDown()
    try await fixture.remove()
  }
}
