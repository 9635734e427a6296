import Compute
import Events
import Foundation
import SQLite
import TestSupport
import Testing
import Views

/// Hops and sessions with every aggregate, against plain Swift over the list of events.
@Suite("Windows")
struct WindowTests {
  static let second: Int64 = 1_000_000_000
  static let start: Int64 = 1_700_000_000 * second

  enum Kind: String, CaseIterable, Sendable {
    case tumble = "{ tumble: 1m }"
    case hop = "{ hop: {size: 1m, every: 20s} }"
    case unevenHop = "{ hop: {size: 50s, every: 20s} }"
    case session = "{ session: {gap: 15s} }"
  }

  static func views(_ kind: Kind) -> String {
    """
    views:
      v:
        where: data.skip == false
        key: [source]
        window: \(kind.rawValue)
        watermark_delay: 10s
        allowed_lateness: 20s
        aggregates:
          n: count()
          total: sum(data.value)
          mean: avg(data.value)
          least: min(data.value)
          most: max(data.value)
          spread: stddev(data.value)
          opened: first(data.label)
          closed: last(data.label)
          median: quantile(data.value, 0.5)
          labels: count_distinct(data.label)
          rise: rate(data.counter)
    """
  }

  static func events(seed: UInt64, count: Int) -> [Event] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { index in
      let isFarBehind = Int.random(in: 0..<12, using: &random) == 0
      let disorder = isFarBehind ? Int64.random(in: 0...200, using: &random) : Int64.random(in: 0...25, using: &random)
      return Event(
        source: "device/\(Int.random(in: 0..<12, using: &random))", type: "reading",
        time: Timestamp(nanoseconds: start + (Int64(index) - disorder) * second),
        data: [
          "skip": .bool(Int.random(in: 0..<9, using: &random) == 0),
          "value": .double(Double.random(in: -50...50, using: &random)),
          "label": .string("label-\(Int.random(in: 0..<20, using: &random))"),
          "counter": .int(Int64(index % 97)),
        ])
    }
  }

  struct Expected {
    var rows: [ViewRow] = []
    var late = 0
  }

  /// One event of one source, as the reference keeps it.
  struct Sample {
    var time: Int64
    var order: Int
    var value: Double
    var label: String
    var counter: Double
  }

  static func number(_ value: JSONValue?) -> Double {
    switch value {
    case .int(let number)?: Double(number)
    case .double(let number)?: number
    default: .nan
    }
  }

  /// Event by event, window by window: each window of an event takes it unless that window is closed by then.
  static func expected(_ events: [Event], _ kind: Kind) -> Expected {
    var greatest: [String: Int64] = [:]
    var windows: [String: [Int64: [Sample]]] = [:]
    var sessions: [String: [[Sample]]] = [:]
    var late = 0
    let (size, every, gap): (Int64, Int64, Int64) =
      switch kind {
      case .tumble: (60, 60, 0)
      case .hop: (60, 20, 0)
      case .unevenHop: (50, 20, 0)
      case .session: (0, 0, 15)
      }
    for (order, event) in events.enumerated() {
      let time = event.time.nanoseconds
      let most = max(greatest[event.source] ?? .min, time)
      greatest[event.source] = most
      guard event.data?["skip"] == .bool(false) else { continue }
      let closedEnd = most - 30 * second
      var label = ""
      if case .string(let text)? = event.data?["label"] { label = text }
      let sample = Sample(
        time: time, order: order, value: number(event.data?["value"]), label: label, counter: number(event.data?["counter"]))
      if kind == .session {
        var open: [[Sample]] = []
        var others: [[Sample]] = []
        for session in sessions[event.source] ?? [] {
          let first = session.map(\.time).min()!
          let end = session.map(\.time).max()! + gap * second
          if end > closedEnd, first < time + gap * second, time < end { open.append(session) } else { others.append(session) }
        }
        guard !open.isEmpty || time + gap * second > closedEnd else {
          late += 1
          continue
        }
        sessions[event.source] = others + [open.flatMap { $0 } + [sample]]
        continue
      }
      var isTaken = false
      var window = (time / (every * second)) * every * second
      while window + size * second > time {
        if window + size * second > closedEnd {
          windows[event.source, default: [:]][window, default: []].append(sample)
          isTaken = true
        }
        window -= every * second
      }
      if !isTaken { late += 1 }
    }
    var result = Expected(late: late)
    for (source, starts) in windows {
      for (start, samples) in starts { result.rows.append(row(source, start, samples)) }
    }
    for (source, lists) in sessions {
      for samples in lists { result.rows.append(row(source, samples.map(\.time).min()!, samples)) }
    }
    return result
  }

  static func row(_ source: String, _ start: Int64, _ samples: [Sample]) -> ViewRow {
    let values = samples.map(\.value)
    let n = Double(values.count)
    let total = values.reduce(0, +)
    let mean = total / n
    let ordered = samples.sorted { ($0.time, $0.order) < ($1.time, $1.order) }
    var increase = 0.0
    // Samples of one time are in the order of their values, whichever came first.
    let counted = samples.sorted { ($0.time, $0.counter) < ($1.time, $1.counter) }
    for (before, after) in zip(counted, counted.dropFirst()) {
      increase += after.counter < before.counter ? after.counter : after.counter - before.counter
    }
    let seconds = Double(ordered.last!.time - ordered.first!.time) / 1e9
    return ViewRow(
      windowStart: start, keys: [.string(source)],
      values: [
        .int(Int64(values.count)), .double(total), .double(mean), .double(values.min()!), .double(values.max()!),
        n < 2 ? .null : .double((values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / (n - 1)).squareRoot()),
        .string(ordered.first!.label), .string(ordered.last!.label),
        .double(values.sorted()[Int((0.5 * (n - 1)).rounded())]), .int(Int64(Set(samples.map(\.label)).count)),
        seconds > 0 ? .double(increase / seconds) : .null,
      ])
  }

  static func same(_ a: [ViewRow], _ b: [ViewRow]) -> String? {
    func sorted(_ rows: [ViewRow]) -> [ViewRow] {
      rows.sorted { ($0.windowStart, $0.keys.map(\.json).joined()) < ($1.windowStart, $1.keys.map(\.json).joined()) }
    }
    guard a.count == b.count else { return "\(a.count) rows, expected \(b.count)" }
    for (x, y) in zip(sorted(a), sorted(b)) {
      guard x.windowStart == y.windowStart, x.keys == y.keys else { return "\(x), expected \(y)" }
      for (column, (p, q)) in zip(x.values, y.values).enumerated() {
        if case .double(let first) = p, case .double(let second) = q {
          // The median is a sketch's; the reference's own sums round at each step.
          let bound = column == 8 ? 0.01 * abs(second) : 1e-9 * max(1, abs(second))
          if abs(first - second) <= bound { continue }
        }
        if p != q { return "\(x), expected \(y), column \(column)" }
      }
    }
    return nil
  }

  @Test(
    "every window kind comes to the reference's rows, to the last bit the same whatever the batches, workers and restarts",
    arguments: Kind.allCases, 0..<3 as Range<UInt64>)
  func metamorphic(kind: Kind, seed: UInt64) async throws {
    let events = Self.events(seed: seed, count: 1500)
    var first: Set<ViewRow>?
    for variant in 0..<2 {
      var random = SeededGenerator(seed: seed &* 31 &+ UInt64(variant))
      let fixture = try await ComputeFixture()
      var service = try await fixture.start(
        Self.views(kind), workers: 1 + variant, changedRowsMax: Int.random(in: 5...500, using: &random))
      var end = OffsetVector()
      var rest = events[...]
      while !rest.isEmpty {
        let part = rest.prefix(Int.random(in: 1...700, using: &random))
        rest = rest.dropFirst(part.count)
        end.formMaximum(try await fixture.append(Array(part)) { Int.random(in: 1...200, using: &random) })
        if Int.random(in: 0..<2, using: &random) == 0 {
          await service.shutDown()
          service = try await fixture.start(Self.views(kind), workers: Int.random(in: 1...4, using: &random))
        }
      }
      let rows = try await fixture.rows(service, "v", after: end)
      let expected = Self.expected(events, kind)
      let difference = Self.same(rows, expected.rows)
      #expect(difference == nil, "\(kind), seed \(seed), variant \(variant): \(difference ?? "")")
      if let first { #expect(Set(rows) == first, "\(kind), seed \(seed), variant \(variant)") } else { first = Set(rows) }
      let status = try #require(try await service.views().first)
      #expect(status.partitions.reduce(0) { $0 + $1.late } == expected.late, "\(kind), seed \(seed)")
      // Ranges of window starts cut through what is in memory, what is stored, and panes.
      let middle = Timestamp(nanoseconds: Self.start + 700 * Self.second)
      let before = try await fixture.rows(service, "v", after: end, to: middle)
      let after = try await fixture.rows(service, "v", after: end, from: middle)
      #expect(Set(before).union(after) == Set(rows) && before.count + after.count == rows.count, "\(kind), seed \(seed)")
      #expect(
        before.allSatisfy { $0.windowStart < middle.nanoseconds } && after.allSatisfy { $0.windowStart >= middle.nanoseconds })
      await service.shutDown()
      try await fixture.remove()
    }
  }

  @Test("sessions of a key in several partitions are joined in the result, and whole windows are not")
  func joinedSessions() async throws {
    let fixture = try await ComputeFixture(partitions: 8)
    let yaml = """
      views:
        v:
          key: {site: data.site}
          window: { session: {gap: 10s} }
          allowed_lateness: 1d
          aggregates: { n: count() }
      """
    let service = try await fixture.start(yaml, workers: 2)
    // A chain of events 7 s apart over many devices, a pause, and one more.
    let times = Array(stride(from: Int64(0), through: 63, by: 7)) + [80]
    let events = times.enumerated().map { index, time in
      Event(
        source: "device/\(index)", type: "t", time: Timestamp(nanoseconds: Self.start + time * Self.second),
        data: ["site": .string("ams")])
    }
    let end = try await fixture.append(events.reversed()) { 1 }
    let result = try await service.read(ViewReadRequest(view: "v", after: end, timeout: .seconds(120)))
    let rows = result.rows.merged(for: result.definition)
    #expect(rows.windowStarts.map { ($0 - Self.start) / Self.second } == [0, 80])
    #expect(rows.windowEnds.map { ($0 - Self.start) / Self.second } == [73, 90])
    #expect((0..<2).map { row in rows.withState(row) { result.definition.layout.value(of: 0, in: $0) } } == [.int(10), .int(1)])
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("retention lets go of hops and sessions whole, in memory and in the file")
  func retention() async throws {
    for kind in [Kind.hop, .session] {
      let fixture = try await ComputeFixture(partitions: 1)
      let yaml = Self.views(kind).replacing("allowed_lateness: 20s", with: "allowed_lateness: 20s\n    retention: 5m")
      let service = try await fixture.start(yaml, workers: 1)
      let events = Self.events(seed: 5, count: 1500)
      let end = try await fixture.append(events) { 100 }
      let rows = try await fixture.rows(service, "v", after: end)
      let all = Self.expected(events, kind).rows
      let greatest = events.map(\.time.nanoseconds).max()!
      let bound = greatest - 10 * Self.second - 300 * Self.second
      let result = try await service.read(ViewReadRequest(view: "v", timeout: .seconds(120)))
      #expect(result.rows.windowEnds.allSatisfy { $0 > bound }, "\(kind)")
      if kind == .hop {
        #expect(Self.same(rows, all.filter { $0.windowStart + 60 * Self.second > bound }) == nil)
      }
      #expect(rows.count < all.count)
      await service.shutDown()
      try await fixture.remove()
    }
  }

  @Test("a state file of an older format is put aside and the views computed anew; a newer one is refused")
  func formats() async throws {
    let fixture = try await ComputeFixture(partitions: 1)
    let events = Self.events(seed: 6, count: 200)
    let end = try await fixture.append(events) { 50 }
    var service = try await fixture.start(Self.views(.tumble), workers: 1)
    let rows = try await fixture.rows(service, "v", after: end)
    await service.shutDown()
    let path = fixture.directory + "/compute/0/state.sqlite"
    try setFormat(path, 1)
    service = try await fixture.start(Self.views(.tumble), workers: 1)
    #expect(Set(try await fixture.rows(service, "v", after: end)) == Set(rows))
    #expect(FileManager.default.fileExists(atPath: path + ".old"))
    await service.shutDown()
    try setFormat(path, 99)
    await #expect(throws: ComputeError.self) { _ = try await fixture.start(Self.views(.tumble), workers: 1) }
    try await fixture.remove()
  }

  @Test(
    "a state file of the format before goes on with its rows, of windows and of sessions, and its late events",
    arguments: Kind.allCases)
  func earlierFormat(kind: Kind) async throws {
    let fixture = try await ComputeFixture(partitions: 2)
    let events = Self.events(seed: 8, count: 600)
    var end = try await fixture.append(Array(events.prefix(400))) { 50 }
    var service = try await fixture.start(Self.views(kind), workers: 1)
    _ = try await fixture.rows(service, "v", after: end)
    let late = try await service.late(LateReadRequest(view: "v", limit: 1000)).events
    await service.shutDown()
    let path = fixture.directory + "/compute/0/state.sqlite"
    try EarlierFile.makeFormat2(path, Self.views(kind), late)
    service = try await fixture.start(Self.views(kind), workers: 1)
    #expect(try await service.late(LateReadRequest(view: "v", limit: 1000)).events == late)
    #expect(!FileManager.default.fileExists(atPath: path + ".old"))
    #expect(try await service.views().first?.partitions.reduce(0) { $0 + $1.nextOffset.rawValue } == 400, "nothing is read again")
    end.formMaximum(try await fixture.append(Array(events.dropFirst(400))) { 50 })
    let rows = try await fixture.rows(service, "v", after: end)
    let difference = Self.same(rows, Self.expected(events, kind).rows)
    #expect(difference == nil, "\(kind): \(difference ?? "")")
    #expect(try await service.verify("v", generation: nil, timeout: .seconds(60)).isSame)
    await service.shutDown()
    service = try await fixture.start(Self.views(kind), workers: 1)
    #expect(try await service.tallies().allSatisfy { $0.partitions.allSatisfy { $0.isBalanced } })
    await service.shutDown()
    try await fixture.remove()
  }

  private func setFormat(_ path: String, _ version: Int) throws {
    let db = try SQLiteConnection(path: path)
    try db.run("UPDATE meta SET value = ? WHERE name = 'format'", version)
  }
}
