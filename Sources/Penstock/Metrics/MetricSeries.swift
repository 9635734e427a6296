import Metrics
import Synchronization

/// A total that only rises: one atomic add an update.
final class CounterSeries: CounterHandler, FloatingPointCounterHandler, Sendable {
  private let whole = Atomic<Int64>(0)
  /// The sum of the fractional additions, as the bits of a Double.
  private let fraction = Atomic<UInt64>(0)

  var value: Double { Double(whole.load(ordering: .relaxed)) + Double(bitPattern: fraction.load(ordering: .relaxed)) }

  /// A whole number where no fractions were added, so that large totals keep every digit.
  var text: String {
    fraction.load(ordering: .relaxed) == 0 ? "\(whole.load(ordering: .relaxed))" : prometheusNumber(value)
  }

  func increment(by amount: Int64) { whole.wrappingAdd(amount, ordering: .relaxed) }

  func increment(by amount: Double) {
    guard amount.isFinite, amount > 0 else { return }
    add(amount, to: fraction)
  }

  func reset() {
    whole.store(0, ordering: .relaxed)
    fraction.store(0, ordering: .relaxed)
  }
}

/// A value that rises and falls: one atomic store an update.
final class GaugeSeries: MeterHandler, RecorderHandler, Sendable {
  private let bits = Atomic<UInt64>(0)

  var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

  func set(_ value: Int64) { set(Double(value)) }
  func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
  func increment(by amount: Double) { add(amount, to: bits) }
  func decrement(by amount: Double) { add(-amount, to: bits) }
  func record(_ value: Int64) { set(Double(value)) }
  func record(_ value: Double) { set(value) }
}

/// A distribution over fixed buckets. An update finds its bucket by bisection and adds under an uncontended lock.
final class HistogramSeries: RecorderHandler, TimerHandler, Sendable {
  struct Snapshot: Sendable {
    /// The count of each bucket, not cumulative; the last bucket lies beyond every bound.
    var counts: [UInt64]
    var sum: Double
  }

  /// Inclusive upper bounds, ascending.
  let bounds: [Double]
  private let state: Mutex<Snapshot>

  init(bounds: [Double]) {
    self.bounds = bounds
    state = Mutex(Snapshot(counts: Array(repeating: 0, count: bounds.count + 1), sum: 0))
  }

  var snapshot: Snapshot { state.withLock { $0 } }

  func record(_ value: Int64) { record(Double(value)) }

  func record(_ value: Double) {
    guard value.isFinite else { return }
    var low = 0
    var high = bounds.count
    while low < high {
      let middle = (low + high) / 2
      if bounds[middle] < value { low = middle + 1 } else { high = middle }
    }
    state.withLock {
      $0.counts[low] += 1
      $0.sum += value
    }
  }

  func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
}

private func add(_ amount: Double, to bits: borrowing Atomic<UInt64>) {
  var current = bits.load(ordering: .relaxed)
  while true {
    let next = (Double(bitPattern: current) + amount).bitPattern
    let (exchanged, original) = bits.weakCompareExchange(expected: current, desired: next, ordering: .relaxed)
    if exchanged { return }
    current = original
  }
}

/// A number as Prometheus' text format writes it.
func prometheusNumber(_ value: Double) -> String {
  if value.isNaN { return "NaN" }
  if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
  if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
  return "\(value)"
}
