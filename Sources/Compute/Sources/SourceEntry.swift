/// All that is known of one source of a partition, by the events up to a reading position.
struct SourceEntry: Sendable, Hashable {
  /// The largest event time, each counted as at most its batch's append time + `compute.clock_ahead_max`. Nanoseconds.
  var time: Int64
  /// The largest event time as it was sent. Nanoseconds; above `time` for a clock that is ahead.
  var largest: Int64
  /// The latest append time. Nanoseconds.
  var lastAppendTime: Int64
  /// Number of events, at least 1.
  var events: Int
  /// The epoch of `sequence`.
  var epoch: UInt64 = 0
  /// The sequence of the last event that has one; nil when the source has sent none.
  var sequence: UInt64?
}

/// A source and what is known of it.
struct NamedSource: Sendable, Hashable {
  /// UTF-8.
  var name: [UInt8]
  var entry: SourceEntry
}

/// Whether two texts of one length are the same: for names and keys, which are short.
@inline(__always) func isSame(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  let count = a.count
  guard count >= 8, let first = a.baseAddress, let second = b.baseAddress else {
    for index in 0..<count where a[index] != b[index] { return false }
    return true
  }
  func differs(_ at: Int) -> Bool {
    first.loadUnaligned(fromByteOffset: at, as: UInt64.self) != second.loadUnaligned(fromByteOffset: at, as: UInt64.self)
  }
  // The last eight bytes first, some of them for the second time: names differ at their end.
  if differs(count &- 8) { return false }
  var at = 0
  while at &+ 8 < count {
    if differs(at) { return false }
    at &+= 8
  }
  return true
}
