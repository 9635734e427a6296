import Aggregates
import Events
import Expressions

// How rows are kept, and the results' windows made of them.
//
// tumble   a row for each window
// session  a row for each session, of each partition
// hop      a row for each pane of gcd(size, every) that had events, whatever the number of windows that share it. An event that comes when some of its
//          windows have closed counts in the others only, so it goes to a row of its own: a pane's rows are told apart by how many of its windows,
//          from the first, were closed. Both are one number, the row's slot: the pane's start + that count, which is less than a pane has nanoseconds.

extension WindowDefinition {
  /// The length of a hop's panes, nanoseconds; nil for other windows.
  public var pane: Int64? {
    guard case .hop(var a, var b) = self else { return nil }
    while b != 0 { (a, b) = (b, a % b) }
    return a
  }

  // A hop's windows have numbers: number n begins at n × every. The lowest may begin before the range of times, and is cut off there; those that begin
  // earlier still are none.

  /// The number of the last of a hop's windows that begins at or before `time`.
  static func hopNumber(of time: Int64, every: Int64) -> Int64 { time.flooredQuotientAndRemainder(by: every).quotient }

  /// The number of the first of a hop's windows that hold `time`.
  static func firstHopNumber(of time: Int64, size: Int64, every: Int64) -> Int64 {
    let (before, overflow) = time.subtractingReportingOverflow(size)
    guard overflow else { return hopNumber(of: before, every: every) + 1 }
    // The lowest there is, or the one after it where that has ended by then.
    let lowest = hopNumber(of: .min, every: every)
    return hopEnd(lowest, size: size, every: every) > time ? lowest : lowest + 1
  }

  /// - Parameter number: Of a window that holds some time.
  static func hopStart(_ number: Int64, every: Int64) -> Int64 {
    let (start, overflow) = number.multipliedReportingOverflow(by: every)
    return overflow ? .min : start
  }

  /// - Parameter number: Of a window that holds some time.
  static func hopEnd(_ number: Int64, size: Int64, every: Int64) -> Int64 {
    // From the next one's start: its own may lie before the range of times.
    let (next, overflow) = (number + 1).multipliedReportingOverflow(by: every)
    return overflow ? .max : end(of: next, size: size - every)
  }

  /// The length of what a row is kept for: a window, or a hop's pane. Sessions have none.
  public var slotLength: Int64 { pane ?? length }

  /// When the first window that holds a slot ends.
  public func firstEnd(ofSlot slot: Int64) -> Int64 {
    guard case .hop(let size, let every) = self else { return end(ofSlot: slot) }
    return WindowDefinition.hopEnd(
      WindowDefinition.firstHopNumber(of: slot, size: size, every: every), size: size, every: every)
  }

  /// The slots whose rows make the windows that begin in `from...through`. Of sessions and tumbling windows, their starts.
  public func slots(from: Int64, through: Int64) -> (from: Int64, through: Int64) {
    guard case .hop(let size, _) = self else { return (from, through) }
    return (from, WindowDefinition.end(of: through, size: size - 1))
  }

  /// The last slot all of whose windows end at or before this; of sessions, which say so themselves, the last start.
  public func lastSlot(endingBy end: Int64) -> Int64 {
    let (start, overflow) = end.subtractingReportingOverflow(length)
    guard !overflow else { return .min }
    guard case .hop(_, let every) = self else { return start }
    return WindowDefinition.tumbleEnd(of: start, size: every) - 1
  }

  /// When the last window that a slot's row counts in ends.
  public func end(ofSlot slot: Int64) -> Int64 {
    switch self {
    case .tumble(let size): WindowDefinition.tumbleEnd(of: slot, size: size)
    case .hop(let size, let every):
      WindowDefinition.hopEnd(WindowDefinition.hopNumber(of: slot, every: every), size: size, every: every)
    case .session(let gap): WindowDefinition.end(of: slot, size: gap)
    }
  }

