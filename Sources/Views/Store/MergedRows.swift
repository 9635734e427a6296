import Events

/// Rows in the canonical order, read a piece at a time.
public protocol OrderedRows: Sendable {
  /// Reads on when what was read has been taken.
  mutating func fill() async throws(ViewStoreError)

  /// Up to where all rows are there to be taken; nil when all that are left are.
  var reach: RowPlace? { get }

  /// Moves the rows up to a row to others, inclusively.
  /// - Parameters:
  ///   - place: Within `reach`; nil takes all that are there.
  ///   - rows: Rows of the same view.
  mutating func take(through place: RowPlace?, into rows: inout PartialRows)

  /// Whether there is nothing more, neither read nor to be read.
  var isDone: Bool { get }
}

/// Several ordered sources read as one: what is held is a piece of each.
public struct MergedRows<Source: OrderedRows>: Sendable {
  /// The sources that were not done when rows were last asked for.
  public private(set) var sources: [Source]

  /// - Parameter sources: Sources of one view. The caller merges rows of the same place.
  public init(_ sources: [Source]) { self.sources = sources }

  public var isDone: Bool { sources.allSatisfy(\.isDone) }

  /// The rows that follow, up to where every source has come.
  /// - Parameter stride: The layout's stride.
  /// - Returns: They are in the order of the sources, and of each in its own. With up to where they reach; nil when there are no
  ///   more.
  public mutating func next(stride: Int) async throws(ViewStoreError) -> (rows: PartialRows, reach: RowPlace?) {
    sources.removeAll { $0.isDone }
    for index in sources.indices { try await sources[index].fill() }
    // Beyond the lowest row that all have reached, some may still have rows.
    var reach: RowPlace?
    for source in sources {
      guard let place = source.reach else { continue }
      if reach.map({ place.isBefore($0) }) ?? true { reach = place }
    }
    var rows = PartialRows(stride: stride)
    for index in sources.indices { sources[index].take(through: reach, into: &rows) }
    return (rows, reach)
  }
}
