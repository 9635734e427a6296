/// Cuts event time into slots. A slot is what a row of a key is kept for: a window, or a pane of overlapping ones. Made once for
/// many times.
public struct WindowSlots: Sendable {
  private let window: WindowDefinition
  private let panes: HopPanes?

  public init(_ window: WindowDefinition) {
    self.window = window
    panes = window.panes
  }

  /// The slot that events of a time go to; of sessions, the one that an event would begin.
  public func slot(of time: Int64) -> WindowSlot {
    if let panes {
      let start = WindowDefinition.tumbleStart(of: time, size: panes.length)
      return WindowSlot(
        start: start, end: WindowDefinition.tumbleEnd(of: time, size: panes.length),
        firstEnd: panes.end(panes.firstNumber(of: start)), lastEnd: window.end(ofSlot: start), every: panes.every)
    }
    let end = window.end(ofSlot: time)
    return WindowSlot(start: window.lastStart(of: time), end: end, firstEnd: end, lastEnd: end, every: window.length)
  }
}

/// A stretch of event time whose events are in the same windows. Nanoseconds.
public struct WindowSlot: Sendable {
  /// Inclusive.
  public let start: Int64
  /// Exclusive.
  public let end: Int64
  public let firstEnd: Int64
  public let lastEnd: Int64
  /// From one window's end to the next one's.
  @usableFromInline let every: Int64

  /// Whether events of a time go here. Not sure to hold of the last of the range of times.
  @inlinable @inline(__always) public func contains(_ time: Int64) -> Bool { time >= start && time < end }

  /// The number of the row that an event goes to: the start, and of a pane the number of its windows that are closed.
  /// - Parameter closedEnd: Windows that end at or before this are closed.
  /// - Returns: Nil when all of its windows are.
  @inlinable @inline(__always) public func row(closedEnd: Int64) -> Int64? {
    guard firstEnd <= closedEnd else { return start }
    return lastEnd > closedEnd ? start + (closedEnd - firstEnd) / every + 1 : nil
  }
}
