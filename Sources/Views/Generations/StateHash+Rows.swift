import Aggregates

extension StateHash {
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
