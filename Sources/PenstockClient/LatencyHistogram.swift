/// Counts durations in buckets whose width is at most 1/16 of their value; always 8 KiB.
public struct LatencyHistogram: Sendable {
  private static let subBits = 4
  private var counts: [Int] = []
  public private(set) var count = 0
  public private(set) var max = Duration.zero

  public init() {}

  private static func bucket(_ nanoseconds: UInt64) -> Int {
    guard nanoseconds >= 1 << subBits else { return Int(nanoseconds) }
    let shift = 63 - nanoseconds.leadingZeroBitCount - subBits
    return (shift + 1) << subBits + Int(nanoseconds >> UInt64(shift)) & (1 << subBits - 1)
  }

  private static func value(_ bucket: Int) -> UInt64 {
    guard bucket >= 1 << subBits else { return UInt64(bucket) }
    let shift = UInt64(bucket >> subBits - 1)
    let low = UInt64(bucket & (1 << subBits - 1) | 1 << subBits) << shift
    return low + (1 << shift) / 2
  }

  public mutating func record(nanoseconds: UInt64, count: Int = 1) {
    if counts.isEmpty { counts = [Int](repeating: 0, count: 61 << LatencyHistogram.subBits) }
    counts[LatencyHistogram.bucket(nanoseconds)] += count
    self.count += count
    let duration = Duration.nanoseconds(Int64(clamping: nanoseconds))
    if duration > max { max = duration }
  }

  public mutating func merge(_ other: LatencyHistogram) {
    guard other.count > 0 else { return }
    if counts.isEmpty { counts = [Int](repeating: 0, count: other.counts.count) }
    for index in counts.indices { counts[index] += other.counts[index] }
    count += other.count
    max = Swift.max(max, other.max)
  }

  /// - Parameter q: 0 ... 1.
  /// - Returns: Nil if nothing was recorded.
  public func quantile(_ q: Double) -> Duration? {
    guard count > 0 else { return nil }
    let rank = Swift.min(count - 1, Int(q * Double(count)))
    var seen = 0
    for (bucket, number) in counts.enumerated() where number > 0 {
      seen += number
      if seen > rank { return Swift.min(max, .nanoseconds(Int64(clamping: LatencyHistogram.value(bucket)))) }
    }
    return max
  }
}
