import Events

/// A view's rows in the order of window start and key, a bounded piece at a time, all as of one moment.
///
/// What keeps the moment, such as a read transaction, is let go when the last row has been given, or when the stream is.
public struct RowStream: Sendable {
  /// What holds of all rows, from the first; without any.
  public var head: PartialResult
  public var pieces: any RowPieces

  /// - Parameters:
  ///   - head: What holds of all rows. Those of its own are left out.
  ///   - pieces: The rows.
  public init(head: PartialResult, pieces: any RowPieces) {
    self.head = head
    self.head.rows = PartialRows(stride: head.rows.stride)
    self.pieces = pieces
  }
}

/// Rows that are read as they are asked for. Of several copies of one, only one may go on.
public protocol RowPieces: Sendable {
  /// The rows that follow those given before: merged over all partitions, in the order of window start and key, no two alike.
  /// - Returns: Nil after the last.
  mutating func next() async throws(ViewStoreError) -> PartialRows?
}
