import Aggregates
import Events
import Expressions

extension VerifyReport.Difference {
  /// The first row, in the order of window and key, whose state differs; nil when none does.
  /// - Parameters:
  ///   - kept: Rows of one partition, in any order.
  ///   - replayed: The same rows, computed once more.
  ///   - partition: The rows' partition.
  ///   - layout: The layout of the states.
  public init?(_ kept: PartialRows, _ replayed: PartialRows, _ partition: PartitionID, _ layout: StateLayout) {
    let (left, right) = (kept.canonicalOrder(), replayed.canonicalOrder())
    func values(_ rows: PartialRows, _ row: Int) -> [ResultValue] { rows.withState(row) { layout.values(of: $0) } }
    var i = 0, j = 0
    while i < left.count || j < right.count {
      let order: Int
      if i == left.count {
        order = 1
      } else if j == right.count {
        order = -1
      } else {
        order = kept.order(left[i], replayed, right[j])
      }
      if order != 0 || !kept.hasSameState(left[i], replayed, right[j]) {
        let (rows, row) = order <= 0 ? (kept, left[i]) : (replayed, right[j])
        self.init(
          partition: partition, windowStart: Timestamp(nanoseconds: rows.windowStarts[row]), keys: rows.keys(row),
          kept: order <= 0 ? values(kept, left[i]) : nil, replayed: order >= 0 ? values(replayed, right[j]) : nil)
        return
      }
      i += 1
      j += 1
    }
    return nil
  }
}

extension PartialRows {
  fileprivate func hasSameState(_ row: Int, _ other: PartialRows, _ otherRow: Int) -> Bool {
    withState(row) { first in
      other.withState(otherRow) { second in (0..<stride).allSatisfy { first[$0] == second[$0] } }
    }
  }
}
