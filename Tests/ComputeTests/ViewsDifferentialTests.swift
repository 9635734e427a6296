import Events
import Expressions
import Foundation
import Log
import Logging
import TestSupport
import Testing
import Views

@testable import Compute
@testable import Query

/// Views that each seed makes up, over events that it makes up, against `PlainView`: whatever the bound on memory, the workers,
/// the restarts.
///
/// `PENSTOCK_DIFFERENTIAL_SEEDS=10000` for as many as one likes; `PENSTOCK_DIFFERENTIAL_FIRST` for where to begin.
@Suite("Views differential")
struct ViewsDifferentialTests {
  static let first = number("PENSTOCK_DIFFERENTIAL_FIRST") ?? 0
  static let seeds = first..<first + (number("PENSTOCK_DIFFERENTIAL_SEEDS") ?? 200)

  private static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

  @Test("rows, what is final, the ledger and late events are those of the plain model", arguments: seeds)
  func differs(seed: UInt64) async throws {
    var run = try await DifferentialRun(seed: seed)
    try await run.go()
  }
}

/// One seed's views, events and what has been seen of them.
private struct DifferentialRun {
  private let seed: UInt64
  private var random: SeededGenerator
  private let fixture: ComputeFixture
  private var views: [PlainView]
  private let lateMax: Int
  private let memoryMax: Int
  /// The events of each partition, in the order of offsets.
  private var events: [PartitionID: [Event]] = [:]
  /// How far each of them moves an event-time watermark at most.
  private var limits: [PartitionID: [Int64]] = [:]
  private let aheadMax: Duration
  private var end = OffsetVector()
  /// For each view and question, rows that were said to be final.
  private var saidFinal: [String: [RowKey: Said]] = [:]
  /// The sources of the events that had been compared before, and whether there are others now.
  private var knownSources: Set<String> = []
  private var hasNewSource = false
  private var log: [String] = []

  private struct RowKey: Hashable {
    var start: Int64
    var key: [ResultValue]
  }

  private struct Said: Hashable {
    var end: Int64
    var values: [ResultValue]
  }

  init(seed: UInt64) async throws {
    self.seed = seed
    var random = SeededGenerator(seed: seed)
    fixture = try await ComputeFixture(partitions: Int.random(in: 1...4, using: &random))
    views = (0..<Int.random(in: 1...3, using: &random)).map { PlainView.random("v\($0)", &random) }
    lateMax = [3, 40, 100_000].randomElement(using: &random)!
    aheadMax = [.zero, .seconds(60), .seconds(Int64.max)].randomElement(using: &random)!
    memoryMax = [0, 20_000, 60_000, 1 << 30].randomElement(using: &random)!
    self.random = random
  }

  private var yaml: String { "views:\n" + views.map(\.yaml).joined(separator: "\n") }

  private func note(_ what: String) -> Comment {
    "PENSTOCK_DIFFERENTIAL_FIRST=\(seed) PENSTOCK_DIFFERENTIAL_SEEDS=1: \(what)\nafter \(log.joined(separator: "; "))\n\(yaml)"
  }

  mutating func go() async throws {
    let count = Int.random(in: 60...300, using: &random)
    var rest = DifferentialRun.events(count, &random)[...]
    var service = try await start()
    while !rest.isEmpty {
      let part = Array(rest.prefix(Int.random(in: 10...120, using: &random)))
      rest = rest.dropFirst(part.count)
      for event in part { events[fixture.log.partition(of: event.source), default: []].append(event) }
      var random = self.random
      end.formMaximum(try await fixture.append(part) { Int.random(in: 1...30, using: &random) })
      self.random = random
      try await noteLimits()
      log.append("\(part.count) events")
      try await compare(service)
      if !rest.isEmpty, Int.random(in: 0..<3, using: &self.random) == 0 {
        await service.shutDown()
        if Int.random(in: 0..<3, using: &self.random) == 0 {
          views[Int.random(in: 0..<views.count, using: &self.random)].extraAggregates += 1
          // The rows of a new generation are its own.
          saidFinal = [:]
          log.append("another generation")
        }
        service = try await start()
      }
    }
    await service.shutDown()
    // As it is on disk, all of it.
    service = try await start()
    try await compare(service)
    for view in views {
      let report = try await service.verify(view.name, generation: nil, timeout: .seconds(60))
      #expect(report.isSame, note("\(view.name) verifies as another: \(report)"))
    }
    await service.shutDown()
    try await fixture.remove()
  }

