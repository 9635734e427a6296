import Events
import TestSupport
import Testing

@testable import Aggregates

private struct Sample: Hashable {
  var time: Int64
  var value: Double
}

private let second: Int64 = 1_000_000_000
private let layout = StateLayout([.init(function: .rate, argument: 0)])

private func state(_ samples: [Sample]) -> [UInt64] {
  var rows = StateRows(layout: layout)
  rows.append()
  var vector = ValueVector(repeating: .double, count: samples.count)
  vector.bits = samples.map(\.value.bitPattern)
  vector.uniformKind = .double
  Array(repeating: Int32(0), count: samples.count).withUnsafeBufferPointer { slots in
    samples.map(\.time).withUnsafeBufferPointer { times in
      let batch = StateRows.Batch(slots: slots, times: times, baseOffset: .zero)
      rows.fold(argument: 0, vector, batch) { _, _ in }
    }
  }
  return canonical(rows)
}

private func merged(_ parts: [[UInt64]]) -> [UInt64] {
  var rows = StateRows(layout: layout)
  rows.append()
  for part in parts { part.withUnsafeBufferPointer { rows.merge(into: 0, $0) } }
  return canonical(rows)
}

private func canonical(_ rows: borrowing StateRows) -> [UInt64] {
  var words: [UInt64] = []
  rows.appendCanonical(0, to: &words)
  return words
}

private func rate(_ words: [UInt64]) -> Double? {
  if case .double(let value) = words.withUnsafeBufferPointer({ layout.value(of: 0, in: $0) }) { value } else { nil }
}

/// As docs/views.md says it, over all samples.
private func model(_ samples: [Sample]) -> Double? {
  let ordered = Set(samples).sorted { ($0.time, $0.value) < ($1.time, $1.value) }
  guard let first = ordered.first, let last = ordered.last, last.time > first.time else { return nil }
  let increase = zip(ordered, ordered.dropFirst()).reduce(0.0) {
    $0 + ($1.1.value < $1.0.value ? $1.1.value : $1.1.value - $1.0.value)
  }
  return increase / (Double(last.time - first.time) / 1e9)
}

private func isNear(_ a: Double?, _ b: Double?) -> Bool {
  guard let a, let b else { return a == nil && b == nil }
  return abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1e-300)
}

@Suite("Rate, differential: a counter's states against all of its samples")
struct RateDifferentialTests {
  @Test("a reset between two samples of one sixty-fourth of the window is seen")
  func resetWithinASlot() {
    let samples = [(0, 100.0), (10, 110), (20, 5), (30, 20)].map { Sample(time: $0.0 * second, value: $0.1) }
    for order in [samples, samples.reversed(), [samples[2], samples[0], samples[3], samples[1]]] {
      #expect(rate(state(order)) == 1)
    }
  }

  @Test("a day of samples each ten seconds with a reset each ten minutes keeps every reset", arguments: [2, 5, 10, 15])
  func dayOfResets(period: Int64) throws {
    let samples = (0..<86_400 / period).map { Sample(time: $0 * period * second, value: Double($0 * period % 600)) }
    let found = try #require(rate(state(samples)))
    #expect(isNear(found, model(samples)), "each \(period) s: \(found), not \(model(samples) ?? .nan)")
  }

  @Test("4,096 samples are exact whatever they are; of one more, four a slot are kept")
  func bound() {
    var random = SeededGenerator(seed: 4096)
    let samples = (0..<4096).map { Sample(time: $0 * second, value: Double.random(in: 0...1000, using: &random)) }
    #expect(isNear(rate(state(samples)), model(samples)))
    #expect(state(samples).count == 2 + 4096 * 2)
    let more = state(samples + [Sample(time: 4096 * second, value: 1)])
    #expect(more.count <= 2 + CounterRate.slotsMax * 4 * 2 && more[1] > 0)
    // The same samples again are no others.
    #expect(merged([state(samples), state(samples)]) == state(samples))
  }

  @Test("any order, split and merge of the samples leaves the same bytes", arguments: DifferentialSeeds.range(60))
  func sameBytes(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let samples = RateDifferentialTests.samples(&random)
    let whole = state(samples)
    #expect(whole.withUnsafeBufferPointer { layout.isCanonical($0) }, "seed \(seed)")
    #expect(state(samples.shuffled(using: &random)) == whole, "seed \(seed): another order")
    for _ in 0..<3 {
      var parts = Array(repeating: [Sample](), count: Int.random(in: 1...6, using: &random))
      for sample in samples.shuffled(using: &random) {
        // Some are small, and some samples come twice.
        let part = Int.random(in: 0..<3, using: &random) == 0 ? Int.random(in: parts.indices, using: &random) : 0
        parts[part].append(sample)
        if Int.random(in: 0..<20, using: &random) == 0 { parts[parts.count - 1].append(sample) }
      }
      let states = parts.map { state($0) }
      #expect(merged(states) == whole, "seed \(seed): \(parts.map(\.count))")
      #expect(merged(states.reversed()) == whole, "seed \(seed): commutative")
      #expect(merged([states[0], merged(Array(states[1...]))]) == whole, "seed \(seed): associative")
      // Samples that come when others have been merged.
      #expect(merged([merged(Array(states[1...])), states[0], whole]) == whole, "seed \(seed): again")
    }
  }

  @Test("while all samples are kept, the rate is the model's", arguments: DifferentialSeeds.range(60))
  func exactWithinTheBound(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let samples = Array(RateDifferentialTests.samples(&random).prefix(4096)).shuffled(using: &random)
    let found = rate(state(samples))
    #expect(isNear(found, model(samples)), "seed \(seed): \(found as Any), not \(model(samples) as Any)")
  }

  @Test(
    "beyond it, a counter that is reset once a slot at most, and stays below where it was, has the model's rate",
    arguments: DifferentialSeeds.range(30))
  func exactBeyondTheBound(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    // 4.3 s is the widest slot that an hour needs: 3,600 s in 1,024.
    var samples: [Sample] = []
    var value = 0.0
    var sinceReset = 0
    for tick in 0..<Int64(7200) {
      sinceReset += 1
      if sinceReset > Int.random(in: 20...200, using: &random) {
        (value, sinceReset) = (Double.random(in: 0...1, using: &random), 0)
      }
      samples.append(Sample(time: tick * second / 2, value: value))
      value += Double.random(in: 0.5...1, using: &random)
    }
    let found = rate(state(samples.shuffled(using: &random)))
    #expect(isNear(found, model(samples)), "seed \(seed): \(found as Any), not \(model(samples) as Any)")
  }

  /// A counter, or no counter at all; in order or with equal times.
  private static func samples(_ random: inout SeededGenerator) -> [Sample] {
    let count = [0, 1, 2, 5, 40, 900, 4000, 4100, 6000].randomElement(using: &random) ?? 0
    let span: Int64 = [Int64(1), 50, 4000, 100_000, Int64.max / 4].randomElement(using: &random) ?? 1
    let isWild = Bool.random(using: &random)
    var value = 0.0
    return (0..<count).map { index in
      let time = Bool.random(using: &random) ? Int64.random(in: -span...span, using: &random) : Int64(index) * (span / 5000 + 1)
      value = isWild ? Double(Int.random(in: -3...9, using: &random)) : index % 97 == 96 ? 0 : value + 1
      return Sample(time: time, value: value)
    }
  }
}
