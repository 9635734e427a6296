import Events

/// A view's rows in the order of window start and key, a bounded piece at a time, all as of one moment.
///
/// What keeps the moment, such as a read transaction, is let go when the last row has been given, or when the stream is.
public struct RowStream: Sendable {
  public var definition: ViewDefinition
  public var generation: Int
  /// The next offset of each partition the rows are as of.
  public var asOf: OffsetVector
  /// Of the partitions that have seen an event.
  public var eventTimeWatermarks: [PartitionID: Timestamp]
  /// As `PartialResult.droppedEnd`.
  public var droppedEnd: Int64?
  public var pieces: any RowPieces

  /// - Parameters:
  ///   - definition: The view's.
  ///   - generation: Of the view.
  ///   - asOf: Of all rows, from the first.
  ///   - eventTimeWatermarks: Of the same moment.
  ///   - droppedEnd: As `PartialResult.droppedEnd`.
  ///   - pieces: The rows.
  public init(
    definition: ViewDefinition, generation: Int, asOf: OffsetVector, eventTimeWatermarks: [PartitionID: Timestamp],
    droppedEnd: Int64? = nil, pieces: any RowPieces
  ) {
    self.definition = definition
    self.generation = generation
    self.asOf = asOf
    self.eventTimeWatermarks = eventTimeWatermarks
    self.droppedEnd = droppedEnd
    self.pieces = pieces
  }
}

/// Rows that are read as they are asked for. Of several copies of one, only one may go on.
public protocol RowPieces: Sendable {
  /// The rows that follow those given before: merged over all partitions, in the order of window start and key, no two alike.
  /// - Returns: Nil after the last.
  mutating func next() async throws(ViewStoreError) -> PartialRows?
}
