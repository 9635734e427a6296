import Events

/// A view's rows in the order of window start and key, one bounded piece at a time, all as of one moment.
///
/// The means that keep the moment, such as a read transaction, are released when the last row has been given, or with the stream.
public struct RowStream: Sendable {
  /// The facts about all rows, known before the first one; without rows.
  public var head: PartialResult
  public var pieces: any RowPieces

  /// - Parameters:
  ///   - head: The facts about all rows. Its own rows are left out.
  ///   - pieces: The rows.
  public init(head: PartialResult, pieces: any RowPieces) {
    self.head = head
    self.head.rows = PartialRows(stride: head.rows.stride)
    self.pieces = pieces
  }
}

/// Rows that are read as they are asked for. If it is copied, only one copy may go on.
public protocol RowPieces: Sendable {
  /// The next rows: merged over all partitions, in the order of window start and key, no two alike.
  /// - Returns: Nil after the last.
  mutating func next() async throws(ViewStoreError) -> PartialRows?
}
