import Events
import Synchronization

/// The rate of one device, over all of its connections and requests: events beyond the rate are taken, and paid for by waiting.
final class DeviceMeter: Sendable {
  /// A device that was silent may send a second's events at once.
  private static let burst: UInt64 = 1_000_000_000

  let subject: UTF8Text
  /// 1...1,000,000,000
  let eventsPerSecondMax: Int?
  /// The time when all taken events are paid for; nanoseconds of a clock that only rises.
  private let paidAt = Atomic<UInt64>(0)

  init(subject: UTF8Text, eventsPerSecondMax: Int?) {
    self.subject = subject
    self.eventsPerSecondMax = eventsPerSecondMax
  }

  func take(events: Int, now: UInt64) {
    guard let eventsPerSecondMax, events > 0 else { return }
    let cost = UInt64(events) * 1_000_000_000 / UInt64(eventsPerSecondMax)
    var paid = paidAt.load(ordering: .relaxed)
    while true {
      let start = max(paid, now > DeviceMeter.burst ? now - DeviceMeter.burst : 0)
      let (exchanged, original) = paidAt.weakCompareExchange(expected: paid, desired: start + cost, ordering: .relaxed)
      if exchanged { return }
      paid = original
    }
  }

  /// Nanoseconds until the device may send again; 0 when it may now.
  func wait(now: UInt64) -> UInt64 {
    let paid = paidAt.load(ordering: .relaxed)
    return paid > now ? paid - now : 0
  }
}
