import Events

/// What retention may take from a partition's front, at one time.
package struct RetentionRule: Sendable {
  let retention: LogConfiguration.Retention
  let now: Timestamp
  /// What earlier append times count as; nil when they count as they are.
  let floor: Timestamp?
  /// Events from here on stay; nil where none must.
  var limit: Offset?

  /// The latest time of what is too old; nil when nothing is.
  private var oldest: Timestamp? {
    guard let age = retention.age else { return nil }
    let (past, overflow) = now.nanoseconds.subtractingReportingOverflow(age.nanosecondsHeld)
    return overflow ? nil : Timestamp(nanoseconds: past)
  }

  /// What was begun before it is to be ended, so that its events' time comes; nil where nothing is.
  var expiry: Timestamp? { oldest.flatMap { floor ?? $0 <= $0 ? $0 : nil } }

  /// Whether the oldest piece may go.
  /// - Parameters:
  ///   - end: The offset after its last event.
  ///   - lastAppendTime: Of its last event.
  ///   - partitionBytes: Of all the partition's pieces.
  package func takes(end: Offset, lastAppendTime: Timestamp, partitionBytes: Int) -> Bool {
    if let limit, end > limit { return false }
    if let oldest, max(lastAppendTime, floor ?? lastAppendTime) < oldest { return true }
    return retention.bytes.map { partitionBytes > $0 } ?? false
  }
}
