import Glibc

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

/// The order of names by their bytes.
@inline(__always) func isName(_ a: UnsafeRawBufferPointer, before b: UnsafeRawBufferPointer) -> Bool {
  let count = min(a.count, b.count)
  if count > 0, let first = a.baseAddress, let second = b.baseAddress {
    let order = memcmp(first, second, count)
    if order != 0 { return order < 0 }
  }
  return a.count < b.count
}