  /// The time at which an event was appended is known by the log.
  private mutating func noteLimits() async throws {
    for (partition, all) in events {
      while limits[partition, default: []].count < all.count {
        let next = Offset(Int64(limits[partition]?.count ?? 0))
        for batch in try await fixture.log.read(partition, from: next, bytesMax: 1 << 20) where batch.endOffset > next {
          let limit = Int128(batch.header.appendTime.nanoseconds) + Int128(aheadMax.nanosecondsHeld)
          let held = Int64(clamping: limit)
          let known = limits[partition]?.count ?? 0
          limits[partition, default: []] += Array(repeating: held, count: Int(batch.endOffset.rawValue) - known)
        }
      }
    }
  }

  private mutating func start() async throws -> ComputeService {
    let workers = Int.random(in: 1...3, using: &random)
    log.append("\(workers) workers")
    let service = try await ComputeService(
      configuration: ComputeConfiguration(
        directory: fixture.directory + "/compute", workers: workers, checkpointInterval: .milliseconds(2),
        changedRowsMax: Int.random(in: 1...200, using: &random), readBytesMax: 4096, memoryBytesMax: memoryMax,
        lateEventsMax: lateMax, keptCheckpointsMax: 0, clockAheadMax: aheadMax, sourceIdle: .seconds(Int64.max)),
      catalog: try ViewCatalog(yaml: yaml, file: "differential.yaml"), log: fixture.log, logger: ComputeFixture.logger)
    service.start()
    return service
  }

  // MARK: events

  /// Times that mostly rise, some far behind or ahead, and in some seeds at an end of the range of times.
  private static func events(_ count: Int, _ random: inout SeededGenerator) -> [Event] {
    let second = WindowTests.second
    let span = Int64(count) * second
    let mode = Int.random(in: 0..<6, using: &random)
    let start: Int64 =
      switch mode {
      case 0: .max - span / 2
      case 1: .min
      default: WindowTests.start
      }
    let sources = Int.random(in: 1...8, using: &random)
    return (0..<count).map { index in
      var step = Int64(index) * second - Int64.random(in: 0...20, using: &random) * second
      if Int.random(in: 0..<10, using: &random) == 0 { step -= Int64.random(in: 0...120, using: &random) * second }
      if Int.random(in: 0..<40, using: &random) == 0 { step += Int64.random(in: 0...200, using: &random) * second }
      if Int.random(in: 0..<3, using: &random) == 0 { step += Int64.random(in: -999...999, using: &random) }
      let (sum, overflow) = start.addingReportingOverflow(step)
      var time = overflow ? (step < 0 ? Int64.min : .max) : sum
      if mode == 2, Int.random(in: 0..<60, using: &random) == 0 {
        time = [Int64.min, .min + 1, .max - 1, .max].randomElement(using: &random)!
      }
      return Event(
        source: "device/\(Int.random(in: 0..<sources, using: &random))", type: "reading",
        time: Timestamp(nanoseconds: time),
        data: [
          "skip": .bool(Int.random(in: 0..<6, using: &random) == 0),
          "site": .string("site-\(Int.random(in: 0..<3, using: &random))"),
          "value": .int(Int64.random(in: -50...50, using: &random)),
        ])
    }
  }

  // MARK: comparing

  private mutating func compare(_ service: ComputeService) async throws {
    let source = ViewSource(store: service.reads, idleAfter: .seconds(86_400), now: { Timestamp.systemNow() })
    let tallies = try await service.tallies()
    let sources = Set(events.values.joined().map(\.source))
    hasNewSource = !sources.isSubset(of: knownSources)
    knownSources = sources
    for view in views {
      let expected = view.outcome(of: events, limits: limits)
      let read = try await rows(view, source, "")
      let difference = DifferentialRun.difference(read.rows, expected.rows)
      try #require(difference == nil, note("\(view.name): \(difference ?? "")"))
      try await checkLedger(view, expected, service)
      if let tally = tallies.first(where: { $0.view == view.name }) {
        try #require(tally.partitions.allSatisfy { $0.isBalanced }, note("\(view.name): \(tally)"))
      }
      try await checkLate(view, expected, service)
      try await checkFinal(view, source)
    }
  }

  private func query(_ view: PlainView, _ source: ViewSource, _ text: String) async throws -> ViewResult {
    var after: [UInt8] = []
    end.write(to: &after)
    let parameters = try QueryParameters(Substring(text), known: ViewQuery.parameterNames)
    return try await source.result(of: view.name, parameters) { definition, generation throws(QueryFailure) in
      try ViewQuery(
        parameters, definition: definition, generation: generation, partitionCount: fixture.log.partitionCount,
        rowsMax: 100_000, isUnlimited: true, reached: end)
    }
  }

  private func rows(
    _ view: PlainView, _ source: ViewSource, _ text: String
  ) async throws -> (rows: [PlainView.Row], result: ViewResult) {
    let result = try await query(view, source, text)
    let layout = result.query.definition.layout
    let rows = (0..<result.rows.count).map { row in
      let values = result.rows.withState(row) { layout.values(of: $0) }
      return PlainView.Row(
        start: result.rows.windowStarts[row], end: result.rows.windowEnds[row],
        key: result.rows.keys(row).map { if case .string(let text) = $0 { text } else { "?" } },
        count: DifferentialRun.int(values[0]), sum: DifferentialRun.double(values[1]),
        least: DifferentialRun.double(values[2]))
    }
    return (rows, result)
  }

