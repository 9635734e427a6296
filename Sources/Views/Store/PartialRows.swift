import Events

/// What one store says of a view.
public struct PartialResult: Sendable {
  public var definition: ViewDefinition
  public var generation: Int
  /// The next offset of each partition the rows are as of.
  public var asOf: OffsetVector
  /// Of the partitions that have seen an event.
  public var eventTimeWatermarks: [PartitionID: Timestamp]
  public var rows: PartialRows
  /// Partitions whose rows are not among these, because nobody answers for them; empty unless `allowsPartial` was asked for.
  public var missing: [PartitionID] = []

  public init(
    definition: ViewDefinition, generation: Int, asOf: OffsetVector, eventTimeWatermarks: [PartitionID: Timestamp],
    rows: PartialRows
  ) {
    self.definition = definition
    self.generation = generation
    self.asOf = asOf
    self.eventTimeWatermarks = eventTimeWatermarks
    self.rows = rows
  }
}

/// Rows with their aggregates still open to merging: columns side by side, no allocation for a row.
public struct PartialRows: Sendable {
  /// Words of state a row: the layout's stride.
  public let stride: Int
  public internal(set) var partitions: [PartitionID] = []
  /// Nanoseconds.
  public internal(set) var windowStarts: [Int64] = []
  /// Nanoseconds.
  public internal(set) var windowEnds: [Int64] = []
  /// One past each row's last byte in `keyBytes`.
  public internal(set) var keyEnds: [Int] = []
  /// The rows' keys as `KeyCodec` encodes them, one after the other.
  public internal(set) var keyBytes: [UInt8] = []
  /// `stride` words a row.
  public internal(set) var states: [UInt64] = []

  public init(stride: Int) { self.stride = stride }

  public var count: Int { windowStarts.count }

  public mutating func reserveCapacity(_ rows: Int) {
    partitions.reserveCapacity(rows)
    windowStarts.reserveCapacity(rows)
    windowEnds.reserveCapacity(rows)
    keyEnds.reserveCapacity(rows)
    states.reserveCapacity(rows * stride)
  }

  /// - Parameters:
  ///   - key: As `KeyCodec` encodes it.
  ///   - state: `stride` words.
  public mutating func append(
    partition: PartitionID, windowStart: Int64, windowEnd: Int64, key: UnsafeRawBufferPointer, state: UnsafePointer<UInt64>
  ) {
    partitions.append(partition)
    windowStarts.append(windowStart)
    windowEnds.append(windowEnd)
    keyBytes.append(contentsOf: key)
    keyEnds.append(keyBytes.count)
    states.append(contentsOf: UnsafeBufferPointer(start: state, count: stride))
  }

  /// All of another's rows after these; of the same view.
  public mutating func append(contentsOf other: PartialRows) {
    precondition(other.stride == stride, "rows of one view have one stride")
    let base = keyBytes.count
    partitions += other.partitions
    windowStarts += other.windowStarts
    windowEnds += other.windowEnds
    keyBytes += other.keyBytes
    keyEnds += other.keyEnds.map { $0 + base }
    states += other.states
  }

  /// Those of another's rows whose partition `isKept`, after these; of the same view.
  public mutating func append(_ other: PartialRows, where isKept: (PartitionID) -> Bool) {
    for row in 0..<other.count where isKept(other.partitions[row]) {
      other.withKey(row) { key in
        other.withState(row) { state in
          append(
            partition: other.partitions[row], windowStart: other.windowStarts[row], windowEnd: other.windowEnds[row], key: key,
            state: state)
        }
      }
    }
  }

  /// The bytes of a row's key in `keyBytes`.
  public func keyRange(_ row: Int) -> Range<Int> { (row == 0 ? 0 : keyEnds[row - 1])..<keyEnds[row] }

  public func withKey<R>(_ row: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let range = keyRange(row)
    return try keyBytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  /// The row's state, for `StateLayout.value` and `merge`.
  public func withState<R>(_ row: Int, _ body: (UnsafePointer<UInt64>) throws -> R) rethrows -> R {
    precondition(row < count && row >= 0, "the row is one of them")
    return try states.withUnsafeBufferPointer { states in
      // A view has an aggregate and so a word a row: the buffer is not empty.
      try body(states.baseAddress! + row * stride)
    }
  }

  /// A row's key values; empty when the view has no keys.
  public func keys(_ row: Int) -> [ResultValue] {
    // Keys were written by `KeyCodec`; what came over a wire is checked where it is read.
    withKey(row) { KeyCodec.decode($0) } ?? []
  }
}
