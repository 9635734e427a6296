import Events

extension ViewDefinition {
  /// Whether sessions of several partitions, or of several keys of which `keptKeys` keeps a part, may be one in the result. Then a range of the result's
  /// window starts says nothing of which rows are needed.
  public func joinsSessions(keptKeys: [Int]?) -> Bool {
    window.isSession && (keptKeys != nil || !keys.contains { $0.path == .attribute("source") })
  }
}

extension PartialRows {
  /// Sessions of one key that overlap, in several partitions or of keys merged away, become one, from the first start to the last end.
  ///
  /// Two sessions of the same partition and key overlap only when an event came after the first had closed; they stay two, unless another joins them.
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
      let head = order[first]
      var end = windowEnds[head]
      var isOfOneSource = true
      var next = first + 1
      while next < order.count {
        let row = order[next]
        guard windowStarts[row] < end, rekeyed.withKey(head, { key in rekeyed.withKey(row) { bytesEqual(key, $0) } }) else {
          break
        }
        let isSameSource = partitions[row] == partitions[head] && withKey(head) { key in withKey(row) { bytesEqual(key, $0) } }
        if isOfOneSource, isSameSource, windowStarts[row] != windowStarts[head] { break }
        isOfOneSource = isOfOneSource && isSameSource
        end = Swift.max(end, windowEnds[row])
        next += 1
      }
      result.append(merging: order[first..<next], of: rekeyed, &merging)
      first = next
    }
    return result
  }
}
