import Aggregates

extension StateHash {
  /// Over all of these rows.
  public init(_ rows: PartialRows) {
    self.init()
    for row in 0..<rows.count {
      rows.withKey(row) { key in
        rows.withState(row) { state in
          add(
            partition: rows.partitions[row], windowStart: rows.windowStarts[row], windowEnd: rows.windowEnds[row], key: key,
            state: state)
        }
      }
    }
  }
}

extension PartialRows {
  /// Row numbers in the order of window, then the key's bytes.
  public func canonicalOrder() -> [Int] {
    (0..<count).sorted { a, b in
      if windowStarts[a] != windowStarts[b] { return windowStarts[a] < windowStarts[b] }
      if windowEnds[a] != windowEnds[b] { return windowEnds[a] < windowEnds[b] }
      return withKey(a) { first in withKey(b) { first.lexicographicallyPrecedes($0) } }
    }
  }
}
