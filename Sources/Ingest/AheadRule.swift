import Events

/// The fate of an event whose time is ahead of the clock.
public enum AheadChoice: String, Sendable, CaseIterable {
  /// It is appended, and counted as ahead.
  case accept
  /// It is rejected as `time_in_future`.
  case reject
}

/// Tells which events are ahead of the clock. An event without a time of its own never is.
struct AheadRule: Sendable {
  var choice = AheadChoice.accept
  /// The most that an event's time may be ahead, in nanoseconds, 0 or more.
  var aheadMax: Int64 = 60_000_000_000

  /// The latest time that is not ahead.
  /// - Parameter now: The moment of judging; the append is a moment later, so that it would never find more events ahead.
  func limit(at now: Timestamp) -> Int64 { now.nanoseconds(plus: aheadMax) }

  /// The latest time that is not rejected.
  /// - Parameter arrival: The arrival of the event's message.
  func acceptedLimit(at arrival: Timestamp) -> Int64 { choice == .accept ? .max : limit(at: arrival) }

  /// The reject of an event with this time.
  func reject(_ time: Int64, arrival: Timestamp) -> EventReject {
    let (difference, overflow) = time.subtractingReportingOverflow(arrival.nanoseconds)
    return EventReject(
      .timeInFuture,
      "'time' is \(AheadRule.text(overflow ? .max : difference)) ahead of this server's clock, "
        + "\(AheadRule.text(aheadMax)) is allowed (compute.clock_ahead_max): "
        + "set the device's clock right, or leave 'time' out, so that the time of arrival is taken")
  }

  /// A length of time in its largest unit, cut: `90 s`, `59 min`, `47 h`, `1826 days`.
  private static func text(_ nanoseconds: Int64) -> String {
    let seconds = nanoseconds / 1_000_000_000
    switch seconds {
    case ..<120: return "\(seconds) s"
    case ..<7200: return "\(seconds / 60) min"
    case ..<172_800: return "\(seconds / 3600) h"
    default: return "\(seconds / 86_400) days"
    }
  }
}
