import Events

/// How a view cuts event time, and all that follows from that. Lengths and times are nanoseconds.
///
/// Whoever works with windows asks here, and tells no kinds apart. A new kind is a case of this type: the compiler then wants its
/// answers in this file, and its text in `WindowText.swift`.
public enum WindowDefinition: Sendable, Hashable {
  /// Windows of one size, one after the other, aligned to the epoch; each event is in exactly one.
  case tumble(size: Int64)
  /// Overlapping windows of one size, one beginning at each multiple of `every` since the epoch; `every` ≤ `size`.
  case hop(size: Int64, every: Int64)
  /// Windows of one key's events, each less than `gap` after the previous one: from the first event's time to the last one's +
  /// `gap`, half-open.
  case session(gap: Int64)

  public static let lengthMin: Int64 = 1_000_000
  /// Ten years of 365 days.
  public static let lengthMax: Int64 = 3650 * 86_400_000_000_000
  /// Windows that one event may be in.
  public static let overlapMax: Int64 = 10_000

  /// The length of a window; of sessions, which have none of their own, the gap.
  public var length: Int64 {
    switch self {
    case .tumble(let size), .hop(let size, _): size
    case .session(let gap): gap
    }
  }

  // MARK: rows

  /// How the rows of such windows are kept.
  public enum Keeping: Sendable, Hashable {
    /// A row for each slot and key: slots do not depend on events.
    case slots
    /// A row for each session, of each partition.
    case sessions(gap: Int64)
  }

  public var keeping: Keeping {
    switch self {
    case .tumble, .hop: .slots
    case .session(let gap): .sessions(gap: gap)
    }
  }

  /// The panes that make up overlapping windows; nil where a row is a window.
  public var panes: HopPanes? {
    switch self {
    case .tumble, .session: nil
    case .hop(let size, let every): HopPanes(size: size, every: every)
    }
  }

  /// The slots whose rows make the windows that begin in `from...through`; where a row is a window, the windows' starts.
  public func slots(from: Int64, through: Int64) -> ClosedRange<Int64> {
    switch self {
    case .tumble, .session: from...through
    case .hop(let size, _): from...WindowDefinition.end(of: through, size: size - 1)
    }
  }

  /// The last slot all of whose windows end at or before this; for sessions, whose rows have their own ends, the last start.
  public func lastSlot(endingBy end: Int64) -> Int64 {
    let (start, overflow) = end.subtractingReportingOverflow(length)
    guard !overflow else { return .min }
    return switch self {
    case .tumble, .session: start
    case .hop(_, let every): WindowDefinition.tumbleEnd(of: start, size: every) - 1
    }
  }

  /// The end of the last window that a slot's row counts in.
  public func end(ofSlot slot: Int64) -> Int64 {
    switch self {
    case .tumble(let size): WindowDefinition.tumbleEnd(of: slot, size: size)
    case .hop(let size, let every): HopPanes.end(HopPanes.number(of: slot, every: every), size: size, every: every)
    case .session(let gap): WindowDefinition.end(of: slot, size: gap)
    }
  }

  /// The start of the last window that holds `time`; for a session, of the one that it would begin.
  public func lastStart(of time: Int64) -> Int64 {
    switch self {
    case .tumble(let size): WindowDefinition.tumbleStart(of: time, size: size)
    case .hop(_, let every): WindowDefinition.tumbleStart(of: time, size: every)
    case .session: time
    }
  }

  /// The first window start that has to be looked at when windows that end at or before `end` are of no interest.
  public func firstStart(endingAfter end: Int64) -> Int64 {
    switch self {
    case .tumble, .hop:
      let (last, overflow) = end.subtractingReportingOverflow(length)
      guard overflow else { return last + 1 }
      // The first window may begin before the range of times.
      return WindowSlots(self).slot(of: .min).firstEnd <= end ? .min + 1 : .min
    // One may have begun at any time before.
    case .session: return .min
    }
  }

  // MARK: results

  /// Which windows a step of a result is made of.
  public enum StepMembers: Sendable, Hashable {
    case all
    /// The windows that begin at multiples of their length: of overlapping ones, those that follow one another. With all of them
    /// events would count several times.
    case aligned
    /// There are no windows that follow one another without a gap: they do not merge.
    case none
  }

  public var stepMembers: StepMembers {
    switch self {
    case .tumble, .session: .all
    case .hop(let size, let every): size % every == 0 ? .aligned : .none
    }
  }

  /// Each step is a multiple of this, nanoseconds. It is 1 for sessions, which begin at any time.
  public var stepUnit: Int64 {
    switch self {
    case .tumble(let size), .hop(let size, _): size
    case .session: 1
    }
  }

  /// Whether all windows begin and end at multiples of `unit`.
  public func isAligned(to unit: Int64) -> Bool {
    switch self {
    case .tumble(let size): size % unit == 0
    case .hop(let size, let every): size % unit == 0 && every % unit == 0
    case .session: false
    }
  }

  // MARK: times

  /// Half-open and epoch-aligned.
  /// - Returns: The start of the tumbling window that holds `time`; `Int64.min` when that start lies before the range of times.
  @inlinable public static func tumbleStart(of time: Int64, size: Int64) -> Int64 {
    var remainder = time % size
    if remainder < 0 { remainder += size }
    let (start, overflow) = time.subtractingReportingOverflow(remainder)
    return overflow ? Int64.min : start
  }

  /// The end of the tumbling window that holds `time`; the end of the range of times when it would lie beyond it. Right also for
  /// a window that begins before the range of times.
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

  /// Whether a time lies before a session's end. The last of the range of times stands for every end beyond it: all times are
  /// before that.
  @inlinable public static func isBefore(_ time: Int64, end: Int64) -> Bool { time < end || end == .max }
}
