import Events

/// How a view cuts event time. Lengths are nanoseconds.
public enum WindowDefinition: Sendable, Hashable {
  /// Windows of one size, one after the other, aligned to the epoch; each event is in exactly one.
  case tumble(size: Int64)
  /// Overlapping windows of one size, one beginning at each multiple of `every` since the epoch; `every` ≤ `size`.
  case hop(size: Int64, every: Int64)
  /// Windows of one key's events, each less than `gap` after the one before: from the first event's time to the last one's + `gap`, half-open.
  case session(gap: Int64)

  /// 1 ms.
  public static let lengthMin: Int64 = 1_000_000
  /// Ten years of 365 days.
  public static let lengthMax: Int64 = 3650 * 86_400_000_000_000

  /// Half-open and epoch-aligned.
  /// - Returns: The start of the tumbling window that holds `time`; `Int64.min` when that start lies before the range of times.
  @inlinable public static func tumbleStart(of time: Int64, size: Int64) -> Int64 {
    var remainder = time % size
    if remainder < 0 { remainder += size }
    let (start, overflow) = time.subtractingReportingOverflow(remainder)
    return overflow ? Int64.min : start
  }

  /// The end of the tumbling window that holds `time`; the end of the range of times when it would lie beyond it. Right also for a window that begins
  /// before the range of times.
  @inlinable public static func tumbleEnd(of time: Int64, size: Int64) -> Int64 {
    var remainder = time % size
    if remainder < 0 { remainder += size }
    return end(of: time, size: size - remainder)
  }

  /// `size` after `start`, which may be any time; the end of the range of times when that lies beyond it.
  @inlinable public static func end(of start: Int64, size: Int64) -> Int64 {
    let (end, overflow) = start.addingReportingOverflow(size)
    return overflow ? Int64.max : end
  }

  /// Whether a time lies before a session's end. The last of the range of times stands for every end beyond it: all times are before that.
  @inlinable public static func isBefore(_ time: Int64, end: Int64) -> Bool { time < end || end == .max }

  /// Windows of a hop that one event may be in.
  public static let overlapMax: Int64 = 10_000

  public var isSession: Bool { if case .session = self { true } else { false } }

  /// Of sessions, which have none of their own, the gap.
  public var length: Int64 {
    switch self {
    case .tumble(let size), .hop(let size, _): size
    case .session(let gap): gap
    }
  }

  var canonicalText: String {
    switch self {
    case .tumble(let size): "tumble \(size)"
    case .hop(let size, let every): "hop \(size) \(every)"
    case .session(let gap): "session \(gap)"
    }
  }
}