  /// The start of the last window that holds `time`; of a session that it would begin.
  public func lastStart(of time: Int64) -> Int64 {
    switch self {
    case .tumble(let size): WindowDefinition.tumbleStart(of: time, size: size)
    case .hop(_, let every): WindowDefinition.tumbleStart(of: time, size: every)
    case .session: time
    }
  }
}

extension PartialRows {
  /// The results' windows that begin in `from...through`, of rows as they are kept: for a hop, each window's panes merged.
  /// - Parameters:
  ///   - definition: The view's.
  ///   - from: For each partition, since retention ends at another time in each.
  ///   - through: Nanoseconds since 1970.
  /// - Complexity: For a hop, a sort of the rows, and size / pane merges for each.
  public func windows(of definition: ViewDefinition, from: (PartitionID) -> Int64 = { _ in .min }, through: Int64 = .max)
    -> PartialRows
  {
    guard case .hop(let size, let every) = definition.window, let pane = definition.window.pane else { return self }
    let order = (0..<count).sorted { a, b in
      if partitions[a] != partitions[b] { return partitions[a] < partitions[b] }
      let byKey = withKey(a) { first in withKey(b) { Order.of(first, $0) } }
      return byKey != Order.equal ? byKey == Order.less : windowStarts[a] < windowStarts[b]
    }
    var result = PartialRows(stride: stride)
    var merging = StateRows(layout: definition.layout)
    merging.append()
    var first = 0
    while first < order.count {
      var end = first + 1
      while end < order.count, partitions[order[end]] == partitions[order[first]],
        withKey(order[first], { key in withKey(order[end]) { bytesEqual(key, $0) } })
      { end += 1 }
      let from = from(partitions[order[first]])
      if from <= through {
        result.append(hops: order[first..<end], of: self, size, every, pane, from...through, &merging)
      }
      first = end
    }
    return result
  }

  /// Appends one key's windows.
  /// - Parameter group: Rows of one partition and key, in the order of their slots.
  private mutating func append(
    hops group: ArraySlice<Int>, of rows: PartialRows, _ size: Int64, _ every: Int64, _ pane: Int64, _ wanted: ClosedRange<Int64>,
    _ merging: inout StateRows
  ) {
    guard let first = group.first, let last = group.last else { return }
    /// The first window of the pane that a slot is of.
    func firstNumber(_ slot: Int64) -> Int64 {
      WindowDefinition.firstHopNumber(
        of: WindowDefinition.tumbleStart(of: slot, size: pane), size: size, every: every)
    }
    var number = firstNumber(rows.windowStarts[first])
    if wanted.lowerBound > WindowDefinition.hopStart(number, every: every) {
      number = WindowDefinition.hopNumber(of: wanted.lowerBound, every: every)
      if WindowDefinition.hopStart(number, every: every) < wanted.lowerBound { number += 1 }
    }
    let lastNumber = WindowDefinition.hopNumber(of: rows.windowStarts[last], every: every)
    var low = group.startIndex
    var members: [Int] = []
    while number <= lastNumber {
      let start = WindowDefinition.hopStart(number, every: every)
      guard start <= wanted.upperBound else { return }
      let end = WindowDefinition.hopEnd(number, size: size, every: every)
      while low < group.endIndex, WindowDefinition.tumbleStart(of: rows.windowStarts[group[low]], size: pane) < start { low += 1 }
      members.removeAll(keepingCapacity: true)
      var index = low
      while index < group.endIndex, rows.windowStarts[group[index]] < end {
        let slot = rows.windowStarts[group[index]]
        // The window's place among those of the pane: rows of events that came after it had closed are not its own.
        let closed = slot - WindowDefinition.tumbleStart(of: slot, size: pane)
        if number - firstNumber(slot) >= closed { members.append(group[index]) }
        index += 1
      }
      if !members.isEmpty {
        append(merging: members, of: rows, &merging)
        windowStarts[count - 1] = start
        windowEnds[count - 1] = end
      } else if low < group.endIndex {
        // Over a stretch without events.
        number = Swift.max(number, firstNumber(rows.windowStarts[group[low]]) - 1)
      }
      number += 1
    }
  }
}
