import Events
import Expressions
import Foundation
import TestSupport
import Testing

@testable import Aggregates

/// One value of one event.
private struct Sample {
  var kind: ValueKind = .double
  var bits: UInt64 = 0
  var text = ""
  var time: Int64 = 0
  var offset: Int64 = 0

  init(_ value: Double, time: Int64 = 0, offset: Int64 = 0) {
    bits = value.bitPattern
    (self.time, self.offset) = (time, offset)
  }

  init(_ text: String, time: Int64 = 0, offset: Int64 = 0) {
    kind = .string
    self.text = text
    (self.time, self.offset) = (time, offset)
  }
}

private let everything = StateLayout(
  [
    .countRows, .count, .sum, .avg, .min, .max, .variance, .stddev, .first, .last, .quantile(0.5), .quantile(0.95),
    .countDistinct, .rate,
  ].map { .init(function: $0, argument: $0 == .countRows ? nil : 0) })

private func state(_ samples: [Sample], _ layout: StateLayout = everything) -> [UInt64] {
  var rows = StateRows(layout: layout)
  rows.append()
  // Each sample a batch of its own: their offsets need not follow one another.
  for sample in samples {
    var vector = ValueVector(repeating: sample.kind, bits: sample.bits, count: 1)
    vector.uniformKind = sample.kind == .double ? .double : nil
    [Int32(0)].withUnsafeBufferPointer { slots in
      [sample.time].withUnsafeBufferPointer { times in
        let batch = StateRows.Batch(slots: slots, times: times, baseOffset: Offset(sample.offset))
        rows.foldRows(batch)
        rows.fold(argument: 0, vector, batch) { _, body in Array(sample.text.utf8).withUnsafeBytes(body) }
      }
    }
  }
  return canonical(rows)
}

private func canonical(_ rows: borrowing StateRows) -> [UInt64] {
  var words: [UInt64] = []
  rows.appendCanonical(0, to: &words)
  return words
}

private func merged(_ parts: [[UInt64]], _ layout: StateLayout = everything) -> [UInt64] {
  var rows = StateRows(layout: layout)
  rows.append()
  for part in parts { part.withUnsafeBufferPointer { rows.merge(into: 0, $0) } }
  return canonical(rows)
}

private func value(_ function: AggregateFunction, _ values: [Double]) -> ResultValue {
  let layout = StateLayout([.init(function: function, argument: 0)])
  return stateWords(layout, values).withUnsafeBufferPointer { layout.value(of: 0, in: $0) }
}

private func double(_ function: AggregateFunction, _ values: [Double]) -> Double {
  if case .double(let value) = value(function, values) { value } else { .nan }
}

private func randomSamples(_ random: inout SeededGenerator, count: Int) -> [Sample] {
  let isWild = Bool.random(using: &random)
  return (0..<count).map { index in
    let time = Int64.random(in: -500...20_000, using: &random)
    switch Int.random(in: 0..<(isWild ? 10 : 4), using: &random) {
    case 0: return Sample(Double(Int.random(in: -5...5, using: &random)), time: time, offset: Int64(index))
    case 4: return Sample(Double.random(in: -1e300...1e300, using: &random), time: time, offset: Int64(index))
    case 5: return Sample(Double.random(in: -1e-300...1e-300, using: &random), time: time, offset: Int64(index))
    case 6: return Sample(Double(bitPattern: UInt64.random(in: 0...1 << 40, using: &random)), time: time, offset: Int64(index))
    case 7:
      let text = String(repeating: "x", count: Int.random(in: 0...40, using: &random))
      return Sample(text + "\(Int.random(in: 0...9, using: &random))", time: time, offset: Int64(index))
    default: return Sample(Double.random(in: -100...100, using: &random), time: time, offset: Int64(index))
    }
  }
}

@Test(
  "merging is commutative and associative, and any order and split of the events leaves the same bytes, for every aggregate",
  arguments: 1...60 as ClosedRange<UInt64>)
