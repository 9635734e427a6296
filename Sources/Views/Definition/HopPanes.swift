/// The panes of overlapping windows: stretches of gcd(size, every), so that a window begins and ends with panes.
///
/// The windows have numbers: number n begins at n × every. The lowest may begin before the range of times, and is cut off there;
/// those that begin earlier still are none.
public struct HopPanes: Sendable, Hashable {
  /// A window's length, nanoseconds.
  public let size: Int64
  /// From one window's start to the next one's, nanoseconds.
  public let every: Int64
  /// A pane's length, nanoseconds.
  public let length: Int64

  init(size: Int64, every: Int64) {
    (self.size, self.every) = (size, every)
    var (a, b) = (size, every)
    while b != 0 { (a, b) = (b, a % b) }
    length = a
  }

  /// The number of the last window that begins at or before `time`.
  static func number(of time: Int64, every: Int64) -> Int64 { time.flooredQuotientAndRemainder(by: every).quotient }

  func number(of time: Int64) -> Int64 { HopPanes.number(of: time, every: every) }

  /// The number of the first window that holds `time`.
  func firstNumber(of time: Int64) -> Int64 {
    let (before, overflow) = time.subtractingReportingOverflow(size)
    guard overflow else { return number(of: before) + 1 }
    // The lowest window, or the next one where that has ended by then.
    let lowest = number(of: .min)
    return end(lowest) > time ? lowest : lowest + 1
  }

  /// - Parameter number: The number of a window that holds some time.
  func start(_ number: Int64) -> Int64 {
    let (start, overflow) = number.multipliedReportingOverflow(by: every)
    return overflow ? .min : start
  }

  /// - Parameters:
  ///   - number: The number of a window that holds some time.
  ///   - size: The windows' length.
  ///   - every: From one window's start to the next one's.
  static func end(_ number: Int64, size: Int64, every: Int64) -> Int64 {
    // From the next one's start: its own may lie before the range of times.
    let (next, overflow) = (number + 1).multipliedReportingOverflow(by: every)
    return overflow ? .max : WindowDefinition.end(of: next, size: size - every)
  }

  func end(_ number: Int64) -> Int64 { HopPanes.end(number, size: size, every: every) }

  /// The first window of the pane that a row's slot is of.
  func firstNumber(ofSlot slot: Int64) -> Int64 { firstNumber(of: start(ofSlot: slot)) }

  func start(ofSlot slot: Int64) -> Int64 { WindowDefinition.tumbleStart(of: slot, size: length) }
}
