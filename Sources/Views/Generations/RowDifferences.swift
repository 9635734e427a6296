import Aggregates
import Events
import Expressions

/// The differences between two generations' rows: by window and key, values column by column.
public struct RowDifferences: Sendable {
  public enum Kind: String, Sendable {
    case added, gone, changed
  }

  public struct Row: Sendable, Hashable {
    public var kind: Kind
    public var windowStart: Int64
    public var windowEnd: Int64
    public var keys: [ResultValue]
    /// The values of `columns`; nil where the first has no such row.
    public var first: [ResultValue]?
    public var second: [ResultValue]?
  }

  /// The keys of the rows; of the second, where the two have different keys.
  public let keys: [SchemaColumn]
  /// The aggregates that both have by name and type: only these are compared.
  public let columns: [SchemaColumn]
  /// Aggregates that only one of them has.
  public let columnsOnlyFirst: [String]
  public let columnsOnlySecond: [String]
  public private(set) var added = 0
  public private(set) var gone = 0
  public private(set) var changed = 0
  public private(set) var same = 0
  /// The first `rowsMax` that differ, in the order of window and key.
  public private(set) var rows: [Row] = []

  private let rowsMax: Int

  public var count: Int { added + gone + changed }
  public var isSame: Bool { count == 0 && columnsOnlyFirst.isEmpty && columnsOnlySecond.isEmpty }

  /// - Parameters:
  ///   - pair: Both as of the same offsets.
  ///   - rowsMax: The number of rows to keep; all are counted.
  public init(_ pair: PinnedResults, rowsMax: Int) {
    let (a, b) = (pair.first.definition, pair.second.definition)
    self.rowsMax = rowsMax
    keys = b.schema.keys
    let first = a.schema.aggregates, second = b.schema.aggregates
    columns = second.filter { column in first.contains { $0.name == column.name && $0.type == column.type } }
    let common = Set(columns.map(\.name))
    columnsOnlyFirst = first.map(\.name).filter { !common.contains($0) }
    columnsOnlySecond = second.map(\.name).filter { !common.contains($0) }
    let left = Side(pair.first, columns), right = Side(pair.second, columns)
    // Rows under other keys are other rows, even where the bytes are alike.
    let haveSameKeys = a.schema.keys.map(\.name) == b.schema.keys.map(\.name)
    var i = 0, j = 0
    while i < left.rows.count || j < right.rows.count {
      let order = haveSameKeys ? Side.order(left, i, right, j) : (i < left.rows.count ? -1 : 1)
      if order < 0 {
        note(.gone, left.row(i), first: left.values(i), second: nil)
        i += 1
      } else if order > 0 {
        note(.added, right.row(j), first: nil, second: right.values(j))
        j += 1
      } else {
        let (before, after) = (left.values(i), right.values(j))
        if before == after, left.rows.windowEnds[i] == right.rows.windowEnds[j] {
          same += 1
        } else {
          note(.changed, right.row(j), first: before, second: after)
        }
        i += 1
        j += 1
      }
    }
  }

  private mutating func note(
    _ kind: Kind, _ row: (start: Int64, end: Int64, keys: [ResultValue]), first: [ResultValue]?, second: [ResultValue]?
  ) {
    switch kind {
    case .added: added += 1
    case .gone: gone += 1
    case .changed: changed += 1
    }
    guard rows.count < rowsMax else { return }
    rows.append(
      Row(kind: kind, windowStart: row.start, windowEnd: row.end, keys: row.keys, first: first, second: second))
  }

  /// One generation's rows, merged over partitions, in the order of window and key.
  private struct Side {
    let rows: PartialRows
    private let layout: StateLayout
    /// Each compared column's number among this definition's aggregates.
    private let numbers: [Int]

    init(_ result: PartialResult, _ columns: [SchemaColumn]) {
      layout = result.definition.layout
      rows = result.rows.retained(for: result.definition, after: result.expiredEnd)
      let names = result.definition.aggregates.map(\.name)
      numbers = columns.compactMap { names.firstIndex(of: $0.name) }
    }

    func row(_ row: Int) -> (start: Int64, end: Int64, keys: [ResultValue]) {
      (rows.windowStarts[row], rows.windowEnds[row], rows.keys(row))
    }

    func values(_ row: Int) -> [ResultValue] {
      rows.withState(row) { state in numbers.map { layout.value(of: $0, in: state) } }
    }

    /// Negative when the left row comes first or the right has none, 0 for the same window and key.
    static func order(_ left: Side, _ i: Int, _ right: Side, _ j: Int) -> Int {
      guard i < left.rows.count else { return 1 }
      guard j < right.rows.count else { return -1 }
      let (a, b) = (left.rows.windowStarts[i], right.rows.windowStarts[j])
      if a != b { return a < b ? -1 : 1 }
      return left.rows.withKey(i) { first in
        right.rows.withKey(j) { second in
          let order = Order.of(first, second)
          return order == Order.equal ? 0 : order == Order.less ? -1 : 1
        }
      }
    }
  }
}