func mergeLaws(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  let samples = randomSamples(&random, count: [1, 2, 7, 200, 3000].randomElement(using: &random)!)
  let whole = state(samples)
  #expect(whole.withUnsafeBufferPointer { everything.isCanonical($0) }, "seed \(seed)")
  #expect(state(samples.shuffled(using: &random)) == whole, "seed \(seed): another order")
  for _ in 0..<4 {
    var parts = Array(repeating: [Sample](), count: Int.random(in: 1...5, using: &random))
    for sample in samples.shuffled(using: &random) { parts[Int.random(in: parts.indices, using: &random)].append(sample) }
    let states = parts.map { state($0) }
    #expect(merged(states) == whole, "seed \(seed): \(parts.count) parts")
    #expect(merged(states.reversed()) == whole, "seed \(seed): commutative")
    #expect(merged([states[0], merged(Array(states[1...]))]) == whole, "seed \(seed): associative")
  }
  #expect(merged([whole]) == whole && merged([whole, state([])]) == whole, "seed \(seed): nothing adds nothing")
}

@Test("a sum is the exact one, rounded once, however its parts cancel", arguments: 1...30 as ClosedRange<UInt64>)
func exactSums(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  let scales: [Double] = [1e-310, 1e-30, 1e-12, 1, 1e6, 1e20, 1e30, 1e200]
  var values: [Double] = []
  for _ in 0..<Int.random(in: 1...200, using: &random) {
    let value = Double.random(in: -1...1, using: &random) * scales.randomElement(using: &random)!
    values.append(value)
    if Bool.random(using: &random) { values.append(-value) }
  }
  // An independent exact sum: Shewchuk's, whose parts never overlap, added from the smallest.
  let expected = exactParts(values).reduce(0, +)
  let sum = double(.sum, values.shuffled(using: &random))
  #expect(abs(sum - expected) <= expected.ulp, "seed \(seed): \(sum), \(expected)")
  #expect(double(.sum, values + values.map { -$0 }) == 0, "seed \(seed)")
}

@Test("variance is the sample's, and right where squares cancel")
func variance() {
  #expect(value(.variance, [5]) == .null && value(.stddev, []) == .null)
  #expect(double(.variance, [2, 4, 4, 4, 5, 5, 7, 9]) == 32.0 / 7)
  #expect(double(.stddev, [1, 3]) == 2.0.squareRoot())
  #expect(double(.variance, Array(repeating: 0.1, count: 1000)) == 0)
  #expect(double(.variance, [1e12 + 1, 1e12 + 2, 1e12 + 3]) == 1)
  #expect(double(.variance, [1e300, 1e300, 1e300]) == 0)
  #expect(double(.variance, [1e-200, 3e-200]) == 0)
  #expect(abs(double(.variance, [1e-150, 3e-150]) / 2e-300 - 1) < 1e-14)
  #expect(abs(double(.stddev, [1, 1e12]) / ((1e12 - 1) / 2.0.squareRoot()) - 1) < 1e-15)
  #expect(value(.variance, [1e308, -1e308]) == .null)
}

private let tiny = Double.leastNonzeroMagnitude

@Test("a quantile lies within 1 % of the value at its rank, on adversarial data too")
func quantiles() {
  var random = SeededGenerator(seed: 7)
  let data: [(String, [Double])] = [
    ("constants", Array(repeating: 21.53, count: 1000)), ("one", [-3]), ("two", [1, 1e12]),
    ("two, small first", [1e-12, 1, 1, 1e12]),
    ("denormals", (1...500).map { Double($0) * tiny }), ("denormals and ones", [tiny, 3 * tiny, 1, 2, -tiny, -1]),
    ("zeros", [0, -0.0, 0, 1, -1]), ("negative", (1...2000).map { -Double($0) }),
    ("largest", [Double.greatestFiniteMagnitude, 1e308, 1.5e308, -Double.greatestFiniteMagnitude]),
    ("uniform", (0..<10_000).map { _ in Double.random(in: -50...50, using: &random) }),
    ("log-uniform", (0..<20_000).map { _ in Foundation.exp(Double.random(in: -30...30, using: &random)) }),
    ("powers of two", (-60...60).map { Foundation.pow(2, Double($0)) }),
    (
      "around powers of two",
      (-30...30).flatMap { [Foundation.pow(2, Double($0)).nextDown, Foundation.pow(2, Double($0)).nextUp] }
    ),
  ]
  for (name, values) in data {
    let sorted = values.sorted()
    for q in [0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1] {
      let expected = sorted[Int((q * Double(values.count - 1)).rounded())]
      let found = double(.quantile(q), values.shuffled(using: &random))
      #expect(abs(found - expected) <= 0.01 * abs(expected) + tiny, "\(name), \(q): \(found), expected \(expected)")
    }
  }
  #expect(value(.quantile(0.5), []) == .null)
  #expect(double(.quantile(0.3), Array(repeating: 0.1, count: 77)) == 0.1, "exact for constants")
}