  private static func int(_ value: ResultValue) -> Int64 { if case .int(let number) = value { number } else { -1 } }
  private static func double(_ value: ResultValue) -> Double { if case .double(let number) = value { number } else { .infinity } }

  private static func difference(_ rows: [PlainView.Row], _ expected: [PlainView.Row]) -> String? {
    let (rows, expected) = (rows.sorted(), expected.sorted())
    for (a, b) in zip(rows, expected) where a != b { return "\(a), expected \(b)" }
    if rows.count > expected.count { return "\(rows[expected.count]) is one too many" }
    return rows.count < expected.count ? "there is no \(expected[rows.count])" : nil
  }

  private func checkLedger(_ view: PlainView, _ expected: PlainView.Outcome, _ service: ComputeService) async throws {
    let status = try #require(try await service.views().first { $0.definition.name == view.name })
    // Two of one view are told apart by offsets: what is read here may be of a moment later, but nothing comes.
    let sums = status.partitions.reduce(into: (applied: 0, amended: 0, filtered: 0, late: 0)) {
      $0.applied += $1.applied
      $0.amended += $1.amended
      $0.filtered += $1.filtered
      $0.late += $1.late
    }
    try #require(
      sums.applied == expected.applied && sums.amended == expected.amended && sums.filtered == expected.filtered && sums.late == expected.late.count,
      note(
        "\(view.name): \(sums), expected \(expected.applied), \(expected.amended), \(expected.filtered), \(expected.late.count)"
      ))
    for progress in status.partitions {
      let row = LedgerRow(progress, logStart: .zero)
      try #require(row.isBalanced, note("\(view.name): \(row)"))
    }
  }

  private func checkLate(_ view: PlainView, _ expected: PlainView.Outcome, _ service: ComputeService) async throws {
    let result = try await service.late(LateReadRequest(view: view.name, limit: 1_000_000))
    let listed = result.events.map {
      PlainView.Late(
        partition: $0.partition, offset: $0.offset.rawValue, time: $0.time.nanoseconds, windowStart: $0.windowStart.nanoseconds,
        reason: $0.reason)
    }
    let byPartition = Dictionary(grouping: expected.late, by: \.partition)
    let last = byPartition.sorted { $0.key < $1.key }.flatMap { $0.value.suffix(lateMax) }
    try #require(listed == last, note("\(view.name): late \(listed), expected \(last)"))
    for (partition, counts) in result.counts {
      let all = byPartition[partition]?.count ?? 0
      try #require(counts == LateCounts(counted: all, listed: min(all, lateMax)), note("\(view.name): late \(counts)"))
    }
  }

  /// A final row is unchanged, unless retention has deleted it, or a source that had appended nothing yet has events for it.
  private mutating func checkFinal(_ view: PlainView, _ source: ViewSource) async throws {
    var questions = ["", "group_by="]
    if view.keys.count > 1 { questions.append("group_by=site") }
    switch view.window {
    case .tumble(let size): questions.append("step=\(size * 3)ns")
    case .hop(let size, let every): if size % every == 0 { questions.append("step=\(size * 2)ns&group_by=") }
    case .session: questions += ["step=30s", "step=45s&group_by="]
    }
    for question in questions {
      let result = try await query(view, source, question)
      let layout = result.query.definition.layout
      var now: [RowKey: Said] = [:]
      var finals: [RowKey: Said] = [:]
      for row in 0..<result.rows.count {
        let key = RowKey(start: result.rows.windowStarts[row], key: result.rows.keys(row))
        // Another generation may have taken over, with an aggregate more.
        let values = result.rows.withState(row) { Array(layout.values(of: $0).prefix(3)) }
        let said = Said(end: result.rows.windowEnds[row], values: values)
        now[key] = said
        if result.finality.isFinal(row, of: result.rows) { finals[key] = said }
      }
      let place = "\(view.name)?\(question)"
      for (key, said) in saidFinal[place] ?? [:] {
        if view.retention != nil, now[key] == nil { continue }
        if view.watermark == .source, hasNewSource, !result.query.definition.keepsSource(keptKeys: result.query.keptKeys) { continue }
        // With a step, or keys merged away, retention takes rows from the row one by one.
        if view.retention != nil, !question.isEmpty { continue }
        try #require(
          now[key] == said, note("\(place): \(key) was final as \(said), and is \(now[key].map { "\($0)" } ?? "gone")"))
      }
      saidFinal[place] = finals
    }
  }
}
