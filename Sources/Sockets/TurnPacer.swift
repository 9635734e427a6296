/// Says when a reactor should let a little time pass between two turns, so that a turn has more to do.
///
/// Thousands of connections that send a small message each, and wait for its answer, are ready one after the other: a thread that runs for each at once
/// spends its time on waking up, and what stands behind it works in crumbs — a batch and a sync for a handful of events. Network cards moderate
/// their interrupts for the same reason. Nothing is held back while few sockets are ready, nor when turns are large anyway.
struct TurnPacer {
  /// Sockets ready a millisecond from which on it is worth it.
  static let rateMin = 16.0
  /// A turn of as many is large enough.
  static let readyMax = 256
  /// What is lost by it at most, on the way of a message and on the way of its answer.
  static let pauseNanoseconds: UInt64 = 1_000_000
  /// Over how long the rate is taken.
  private static let windowNanoseconds = 5e6

  /// Sockets ready a millisecond, the latest turns counting most.
  private(set) var rate = 0.0
  private var last: UInt64

  /// - Parameter now: Nanoseconds of a clock that only rises.
  init(now: UInt64) { last = now }

  /// To be asked once a turn.
  /// - Parameters:
  ///   - ready: Sockets found ready in it.
  ///   - now: Nanoseconds of the clock.
  /// - Returns: Nanoseconds to let pass before the next; 0 as a rule.
  mutating func pause(ready: Int, now: UInt64) -> UInt64 {
    let passed = Double(max(1, now - last))
    last = now
    rate += (Double(ready) / passed * 1e6 - rate) * min(1, passed / TurnPacer.windowNanoseconds)
    return rate >= TurnPacer.rateMin && ready < TurnPacer.readyMax ? TurnPacer.pauseNanoseconds : 0
  }
}