@Test("a quantile's sketch is bounded, and what it gives up does not depend on the order")
func quantileBound() {
  // Every power of γ over all of the doubles' range: more bins than there may be.
  let values = (0..<30_000).map { Foundation.pow(2, Double($0) / 30_000 * 2000 - 1000) * ($0 % 3 == 0 ? -1 : 1) }
  let layout = StateLayout([.init(function: .quantile(0.99), argument: 0)])
  var random = SeededGenerator(seed: 3)
  let whole = stateWords(layout, values)
  #expect(whole.count == 1 + 2 + QuantileSketch.binsMax + 1)
  #expect(stateWords(layout, values.shuffled(using: &random)) == whole)
  #expect(merged([stateWords(layout, Array(values[..<9000])), stateWords(layout, Array(values[9000...]))], layout) == whole)
  let expected = values.sorted()[Int((0.99 * 29_999).rounded())]
  #expect(abs(double(.quantile(0.99), values) / expected - 1) < 0.01)
}

@Test("distinct values are counted exactly while few, and within four standard errors when many")
func distinct() {
  func layoutCount(_ samples: [Sample]) -> ResultValue {
    let layout = StateLayout([.init(function: .countDistinct, argument: 0)])
    return state(samples, layout).withUnsafeBufferPointer { layout.value(of: 0, in: $0) }
  }
  #expect(layoutCount([]) == .int(0))
  #expect(layoutCount([Sample("a"), Sample("b"), Sample("a"), Sample("1"), Sample(1), Sample(1.0), Sample(1.5)]) == .int(5))
  for count in [1, 10, 1000, 1024] {
    #expect(value(.countDistinct, (0..<count * 3).map { Double($0 % count) }) == .int(Int64(count)))
  }
  for count in [1025, 2000, 5000, 20_000, 50_000, 200_000, 1_000_000] {
    guard case .int(let found) = value(.countDistinct, (0..<count).map { Double($0) * 0.37 }) else {
      Issue.record("no count")
      continue
    }
    #expect(abs(Double(found) / Double(count) - 1) < 4 * 0.0081, "\(count): \(found)")
  }
}

@Test("over many sets the standard error of count_distinct is below 1 %")
func distinctError() {
  for count in [1500, 10_000, 40_000] {
    var squares = 0.0
    let runs = 60
    for run in 0..<runs {
      guard case .int(let found) = value(.countDistinct, (0..<count).map { Double(run * 1_000_003 + $0) }) else { continue }
      squares += Foundation.pow(Double(found) / Double(count) - 1, 2)
    }
    // In 60 runs the estimate of the error itself is within 30 % of the true one, 99.9 % of the time.
    #expect((squares / Double(runs)).squareRoot() < 0.0081 * 1.3, "\(count)")
  }
}

