import Aggregates
import Events
import Expressions
import TestSupport
import Testing

@testable import Views

private let layout = StateLayout([
  .init(function: .countRows, argument: nil), .init(function: .sum, argument: 0), .init(function: .min, argument: 0),
  .init(function: .max, argument: 0),
])

private struct Row: Hashable {
  var partition: Int
  var start: Int64
  var keys: [ResultValue]
  var values: [Double]
}

private func rows(_ rows: [Row], size: Int64 = 10) -> PartialRows {
  var result = PartialRows(stride: layout.stride)
  for row in rows {
    KeyCodec.encode(row.keys).withUnsafeBytes { key in
      stateWords(layout, row.values).withUnsafeBufferPointer {
        result.append(
          partition: PartitionID(row.partition), windowStart: row.start, windowEnd: row.start + size, key: key, state: $0)
      }
    }
  }
  return result
}

private func described(_ rows: PartialRows) -> [String] {
  (0..<rows.count).map { row in
    let values = rows.withState(row) { layout.values(of: $0) }
    return ([rows.windowStarts[row].description, rows.windowEnds[row].description] + (rows.keys(row) + values).map(\.plainText))
      .joined(separator: " ")
  }
}

private let sample: [Row] = [
  Row(partition: 1, start: 10, keys: [.string("b"), .int(1)], values: [5]),
  Row(partition: 0, start: 10, keys: [.string("a"), .int(2)], values: [1, 2]),
  Row(partition: 0, start: 0, keys: [.string("a"), .int(1)], values: [4]),
  Row(partition: 1, start: 10, keys: [.string("a"), .int(2)], values: [-3]),
  Row(partition: 0, start: 20, keys: [.null, .int(1)], values: [7]),
]

@Test("rows of one window and key become one, in order of window and key")
func mergesPartitions() {
  #expect(
    described(rows(sample).merged(layout: layout)) == [
      "0 10 a 1 1 4.0 4.0 4.0", "10 20 a 2 3 0.0 -3.0 2.0", "10 20 b 1 1 5.0 5.0 5.0", "20 30  1 1 7.0 7.0 7.0",
    ])
}

@Test("fewer keys merge rows across them, and none merges all of a window")
func fewerKeys() {
  #expect(
    described(rows(sample).merged(layout: layout, keptKeys: [1])) == [
      "0 10 1 1 4.0 4.0 4.0", "10 20 1 1 5.0 5.0 5.0", "10 20 2 3 0.0 -3.0 2.0", "20 30 1 1 7.0 7.0 7.0",
    ])
  #expect(
    described(rows(sample).merged(layout: layout, keptKeys: [])) == [
      "0 10 1 4.0 4.0 4.0", "10 20 4 5.0 -3.0 5.0", "20 30 1 7.0 7.0 7.0",
    ])
  #expect(described(rows([sample[0]]).merged(layout: layout, keptKeys: [1, 0])) == ["10 20 1 b 1 5.0 5.0 5.0"])
}

@Test("a step merges windows, aligned to the epoch")
func steps() {
  #expect(
    described(rows(sample).merged(layout: layout, keptKeys: [], step: 20)) == ["0 20 5 9.0 -3.0 5.0", "20 40 1 7.0 7.0 7.0"])
  let before = [Row(partition: 0, start: -10, keys: [], values: [1]), Row(partition: 0, start: 0, keys: [], values: [2])]
  #expect(described(rows(before).merged(layout: layout, step: 20)) == ["-20 0 1 1.0 1.0 1.0", "0 20 1 2.0 2.0 2.0"])
}

