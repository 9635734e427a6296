import Events
import Expressions
import TestSupport
import Testing

@testable import Aggregates

private let functions: [StateLayout.Column] = [
  .init(function: .countRows, argument: nil), .init(function: .count, argument: 0), .init(function: .sum, argument: 0),
  .init(function: .avg, argument: 0), .init(function: .min, argument: 0), .init(function: .max, argument: 0),
]
private let layout = StateLayout(functions)

private func vector(_ cells: [TableRows.Cell]) -> ValueVector {
  var vector = ValueVector()
  TableRows(["data.x": cells]).load(.data(["x"]), into: &vector)
  return vector
}

private func vector(_ values: [Double]) -> ValueVector { vector(values.map { .double($0) }) }

/// Folds rows, cut into batches after each of `cuts`, into one state for each slot: their canonical forms, with each row's number
/// as its offset and time.
private func states(
  _ values: ValueVector, slots: [Int32]? = nil, slotCount: Int = 1, cuts: [Int] = [], layout: StateLayout = layout
) -> [[UInt64]] {
  var rows = StateRows(layout: layout)
  for _ in 0..<slotCount { rows.append() }
  let slots = slots ?? Array(repeating: 0, count: values.count)
  var start = 0
  for end in cuts + [values.count] {
    var part = ValueVector()
    part.kinds = Array(values.kinds[start..<end])
    part.bits = Array(values.bits[start..<end])
    part.uniformKind = part.kinds.dropFirst().allSatisfy { $0 == part.kinds[0] } ? part.kinds.first : nil
    let times = (start..<end).map { Int64($0) }
    slots[start..<end].withUnsafeBufferPointer { slots in
      times.withUnsafeBufferPointer { times in
        let batch = StateRows.Batch(slots: slots, times: times, baseOffset: Offset(Int64(start)))
        rows.foldRows(batch)
        rows.fold(argument: 0, part, batch) { code, body in Array("text \(code)".utf8).withUnsafeBytes(body) }
      }
    }
    start = end
  }
  return (0..<slotCount).map { row in
    var words: [UInt64] = []
    rows.appendCanonical(row, to: &words)
    return words
  }
}

private func fold(_ values: ValueVector, cuts: [Int] = [], layout: StateLayout = layout) -> [UInt64] {
  states(values, cuts: cuts, layout: layout)[0]
}

private func merged(_ parts: [UInt64]..., layout: StateLayout = layout) -> [UInt64] {
  var rows = StateRows(layout: layout)
  rows.append()
  for part in parts { part.withUnsafeBufferPointer { rows.merge(into: 0, $0) } }
  var words: [UInt64] = []
  rows.appendCanonical(0, to: &words)
  return words
}

private func results(_ state: [UInt64], layout: StateLayout = layout) -> [ResultValue] {
  state.withUnsafeBufferPointer { layout.values(of: $0) }
}

/// The sum rounded once.
private func exactSum(_ values: [Double]) -> Double { exactParts(values).reversed().reduce(0, +) }

/// An exact sum of doubles as a list of non-overlapping parts, the smallest first.
/// Source: J. Shewchuk 1997, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates".
func exactParts(_ values: [Double]) -> [Double] {
  var parts: [Double] = []
  for var x in values {
    var kept: [Double] = []
    for var y in parts {
      if abs(x) < abs(y) { swap(&x, &y) }
      let high = x + y
      let low = y - (high - x)
      if low != 0 { kept.append(low) }
      x = high
    }
    parts = kept + [x]
  }
  return parts
}

@Test("of no values, counts are 0 and all else is null")
func emptyState() {
  #expect(results(layout.initialWords) == [.int(0), .int(0), .null, .null, .null, .null])
  #expect(results(fold(vector([.null, .missing]))) == [.int(2), .int(0), .null, .null, .null, .null])
}

@Test("nulls, missing fields and what is no number are left out; what is no number is counted")
func skipping() {
  let cells: [TableRows.Cell] = [
    .null, .missing, .double(2.5), .int(4), .string("9"), .bool(true), .raw("[1]"), .double(.infinity), .double(.nan), .int(-1),
  ]
  let values = vector(cells)
  var rows = StateRows(layout: layout)
  rows.append()
  var unusable = 0
  Array(repeating: Int32(0), count: cells.count).withUnsafeBufferPointer { slots in
    let batch = StateRows.Batch(slots: slots, times: UnsafeBufferPointer(start: nil, count: 0), baseOffset: .zero)
    rows.foldRows(batch)
    unusable = rows.fold(argument: 0, values, batch) { _, _ in }
  }
  var state: [UInt64] = []
  rows.appendCanonical(0, to: &state)
  #expect(results(state) == [.int(10), .int(8), .double(5.5), .double(5.5 / 3), .double(-1), .double(4)])
  #expect(unusable == 5 * 3)  // sum and avg share a cell; min; max
}

@Test("computed values that are infinite or no number are left out by the loop for doubles too")
func uniformNonFinite() {
  #expect(
    results(fold(vector([1, .infinity, .nan, -.infinity, 2]))) == [
      .int(5), .int(5), .double(3), .double(1.5), .double(1), .double(2),
    ])
}

@Test("rows go to their slots, and slot −1 leaves them out")
func slots() {
  let states = states(vector([1, 2, 3, 4, 5]), slots: [0, 1, -1, 1, 0], slotCount: 3)
  #expect(results(states[0]) == [.int(2), .int(2), .double(6), .double(3), .double(1), .double(5)])
  #expect(results(states[1]) == [.int(2), .int(2), .double(6), .double(3), .double(2), .double(4)])
  #expect(states[2] == layout.initialWords)
}

