import Events

/// Decides which of a partition's oldest pieces retention may delete, at one time.
package struct RetentionRule: Sendable {
  let retention: LogConfiguration.Retention
  let now: Timestamp
  /// Earlier append times count as this one; nil when all count as they are.
  let floor: Timestamp?
  /// Events from here on stay; nil where none must.
  var limit: Offset?

  /// The latest time of too old events; nil when nothing is too old.
  private var oldest: Timestamp? {
    guard let age = retention.age else { return nil }
    let (past, overflow) = now.nanoseconds.subtractingReportingOverflow(age.nanosecondsHeld)
    return overflow ? nil : Timestamp(nanoseconds: past)
  }

  /// A piece begun before this time is to be ended, so that its events can become too old; nil where none is.
  var expiry: Timestamp? { oldest.flatMap { floor ?? $0 <= $0 ? $0 : nil } }

  /// Whether the oldest piece may go.
  /// - Parameters:
  ///   - end: The offset after its last event.
  ///   - lastAppendTime: The append time of its last event.
  ///   - partitionBytes: The size of all the partition's pieces.
  package func takes(end: Offset, lastAppendTime: Timestamp, partitionBytes: Int) -> Bool {
    if let limit, end > limit { return false }
    if let oldest, max(lastAppendTime, floor ?? lastAppendTime) < oldest { return true }
    return retention.bytes.map { partitionBytes > $0 } ?? false
  }
}
