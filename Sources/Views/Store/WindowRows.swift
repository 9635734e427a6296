import Aggregates
import Events
import Expressions

// The stored form of rows, and the results' windows made of it.
//
// tumble   a row for each window session  a row for each session, of each partition hop      a row for each pane of
// gcd(size, every) that had events, whatever the number of windows that share it. An event that comes when some of its
// windows have closed counts in the others only, so it goes to a row of its own: a pane's rows are told apart by how
// many of its windows, from the first, were closed. Pane and count are one number, the row's slot: the pane's start +
// that count, which is less than a pane has nanoseconds.

extension PartialRows {
  /// The results' windows that begin in `from...through`, from stored rows: for a hop, each window's panes merged.
  /// - Parameters:
  ///   - definition: The view's definition.
  ///   - from: The first start for each partition, since retention ends at another time in each.
  ///   - through: Nanoseconds since 1970.
  /// - Complexity: For a hop, a sort of the rows, and size / pane merges for each.
  public func windows(of definition: ViewDefinition, from: (PartitionID) -> Int64 = { _ in .min }, through: Int64 = .max)
    -> PartialRows
  {
    guard let panes = definition.window.panes else { return self }
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
        result.append(hops: order[first..<end], of: self, panes, from...through, &merging)
      }
      first = end
    }
    return result
  }

  /// Appends one key's windows.
  /// - Parameter group: Rows of one partition and key, in the order of their slots.
  private mutating func append(
    hops group: ArraySlice<Int>, of rows: PartialRows, _ panes: HopPanes, _ wanted: ClosedRange<Int64>,
    _ merging: inout StateRows
  ) {
    guard let first = group.first, let last = group.last else { return }
    var number = panes.firstNumber(ofSlot: rows.windowStarts[first])
    if wanted.lowerBound > panes.start(number) {
      number = panes.number(of: wanted.lowerBound)
      if panes.start(number) < wanted.lowerBound { number += 1 }
    }
    let lastNumber = panes.number(of: rows.windowStarts[last])
    var low = group.startIndex
    var members: [Int] = []
    while number <= lastNumber {
      let start = panes.start(number)
      guard start <= wanted.upperBound else { return }
      let end = panes.end(number)
      while low < group.endIndex, panes.start(ofSlot: rows.windowStarts[group[low]]) < start { low += 1 }
      members.removeAll(keepingCapacity: true)
      var index = low
      while index < group.endIndex, rows.windowStarts[group[index]] < end {
        let slot = rows.windowStarts[group[index]]
        // The window's number among those of the pane: rows of events that came after it had closed are not its own.
        let closed = slot - panes.start(ofSlot: slot)
        if number - panes.firstNumber(ofSlot: slot) >= closed { members.append(group[index]) }
        index += 1
      }
      if !members.isEmpty {
        append(merging: members, of: rows, &merging)
        windowStarts[count - 1] = start
        windowEnds[count - 1] = end
      } else if low < group.endIndex {
        // Skips a stretch without events.
        number = Swift.max(number, panes.firstNumber(ofSlot: rows.windowStarts[group[low]]) - 1)
      }
      number += 1
    }
  }
}
