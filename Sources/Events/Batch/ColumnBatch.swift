/// Up to 65,536 events of one partition, as columns: the one thing that travels from socket to SQLite.
public struct ColumnBatch: Sendable {
  public private(set) var header: BatchHeader
  /// Header and stored payload: the bytes that lie in the segment and cross the wire.
  public private(set) var encoded: [UInt8]

  /// Checks header, CRC, and the layout of every column; a hostile batch costs nothing.
  public init(encoded: [UInt8]) throws(BatchError) { fatalError("to come") }

  public var count: Int { header.count }
  public var partition: PartitionID { header.partition }
  public var baseOffset: Offset { header.baseOffset }
  public var endOffset: Offset { header.endOffset }

  /// Gives the batch its place: patches partition, offset and append time into the header's bytes.
  public mutating func place(partition: PartitionID, baseOffset: Offset, appendTime: Timestamp) { fatalError("to come") }

  /// The same batch with its payload stored by `codec`.
  public func recoded(_ codec: BatchHeader.Codec) throws(BatchError) -> ColumnBatch { fatalError("to come") }

  /// The batch without the other rows; nil when `rows` is empty.
  /// - Parameter rows: Ascending row numbers.
  public func selecting(_ rows: [Int]) -> ColumnBatch? { fatalError("to come") }

  /// Event times in nanoseconds, one a row.
  public func times() -> [Int64] { fatalError("to come") }

  /// What the producer table needs, a value a row.
  public func producers() -> ProducerColumns { fatalError("to come") }

  /// One event with everything it came with.
  public func event(at row: Int) -> Event { fatalError("to come") }
}

/// Who sent each row, and its sequence.
public struct ProducerColumns: Sendable {
  /// Code of the source in the batch's string table.
  public var sources: [UInt32]
  /// 0 where the event had none.
  public var epochs: [UInt64]
  public var sequences: [UInt64]
  /// Whether the row has a sequence; empty when every row has one.
  public var hasSequence: [Bool]
  /// 128-bit digest of (source, id) for rows that have an id but no sequence; empty when no row needs one.
  public var identities: [EventIdentity?]
}

/// A 128-bit digest of (source, id): small enough to remember, too wide to collide.
public struct EventIdentity: Hashable, Sendable {
  public var high: UInt64
  public var low: UInt64
}

extension ColumnBatch: RowSource {
  public var rowCount: Int { count }
  public var stringCount: Int { fatalError("to come") }
  public func withString<R>(_ code: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R { fatalError("to come") }
  public func load(_ path: ValuePath, into vector: inout ValueVector) { fatalError("to come") }
}