@Test("the order in which rows come changes nothing, not a bit", arguments: 1...20 as ClosedRange<UInt64>)
func orderOfRows(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  var all: Set<Row> = []
  var taken: Set<[Int]> = []
  for _ in 0..<200 {
    let (partition, start, key) = (
      Int.random(in: 0..<4, using: &random), Int.random(in: 0..<5, using: &random), Int.random(in: 0..<6, using: &random)
    )
    // A store has one row for a partition, window and key.
    guard taken.insert([partition, start, key]).inserted else { continue }
    let values = (0..<3).map { _ in Double.random(in: -1e9...1e9, using: &random) }
    all.insert(
      Row(partition: partition, start: Int64(start) * 10, keys: [.int(Int64(key)), .string("k\(key % 2)")], values: values))
  }
  let ordered = Array(all)
  for (keys, step) in [(nil, nil), ([1], nil), ([], 20), (nil, 50)] as [([Int]?, Int64?)] {
    let expected = rows(ordered).merged(layout: layout, keptKeys: keys, step: step)
    let other = rows(ordered.shuffled(using: &random)).merged(layout: layout, keptKeys: keys, step: step)
    #expect(other.states == expected.states, "seed \(seed)")
    #expect(other.keyBytes == expected.keyBytes)
    #expect(other.windowStarts == expected.windowStarts)
    let counted = (0..<expected.count).reduce(0) { $0 + expected.states[$1 * layout.stride] }
    #expect(counted == UInt64(ordered.count * 3), "seed \(seed): no event is lost or doubled")
  }
}

@Test("rows appended to rows keep their keys")
func appending() {
  var joined = rows(Array(sample[..<2]))
  joined.append(contentsOf: rows(Array(sample[2...])))
  #expect(described(joined) == described(rows(sample)))
  #expect(rows([]).merged(layout: layout).count == 0)
}

@Test("errors of a store say what there is")
func storeErrors() {
  #expect(
    ViewStoreError.unknownView("dayly", known: ["daily", "activity"]).description
      == "there is no view 'dayly': did you mean daily?")
  #expect(ViewStoreError.unknownView("x", known: []).description == "there is no view 'x': there are none")
  #expect(
    ViewStoreError.missingPartitions([PartitionID(1), PartitionID(3)]).description == "no worker answers for partition 1, 3")
}

@Test("a condition over keys and windows keeps the rows for which it is true")
func filtering() throws {
  let definition = ViewDefinition(
    name: "v", keys: [KeyColumn(name: "site", path: .data(["site"])), KeyColumn(name: "floor", path: .data(["floor"]))],
    window: .tumble(size: 10), aggregates: [AggregateColumn(name: "n", function: .countRows)])
  var scratch = EvaluationScratch()
  for (text, kept) in [
    (#"site == "a""#, [1, 2, 3]), ("site == null", [4]), ("floor > 1", [1, 3]), (#"site > "a""#, [0]), ("floor == 2.0", [1, 3]),
    (#"window_start >= timestamp("1970-01-01T00:00:00.00000002Z")"#, [4]), ("true", [0, 1, 2, 3, 4]),
    ("site.size() == 1", [0, 1, 2, 3]),
  ] as [(String, [Int])] {
    let condition = try Expression(parsing: text, scope: definition.schema.keyScope)
    let result = rows(sample).filtered(by: condition, keys: definition.keys.map(\.name), using: &scratch)
    #expect(described(result) == kept.flatMap { described(rows([sample[$0]])) }, "\(text)")
  }
  for text in ["n > 1", "final", "data.site == 1"] {
    #expect(throws: ExpressionError.self) { try Expression(parsing: text, scope: definition.schema.keyScope) }
  }
}

@Test("a window is closed once the event-time watermark has passed its end and the allowed lateness")
func closing() {
  let definition = ViewDefinition(
    name: "v", window: .tumble(size: 10), watermarkDelay: 3, allowedLateness: 5,
    aggregates: [AggregateColumn(name: "n", function: .countRows)])
  #expect(definition.eventTimeWatermark(ofLargest: 18) == 15)
  #expect(definition.eventTimeWatermark(ofLargest: .min) == .min)
  #expect(!definition.isClosed(windowEnd: 10, at: 14))
  #expect(definition.isClosed(windowEnd: 10, at: 15))
  #expect(!definition.isClosed(windowEnd: .max, at: .max))
}
