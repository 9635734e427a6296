/// The change between two samples of the overview.
struct OverviewChange: Sendable {
  let sample: OverviewSample
  /// Nil for the first sample.
  let previous: OverviewSample?
  /// Seconds between the two samples, measured by this process.
  let seconds: Double

  init(_ sample: OverviewSample, after previous: OverviewSample? = nil, seconds: Double = 0) {
    self.sample = sample
    // A service that was started anew, or heard of just now, counts from 0: there is no rate across that.
    self.previous = previous.flatMap {
      $0.received <= sample.received && $0.knowsIngest == sample.knowsIngest && seconds > 0 ? $0 : nil
    }
    self.seconds = seconds
  }

  /// Events per second; nil without an earlier sample.
  func rate(_ count: (OverviewSample) -> Int) -> Double? {
    previous.map { Double(max(0, count(sample) - count($0))) / seconds }
  }

  func rate(of view: OverviewSample.View) -> Double? {
    guard let before = previous?.views.first(where: { $0.name == view.name && $0.generation == view.generation }) else {
      return nil
    }
    return Double(max(0, view.counted - before.counted)) / seconds
  }

  func rate(of partition: OverviewSample.Partition) -> Double? {
    guard let before = previous?.partitions.first(where: { $0.number == partition.number }) else { return nil }
    return Double(max(0, partition.highWatermark - before.highWatermark)) / seconds
  }

  /// The upper bound of the bucket that holds the 99th percentile of acks between the samples, in seconds; of all acks where
  /// there were none between, and nil where there were none at all.
  var ackP99: Double? {
    quantile(0.99, since: previous) ?? quantile(0.99, since: nil)
  }

  private func quantile(_ q: Double, since before: OverviewSample?) -> Double? {
    let counts = sample.ack.map { bucket in
      bucket.count - (before?.ack.first { $0.bound == bucket.bound }?.count ?? 0)
    }
    guard let total = counts.last, total > 0 else { return nil }
    return zip(sample.ack, counts).first { Double($1) >= q * Double(total) }?.0.bound
  }
}
