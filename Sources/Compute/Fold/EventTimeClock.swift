import Events
import Views

/// The event time of one view's partition as its events tell it: which windows are closed, for all sources or for one, and which
/// are past retention.
///
/// All that is asked of event time is asked here. The largest time of each source is not kept here but for all views of a
/// partition: `SourceClocks`.
struct EventTimeClock {
  private let definition: ViewDefinition
  private let delay: Int64
  private let lateness: Int64
  /// Whether each source's own time closes windows.
  let isBySource: Bool
  /// The largest event time of the partition, each at most its batch's limit; nil before the first event. Nanoseconds.
  private(set) var largest: Int64?
  /// Windows that end at or before this are closed by the partition's largest time. Nanoseconds; the lowest time before the first
  /// event.
  private(set) var closedEnd = Int64.min
  /// Windows that end at or before this are past the view's retention; the lowest time when none are.
  private(set) var expiredBound = Int64.min

  /// - Parameter largest: As a checkpoint has it.
  init(_ definition: ViewDefinition, largest: Int64? = nil) {
    self.definition = definition
    delay = definition.watermarkDelay
    lateness = definition.allowedLateness
    isBySource = definition.watermark == .source
    if let largest { observe(largest) }
  }

  /// Takes in the time of the next event, within its batch's limit.
  @inline(__always) mutating func observe(_ time: Int64) {
    if let largest, time <= largest { return }
    largest = time
    closedEnd = closedEnd(at: time)
    if definition.retention != nil { expiredBound = expiredEnd ?? .min }
  }

  /// Windows that end at or before this are closed where the largest time is `time`.
  @inline(__always) func closedEnd(at time: Int64) -> Int64 {
    let (watermark, isBefore) = time.subtractingReportingOverflow(delay)
    let (end, overflow) = watermark.subtractingReportingOverflow(lateness)
    return isBefore || overflow ? .min : min(end, .max - 1)
  }

  /// Whether windows that end at `end` or later stay open for all sources, and within retention, when the partition's largest
  /// time becomes `time`, or stays beyond it.
  func closesNothing(_ end: Int64, at time: Int64) -> Bool {
    let time = max(time, largest ?? .min)
    return end > closedEnd(at: time)
      && end > definition.expiredEnd(at: definition.eventTimeWatermark(ofLargest: time)) ?? .min
  }

  /// - Parameter ofSource: The largest time of an event's source.
  /// - Returns: The end up to which windows take that event no more.
  @inline(__always) func bound(_ ofSource: @autoclosure () -> Int64) -> Int64 {
    max(isBySource ? closedEnd(at: ofSource()) : closedEnd, expiredBound)
  }

  var eventTimeWatermark: Timestamp? {
    largest.map { Timestamp(nanoseconds: definition.eventTimeWatermark(ofLargest: $0)) }
  }

  /// Windows that end at or before this are past the view's retention, as far as this partition decides; nil when none are.
  var expiredEnd: Int64? { eventTimeWatermark.flatMap { definition.expiredEnd(at: $0.nanoseconds) } }
}
