/// The event times of a batch's events, and which event times close windows for them. Nanoseconds.
struct BatchTimes {
  let events: [Int64]
  /// No event moves an event-time watermark beyond this: the batch's append time and how far a clock may be ahead of it.
  let limit: Int64
  /// The clocks that have advanced over the batch; nil where no view asks for them.
  var clocks: SourceClocks?

  /// For each event the largest time of its source up to and with it, each at most the limit of its own batch; entries of events
  /// that a fold has counted are of no use. They are found when they are asked for first. Empty without clocks.
  var ofSources: [Int64] { clocks?.sourceTimes ?? [] }
}
