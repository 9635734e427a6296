import Events
import Views

/// The event time of one view's partition as its events tell it, and so which windows are closed.
///
/// All that is asked of event time is asked here: event times of each source, instead of the partition's, would be kept in this
/// place.
struct EventTimeClock {
  private let definition: ViewDefinition
  /// The largest event time seen; nil before the first event. Nanoseconds.
  private(set) var largest: Int64?
  /// Windows that end at or before this are closed. Nanoseconds; the lowest time before the first event.
  private(set) var closedEnd = Int64.min

  /// - Parameter largest: As a checkpoint has it.
  init(_ definition: ViewDefinition, largest: Int64? = nil) {
    self.definition = definition
    if let largest { observe(largest) }
  }

  /// Takes in the time of the next event.
  @inline(__always) mutating func observe(_ time: Int64) {
    if let largest, time <= largest { return }
    largest = time
    closedEnd = definition.closedEnd(at: definition.eventTimeWatermark(ofLargest: time))
  }

  var eventTimeWatermark: Timestamp? {
    largest.map { Timestamp(nanoseconds: definition.eventTimeWatermark(ofLargest: $0)) }
  }

  /// Windows that end at or before this are past the view's retention, as far as this partition decides; nil when none are.
  var expiredEnd: Int64? { eventTimeWatermark.flatMap { definition.expiredEnd(at: $0.nanoseconds) } }
}
