import Aggregates
import Events
import Expressions
import TestSupport
import Testing

@testable import Views

/// Keys `site` and `who`, the latter the event's source.
private func definition(
  _ window: WindowDefinition = .tumble(size: 10), watermark: WatermarkScope = .source, isSource: Bool = true
) -> ViewDefinition {
  ViewDefinition(
    name: "v",
    keys: [
      KeyColumn(name: "site", path: .data(["site"])),
      KeyColumn(name: "who", path: isSource ? .attribute("source") : .data(["who"])),
    ], window: window, watermark: watermark, retention: 1_000_000, aggregates: [AggregateColumn(name: "n", function: .countRows)])
}

private struct Row {
  var start: Int64
  var site: Int64
  var source: String
  var partition = 0
  var end: Int64?
}

private func rows(_ rows: [Row], _ definition: ViewDefinition, size: Int64 = 10) -> PartialRows {
  var result = PartialRows(stride: definition.layout.stride)
  for row in rows {
    KeyCodec.encode([.int(row.site), .string(row.source)]).withUnsafeBytes { key in
      result.append(
        partition: PartitionID(row.partition), windowStart: row.start, windowEnd: row.end ?? row.start + size, key: key
      ) { $0.append(1) }
    }
  }
  return result
}

/// The event-time watermark of a source is its name as a number.
private func filled(_ seen: [Row], _ definition: ViewDefinition, size: Int64 = 10) -> PartialRows {
  var rows = rows(seen, definition, size: size)
  rows.fillSourceWatermarks(of: definition) { Int64(String(decoding: $0, as: UTF8.self)) ?? .min }
  return rows
}

/// Whether every row has the time of its own source.
private func areOwn(_ rows: PartialRows) -> Bool {
  rows.sourceWatermarks.count == rows.count
    && (0..<rows.count).allSatisfy { row in
      if case .string(let source) = rows.keys(row)[1] { Int64(source) == rows.sourceWatermark(row) } else { false }
    }
}

@Test("rows get their source's event-time watermark, asked for once for rows of one source in turn")
func fill() {
  let view = definition()
  var made = rows(
    [
      Row(start: 0, site: 1, source: "7"), Row(start: 0, site: 2, source: "7"), Row(start: 0, site: 2, source: "a\u{0}b"),
      Row(start: 10, site: 1, source: "7"),
    ], view)
  var asked: [[UInt8]] = []
  made.fillSourceWatermarks(of: view) { source in
    asked.append(Array(source))
    return Int64(asked.count)
  }
  #expect(asked == [Array("7".utf8), Array("a\u{0}b".utf8), Array("7".utf8)])
  #expect(made.sourceWatermarks == [1, 1, 2, 3])
}

@Test("rows of a view whose partitions' times close windows, or that has no source among its keys, get none")
func noFill() {
  for view in [definition(watermark: .partition), definition(isSource: false)] {
    var made = rows([Row(start: 0, site: 1, source: "7")], view)
    made.fillSourceWatermarks(of: view) { _ in
      Issue.record("nothing is asked for")
      return 0
    }
    #expect(made.sourceWatermarks.isEmpty && made.sourceWatermark(0) == nil)
  }
}

@Test("every operation on rows keeps each row's own source", arguments: 1...20 as ClosedRange<UInt64>)
func operations(seed: UInt64) throws {
  var random = SeededGenerator(seed: seed)
  let view = definition()
  func some() -> [Row] {
    (0..<Int.random(in: 0...30, using: &random)).map { _ in
      Row(
        start: Int64.random(in: 0..<5, using: &random) * 10, site: Int64.random(in: 0..<3, using: &random),
        source: "\(Int.random(in: 0..<6, using: &random))", partition: Int.random(in: 0..<3, using: &random))
    }
  }
  let (first, second) = (filled(some(), view), filled(some(), view))
  var joined = first
  joined.append(contentsOf: second)
  #expect(areOwn(joined) && joined.count == first.count + second.count)
  var one = PartialRows(stride: first.stride)
  for row in 0..<first.count { one.append(row, of: first) }
  one.append(second, where: { $0.index != 1 })
  #expect(areOwn(one))
  #expect(areOwn(joined.ordered()) && areOwn(joined.filtered { $0 >= 20 }) && areOwn(joined.retained(after: 20)))
  let condition = try Expression(parsing: "site == 1", scope: view.schema.keyScope)
  var scratch = EvaluationScratch()
  #expect(areOwn(joined.filtered(by: condition, keys: ["site", "who"], using: &scratch)))
  #expect(areOwn(joined.merged(for: view)) && areOwn(joined.merged(for: view, step: 20)))
  // Without the site, the source is the first key.
  let kept = joined.merged(for: view, keptKeys: [1])
  #expect(kept.sourceWatermarks.count == kept.count)
  for row in 0..<kept.count { #expect(kept.keys(row) == [.string("\(kept.sourceWatermarks[row])")], "seed \(seed)") }
  for keptKeys in [[], [0]] {
    #expect(joined.merged(for: view, keptKeys: keptKeys).sourceWatermarks.isEmpty, "a row may be of several sources")
  }
  var merging = StateRows(layout: view.layout)
  if first.count > 0 {
    one = PartialRows(stride: first.stride)
    one.append(merging: 0, of: first, and: 0, of: first, &merging)
    #expect(areOwn(one))
  }
}

@Test("the windows of a hop, and sessions, have the time of their rows' source")
func windows() {
  let hop = definition(.hop(size: 20, every: 10))
  let panes = filled(
    [Row(start: 0, site: 1, source: "7"), Row(start: 10, site: 1, source: "7"), Row(start: 10, site: 1, source: "8")], hop)
  let windows = panes.windows(of: hop)
  #expect(windows.count == 5 && areOwn(windows))
  let session = definition(.session(gap: 10))
  let seen = [
    Row(start: 0, site: 1, source: "7", end: 25), Row(start: 20, site: 1, source: "7", partition: 1, end: 40),
    Row(start: 0, site: 1, source: "8", end: 25),
  ]
  let sessions = filled(seen, session).merged(for: session)
  #expect(sessions.count == 2 && areOwn(sessions), "sessions of one source in two partitions are joined")
  #expect(filled(seen, session).merged(for: session, keptKeys: [0]).sourceWatermarks.isEmpty)
}

@Test("rows that merge have the earliest time of a source, and rows beside others that have one the lowest")
func earliest() {
  let view = definition()
  func one(_ time: Int64?) -> PartialRows {
    var made = rows([Row(start: 0, site: 1, source: "7")], view)
    if let time { made.fillSourceWatermarks(of: view) { _ in time } }
    return made
  }
  func both(_ first: Int64?, _ second: Int64?) -> PartialRows {
    var rows = one(first)
    rows.append(contentsOf: one(second))
    return rows
  }
  #expect(both(5, 3).sourceWatermarks == [5, 3] && both(5, 3).merged(for: view).sourceWatermarks == [3])
  #expect(both(nil, 3).sourceWatermarks == [.min, 3] && both(3, nil).sourceWatermarks == [3, .min])
  #expect(both(nil, nil).sourceWatermarks.isEmpty)
  var merging = StateRows(layout: view.layout)
  for (first, second, wanted) in [(5, 3, [3]), (nil, 3, [.min]), (3, nil, [.min]), (nil, nil, [])]
    as [(Int64?, Int64?, [Int64])]
  {
    var merged = PartialRows(stride: view.layout.stride)
    merged.append(merging: 0, of: one(first), and: 0, of: one(second), &merging)
    #expect(merged.sourceWatermarks == wanted)
  }
}