@Test("the state lies as documented: sum and avg of one argument share four words")
func stateLayout() {
  #expect(layout.stride == 1 + 1 + 4 + 1 + 1)
  let two = StateLayout([.init(function: .sum, argument: 0), .init(function: .sum, argument: 1)])
  #expect(two.stride == 8)
}

private let tiny = Double.leastNonzeroMagnitude
private let alternating: [Double] = (1...5001).map { (index: Int) -> Double in (index % 2 == 0 ? -1.0 : 1.0) / Double(index) }
private let adversarial: [(name: String, values: [Double])] = [
  ("beyond 2^53", [1e16, 1, 1, 1, 1, -1e16]),
  ("twelve decades apart", [1e12, 1, 1e-3, -1e12, 1e-9]),
  ("Neumaier's example, where Kahan fails", [1, 1e100, 1, -1e100]),
  ("the largest that fit", [8e307, 8e307, -8e307, -8e307, 3]),
  ("denormals", [tiny, tiny, 0x1p-1030, -tiny]),
  ("denormals beside ones", [1, tiny, -1]),
  ("tenths", Array(repeating: 0.1, count: 10_000)),
  ("alternating", alternating),
  ("zeros of both signs", [-0.0, 0.0, -0.0]),
]

@Test("sums are exact where plain addition is not", arguments: adversarial.indices)
func sums(_ index: Int) throws {
  let (name, values) = adversarial[index]
  guard case .double(let sum) = results(fold(vector(values)))[2] else { throw TestFailure("\(name): no sum") }
  let exact = exactSum(values)
  #expect(sum == exact, "\(name): \(sum) and \(exact)")
}

private struct TestFailure: Error {
  let text: String
  init(_ text: String) { self.text = text }
}

@Test("a sum beyond the range of doubles is null, and comes back when later values bring it back")
func overflow() {
  for values in [[1e308, 1e308], [-1e308, -1e308], [1e308, 1e308, 5]] {
    let state = fold(vector(values))
    #expect(results(state)[2] == .null)
    #expect(results(state)[3] == .null)
    #expect(results(state)[5] == .double(values.max()!))
    #expect(results(merged(state, fold(vector([1]))))[2] == .null)
    #expect(results(merged(state, fold(vector(values.map { -$0 }))))[2] == .double(0))
  }
  #expect(results(fold(vector([1e308, 1e308, -1e308, -1e308])))[2] == .double(0))
}

@Test("min and max do not depend on the order of the two zeros")
func zeros() {
  #expect(fold(vector([0.0, -0.0])) == fold(vector([-0.0, 0.0])))
  #expect(results(fold(vector([-0.0])))[4].json == "0.0")
}

private func randomCell(_ random: inout SeededGenerator) -> TableRows.Cell {
  switch Int.random(in: 0..<12, using: &random) {
  case 0: .null
  case 1: .missing
  case 2: .string("x")
  case 3: .int(Int64.random(in: -1000...1000, using: &random))
  case 4: .int(Int64.random(in: .min ... .max, using: &random))
  case 5: .double(Double.random(in: -1e300...1e300, using: &random))
  case 6: .double(Double.random(in: -1e-300...1e-300, using: &random))
  default: .double(Double.random(in: -100...100, using: &random))
  }
}

@Test("any split of the rows into batches leaves the same words", arguments: 1...40 as ClosedRange<UInt64>)
func batchSplits(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  let count = Int.random(in: 1...300, using: &random)
  // Stretches of doubles alone among the rest, so that both loops take part in one sum.
  let cells: [TableRows.Cell] = (0..<count).map {
    $0 % 60 < 30 ? .double(Double.random(in: -1e9...1e9, using: &random)) : randomCell(&random)
  }
  let slots = (0..<count).map { _ in Int32.random(in: -1...3, using: &random) }
  let whole = states(vector(cells), slots: slots, slotCount: 4)
  for _ in 0..<10 {
    let cuts = (0..<Int.random(in: 1...20, using: &random)).map { _ in Int.random(in: 0...count, using: &random) }.sorted()
    #expect(states(vector(cells), slots: slots, slotCount: 4, cuts: cuts) == whole, "seed \(seed), cuts \(cuts)")
  }
  #expect(states(vector(cells), slots: slots, slotCount: 4, cuts: Array(1..<count)) == whole, "seed \(seed), one at a time")
}

@Test("the state hash does not depend on the order of rows, and notices each part of each row")
func stateHash() {
  typealias Row = (partition: Int, start: Int64, key: [UInt8], state: [UInt64])
  func hash(_ rows: [Row]) -> StateHash {
    var hash = StateHash()
    for row in rows {
      row.key.withUnsafeBytes { key in
        row.state.withUnsafeBufferPointer {
          hash.add(partition: PartitionID(row.partition), windowStart: row.start, windowEnd: row.start + 1, key: key, state: $0)
        }
      }
    }
    return hash
  }
  let rows: [Row] = [(0, 10, [1, 2], [3, 4]), (1, 20, [5], [6, 7])]
  #expect(hash(rows) == hash(rows.reversed()))
  let changed: [[Row]] = [
    [(1, 10, [1, 2], [3, 4]), rows[1]], [(0, 11, [1, 2], [3, 4]), rows[1]], [(0, 10, [1, 3], [3, 4]), rows[1]],
    [(0, 10, [1, 2], [4, 3]), rows[1]], [(0, 10, [1, 2], [3, 5]), rows[1]], [rows[0]], [rows[0], rows[1], rows[1]],
    [(0, 10, [1, 2], [6, 7]), (1, 20, [5], [3, 4])],
  ]
  for other in changed { #expect(hash(other) != hash(rows)) }
}