@Test("first and last go by event time, ties by offset, and keep any scalar")
func firstAndLast() {
  let layout = StateLayout([.init(function: .first, argument: 0), .init(function: .last, argument: 0)])
  func results(_ samples: [Sample]) -> [ResultValue] {
    state(samples, layout).withUnsafeBufferPointer { layout.values(of: $0) }
  }
  #expect(results([]) == [.null, .null])
  #expect(results([Sample("b", time: 5, offset: 1), Sample("a", time: 3, offset: 2)]) == [.string("a"), .string("b")])
  #expect(
    results([Sample(1, time: 5, offset: 1), Sample(2, time: 5, offset: 2), Sample(3, time: 5, offset: 3)]) == [
      .double(1), .double(3),
    ])
  #expect(results([Sample("", time: -5, offset: 0)]) == [.string(""), .string("")])
  let long = String(repeating: "ä", count: 5000)
  #expect(results([Sample(long, time: 1, offset: 0), Sample("z", time: 0, offset: 1)]) == [.string("z"), .string(long)])
  var flag = Sample(0, time: 9, offset: 9)
  (flag.kind, flag.bits) = (.bool, 1)
  #expect(results([flag])[0] == .bool(true))
  // Rows of two partitions, with one offset and time: the same whichever comes first.
  let (a, b) = (state([Sample("a")], layout), state([Sample("b")], layout))
  #expect(merged([a, b], layout) == merged([b, a], layout))
}

@Test("rate is the increase over the time between first and last sample, resets counted from zero")
func rates() {
  let second: Int64 = 1_000_000_000
  let layout = StateLayout([.init(function: .rate, argument: 0)])
  func rate(_ samples: [(Int64, Double)]) -> ResultValue {
    let samples = samples.enumerated().map { Sample($1.1, time: $1.0 * second, offset: Int64($0)) }
    return state(samples, layout).withUnsafeBufferPointer { layout.value(of: 0, in: $0) }
  }
  #expect(rate([]) == .null && rate([(3, 5)]) == .null && rate([(3, 5), (3, 9)]) == .null)
  #expect(rate([(0, 100), (10, 150)]) == .double(5))
  #expect(rate([(10, 150), (0, 100), (5, 110)]) == .double(5), "out of order")
  #expect(rate([(0, 100), (5, 110), (6, 4), (10, 14)]) == .double(2.4), "100→110, reset to 4, 14")
  // Two windows merged: what the counter rose between them counts.
  let first = state([Sample(10, time: 0, offset: 0), Sample(20, time: 10 * second, offset: 1)], layout)
  let second2 = state([Sample(50, time: 20 * second, offset: 2), Sample(60, time: 30 * second, offset: 3)], layout)
  #expect(merged([second2, first], layout).withUnsafeBufferPointer { layout.value(of: 0, in: $0) } == .double(50.0 / 30))
  // Bounded, however long: slots widen.
  let long = (0..<5000).map { Sample(Double($0), time: Int64($0) * second, offset: Int64($0)) }
  let words = state(long, layout)
  #expect(words.count <= 1 + CounterRate.tailWordsMax)
  #expect(words.withUnsafeBufferPointer { layout.value(of: 0, in: $0) } == .double(1))
}

@Test(
  "a stored state reads back; any damage to it is refused or gives another state, never a crash",
  arguments: 1...20 as ClosedRange<UInt64>)
func stateCodec(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  let words = state(randomSamples(&random, count: Int.random(in: 0...300, using: &random)))
  var bytes: [UInt8] = []
  words.withUnsafeBufferPointer { StateCodec.encode($0, to: &bytes) }
  func decoded(_ bytes: [UInt8]) -> [UInt64]? {
    var words: [UInt64] = [7]
    let isDecoded = bytes.withUnsafeBytes { StateCodec.decode($0, everything, appendingTo: &words) }
    #expect(isDecoded || words == [7], "nothing is left of what was refused")
    return isDecoded ? Array(words[1...]) : nil
  }
  #expect(decoded(bytes) == words)
  for length in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 40)) {
    #expect(decoded(Array(bytes[..<length])) == nil)
  }
  #expect(decoded(bytes + Array(repeating: 0, count: 8)) == nil)
  for _ in 0..<300 {
    var damaged = bytes
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      damaged[Int.random(in: damaged.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
    }
    guard let words = decoded(damaged) else { continue }
    // Whatever was let in can be merged and read.
    let twice = merged([words, words])
    _ = twice.withUnsafeBufferPointer { everything.values(of: $0) }
  }
}
