/// The event times of a batch's events, and which event times close windows for them. Nanoseconds.
struct BatchTimes {
  let events: [Int64]
  /// No event moves an event-time watermark beyond this: the batch's append time and how far a clock may be ahead of it.
  let limit: Int64
  /// For each event the largest time of its source up to and with it, each at most the limit of its own batch; entries of events
  /// that a fold has counted are of no use. Empty where no view asks for it.
  var ofSources: [Int64] = []

  /// Times that close windows however far ahead they are, as where a batch was just appended.
  static func unlimited(_ events: [Int64]) -> BatchTimes { BatchTimes(events: events, limit: .max) }
}
