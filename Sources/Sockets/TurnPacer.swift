/// Says when a reactor should pause between two turns, so that a turn has more to do.
///
/// Thousands of connections that each send a small message and wait for its answer become ready one after the other. A thread
/// that runs for each at once spends its time on waking up, and the stages behind it get little at a time: a batch and a sync for
/// a handful of events. Network cards moderate their interrupts for the same reason. There is no pause while few sockets are
/// ready, nor when turns are large anyway.
struct TurnPacer {
  /// The pacer pauses from this rate on: sockets ready a millisecond.
  static let rateMin = 16.0
  /// A turn of this many sockets is large enough.
  static let readyMax = 256
  /// The longest delay that pacing adds to a message on its way in, and again to its answer.
  static let pauseNanoseconds: UInt64 = 1_000_000
  /// The time constant of the rate.
  private static let windowNanoseconds = 5e6

  /// Sockets ready a millisecond; the latest turns count most.
  private(set) var rate = 0.0
  private var last: UInt64

  /// - Parameter now: Nanoseconds of a clock that only rises.
  init(now: UInt64) { last = now }

  /// To be asked once a turn.
  /// - Parameters:
  ///   - ready: The sockets found ready in the turn.
  ///   - now: Nanoseconds of the clock.
  /// - Returns: Nanoseconds to let pass before the next; 0 as a rule.
  mutating func pause(ready: Int, now: UInt64) -> UInt64 {
    let passed = Double(max(1, now - last))
    last = now
    rate += (Double(ready) / passed * 1e6 - rate) * min(1, passed / TurnPacer.windowNanoseconds)
    return rate >= TurnPacer.rateMin && ready < TurnPacer.readyMax ? TurnPacer.pauseNanoseconds : 0
  }
}
