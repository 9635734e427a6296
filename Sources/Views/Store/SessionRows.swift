import Aggregates
import Events
import Expressions

extension ViewDefinition {
  /// Whether sessions of several partitions, or of several keys of which `keptKeys` keeps a part, may be joined in the
  /// result. Then a range of the result's window starts does not tell which rows are needed.
  public func joinsSessions(keptKeys: [Int]?) -> Bool {
    switch window.keeping {
    case .slots: false
    case .sessions: keptKeys != nil || !hasSourceKey
    }
  }

  /// Whether rows of the result may still change when their windows have ended: sessions that are joined, or merged into steps.
  public func isOpenEnded(keptKeys: [Int]?, step: Int64?) -> Bool {
    switch window.keeping {
    case .slots: false
    case .sessions: keptKeys != nil || !hasSourceKey || step != nil
    }
  }
}

extension PartialRows {
  /// Sessions of one key that overlap, in several partitions or of keys merged away, become one, from the first start to the last
  /// end.
  ///
  /// Two sessions of the same partition and key overlap only when an event came after the first had closed. They stay
  /// two, unless one of another source overlaps them both, directly or through others.
  /// - Returns: Rows in no order.
  func joiningSessions(layout: StateLayout, keptKeys: [Int]?) -> PartialRows {
    let rekeyed = keptKeys == nil ? self : regrouped(keptKeys, nil)
    let order = (0..<count).sorted { a, b in
      let byKey = rekeyed.withKey(a) { first in rekeyed.withKey(b) { Order.of(first, $0) } }
      if byKey != Order.equal { return byKey == Order.less }
      if windowStarts[a] != windowStarts[b] { return windowStarts[a] < windowStarts[b] }
      if windowEnds[a] != windowEnds[b] { return windowEnds[a] < windowEnds[b] }
      if partitions[a] != partitions[b] { return partitions[a] < partitions[b] }
      return withKey(a) { first in withKey(b) { Order.of(first, $0) } } == Order.less
    }
    var result = PartialRows(stride: stride)
    var merging = StateRows(layout: layout)
    merging.append()
    var first = 0
    while first < order.count {
      // A run of rows of one key, each of which overlaps an earlier one.
      let head = order[first]
      var end = windowEnds[head]
      var next = first + 1
      while next < order.count, WindowDefinition.isBefore(windowStarts[order[next]], end: end),
        rekeyed.withKey(head, { key in rekeyed.withKey(order[next]) { bytesEqual(key, $0) } })
      {
        end = Swift.max(end, windowEnds[order[next]])
        next += 1
      }
      for group in joined(Array(order[first..<next])) { result.append(merging: group, of: rekeyed, &merging) }
      first = next
    }
    return result
  }

  /// The rows of a run that become one: those that overlap and have different sources, and the rows that these overlap.
  ///
  /// Rows that are open at one time overlap one another. If two of them have different sources, each of them overlaps
  /// one of another source, so all of them become one; else none do.
  /// - Parameter stretch: A run in the order of the rows' starts.
  private func joined(_ stretch: [Int]) -> [[Int]] {
    guard stretch.count > 1 else { return [stretch] }
    var groups = IndexGroups(count: stretch.count)
    func end(_ index: Int?) -> Int64 { index.map { windowEnds[stretch[$0]] } ?? .min }
    func isOpen(_ index: Int?, at time: Int64) -> Bool { index != nil && WindowDefinition.isBefore(time, end: end(index)) }
    // The row that ends last, and the last-ending row of all other sources.
    var last: Int?
    var lastOfOthers: Int?
    // `lastJoined` is the row that ends last among those joined last; `loose` are the rows since, which have one source.
    var lastJoined: Int?
    var loose: [Int] = []
    for index in stretch.indices {
      let start = windowStarts[stretch[index]]
      let isOfLast = last.map { isSameSource(stretch[$0], stretch[index]) } ?? true
      if isOpen(isOfLast ? lastOfOthers : last, at: start) {
        var joinedEnd = index
        for other in loose + (lastJoined.map { [$0] } ?? []) where isOpen(other, at: start) {
          groups.join(other, index)
          if end(other) > end(joinedEnd) { joinedEnd = other }
        }
        lastJoined = joinedEnd
        loose.removeAll()
      } else {
        loose.append(index)
      }
      if end(index) > end(last) {
        if !isOfLast { lastOfOthers = last }
        last = index
      } else if !isOfLast, end(index) > end(lastOfOthers) {
        lastOfOthers = index
      }
    }
    return groups.members.map { $0.map { stretch[$0] } }
  }

  private func isSameSource(_ a: Int, _ b: Int) -> Bool {
    partitions[a] == partitions[b] && withKey(a) { key in withKey(b) { bytesEqual(key, $0) } }
  }

  /// For each row, the last end of the rows of its key among others.
  /// - Parameter sessions: Sessions of the same keys, these rows' among them.
  public func lastEnds(of sessions: PartialRows) -> [Int64] {
    var last: [[UInt8]: Int64] = [:]
    for row in 0..<sessions.count {
      let key = sessions.withKey(row) { Array($0) }
      last[key] = Swift.max(last[key] ?? .min, sessions.windowEnds[row])
    }
    return (0..<count).map { row in last[withKey(row) { Array($0) }] ?? windowEnds[row] }
  }
}

/// Groups of numbered things that belong together.
private struct IndexGroups {
  /// For each, an earlier one of its group; the first is its own.
  private var parents: [Int]

  init(count: Int) { parents = Array(0..<count) }

  private mutating func first(of index: Int) -> Int {
    var index = index
    while parents[index] != index {
      parents[index] = parents[parents[index]]
      index = parents[index]
    }
    return index
  }

  mutating func join(_ a: Int, _ b: Int) {
    let (a, b) = (first(of: a), first(of: b))
    parents[max(a, b)] = min(a, b)
  }

  /// The groups in the order of their firsts, each ascending.
  var members: [[Int]] {
    var copy = self
    var members: [Int: [Int]] = [:]
    for index in parents.indices { members[copy.first(of: index), default: []].append(index) }
    return members.sorted { $0.key < $1.key }.map(\.value)
  }
}
