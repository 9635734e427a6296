import Aggregates
import Events
import Expressions

public struct PartialResult: Sendable {
  public var definition: ViewDefinition
  public var generation: Int
  /// The next offset of each partition that the rows count.
  public var asOf: OffsetVector
  /// The event-time watermarks of the partitions that have seen an event.
  public var eventTimeWatermarks: [PartitionID: Timestamp]
  /// The event-time watermark of the slowest active source of each partition: no row that it has not closed is final. A partition
  /// without active sources is not named. Empty where the partition's own time closes windows.
  public var slowestSources: [PartitionID: Timestamp] = [:]
  public var rows: PartialRows
  /// For a view whose rows may lie in several partitions: parts that end at or before this may have been dropped by retention.
  /// Nanoseconds; nil when none.
  public var droppedEnd: Int64?
  /// Partitions whose rows are missing, because nobody answers for them; empty unless `allowsPartial` was asked for.
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

  /// Takes in what is said of other partitions, of the same generation, and their rows.
  /// - Parameter other: Its rows come after these.
  public mutating func append(_ other: PartialResult) {
    asOf.formMaximum(other.asOf)
    eventTimeWatermarks.merge(other.eventTimeWatermarks) { $1 }
    slowestSources.merge(other.slowestSources) { $1 }
    if let end = other.droppedEnd { droppedEnd = max(end, droppedEnd ?? end) }
    rows.append(contentsOf: other.rows)
  }
}

/// Rows whose aggregates can still be merged: columns side by side, no allocation for a row.
public struct PartialRows: Sendable {
  /// The words of state of a row, without tails: the layout's stride.
  public let stride: Int
  public internal(set) var partitions: [PartitionID] = []
  /// Nanoseconds.
  public internal(set) var windowStarts: [Int64] = []
  /// Nanoseconds.
  public internal(set) var windowEnds: [Int64] = []
  /// One past each row's last byte in `keyBytes`.
  public internal(set) var keyEnds: [Int] = []
  /// The rows' keys in `KeyCodec`'s form, one after the other.
  public internal(set) var keyBytes: [UInt8] = []
  /// One past each row's last word in `states`.
  public internal(set) var stateEnds: [Int] = []
  /// The rows' states in the layout's canonical form, one after the other.
  public internal(set) var states: [UInt64] = []
  /// The event-time watermark of each row's source, nanoseconds; of a source not seen yet the lowest time. Empty, or one entry a
  /// row: empty where a row is not of one source, or its partition's time closes its windows.
  public internal(set) var sourceWatermarks: [Int64] = []

  public init(stride: Int) { self.stride = stride }

  public var count: Int { windowStarts.count }

  public mutating func reserveCapacity(_ rows: Int) {
    partitions.reserveCapacity(rows)
    windowStarts.reserveCapacity(rows)
    windowEnds.reserveCapacity(rows)
    keyEnds.reserveCapacity(rows)
    stateEnds.reserveCapacity(rows)
    states.reserveCapacity(rows * stride)
  }

  /// - Parameters:
  ///   - partition: The row's partition.
  ///   - windowStart: Nanoseconds since 1970.
  ///   - windowEnd: Nanoseconds since 1970; after the start.
  ///   - key: The key in `KeyCodec`'s form.
  ///   - state: The state in the layout's canonical form.
  ///   - sourceWatermark: The event-time watermark of the row's source, nanoseconds; nil where none is known.
  public mutating func append(
    partition: PartitionID, windowStart: Int64, windowEnd: Int64, key: UnsafeRawBufferPointer,
    state: UnsafeBufferPointer<UInt64>, sourceWatermark: Int64? = nil
  ) {
    precondition(state.count >= stride, "a state has the layout's words")
    states.append(contentsOf: state)
    endRow(partition: partition, windowStart: windowStart, windowEnd: windowEnd, key: key, sourceWatermark)
  }

  /// Appends the row whose canonical state `write` appends to the states.
  public mutating func append(
    partition: PartitionID, windowStart: Int64, windowEnd: Int64, key: UnsafeRawBufferPointer, sourceWatermark: Int64? = nil,
    writingState write: (inout [UInt64]) -> Void
  ) {
    let start = states.count
    write(&states)
    precondition(states.count >= start + stride, "a state has the layout's words")
    endRow(partition: partition, windowStart: windowStart, windowEnd: windowEnd, key: key, sourceWatermark)
  }

  private mutating func endRow(
    partition: PartitionID, windowStart: Int64, windowEnd: Int64, key: UnsafeRawBufferPointer, _ sourceWatermark: Int64?
  ) {
    appendSourceWatermark(sourceWatermark)
    partitions.append(partition)
    windowStarts.append(windowStart)
    windowEnds.append(windowEnd)
    keyBytes.append(contentsOf: key)
    keyEnds.append(keyBytes.count)
    stateEnds.append(states.count)
  }

  /// Appends a stored row, with its state in `StateCodec`'s form.
  /// - Returns: False, with nothing appended, when the state does not have the layout.
  public mutating func append(
    partition: PartitionID, windowStart: Int64, windowEnd: Int64, key: UnsafeRawBufferPointer,
    stored: UnsafeRawBufferPointer, layout: StateLayout, sourceWatermark: Int64? = nil
  ) -> Bool {
    guard StateCodec.decode(stored, layout, appendingTo: &states) else { return false }
    endRow(partition: partition, windowStart: windowStart, windowEnd: windowEnd, key: key, sourceWatermark)
    return true
  }

  /// Appends all rows of another result of the same view.
  public mutating func append(contentsOf other: PartialRows) {
    precondition(other.stride == stride, "rows of one view have one stride")
    // Shared, not copied.
    guard count > 0 else {
      self = other
      return
    }
    let base = keyBytes.count
    let stateBase = states.count
    appendSourceWatermarks(of: 0..<other.count, other)
    partitions += other.partitions
    windowStarts += other.windowStarts
    windowEnds += other.windowEnds
    keyBytes += other.keyBytes
    keyEnds += other.keyEnds.map { $0 + base }
    states += other.states
    stateEnds += other.stateEnds.map { $0 + stateBase }
  }

  /// Appends one row of another result.
  /// - Parameters:
  ///   - row: The row's number.
  ///   - other: A result of the same view.
  public mutating func append(_ row: Int, of other: PartialRows) {
    other.withKey(row) { key in
      other.withState(row) { state in
        append(
          partition: other.partitions[row], windowStart: other.windowStarts[row], windowEnd: other.windowEnds[row], key: key,
          state: state, sourceWatermark: other.sourceWatermark(row))
      }
    }
  }

  /// The rows whose window start is wanted, in their order.
  public func filtered(_ isWanted: (_ windowStart: Int64) -> Bool) -> PartialRows {
    var result = PartialRows(stride: stride)
    for row in 0..<count where isWanted(windowStarts[row]) { result.append(row, of: self) }
    return result
  }

  /// Appends the rows of another result of the same view whose partition `isKept`.
  public mutating func append(_ other: PartialRows, where isKept: (PartitionID) -> Bool) {
    for row in 0..<other.count where isKept(other.partitions[row]) { append(row, of: other) }
  }

  public func keyRange(_ row: Int) -> Range<Int> { (row == 0 ? 0 : keyEnds[row - 1])..<keyEnds[row] }

  public func stateRange(_ row: Int) -> Range<Int> { (row == 0 ? 0 : stateEnds[row - 1])..<stateEnds[row] }

  /// The order of two keys' bytes in results: below zero, zero or above.
  /// - Parameters:
  ///   - a: A key in `KeyCodec`'s form.
  ///   - b: Another key.
  public static func keyOrder(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let order = Order.of(a, b)
    return order == Order.less ? -1 : order == Order.greater ? 1 : 0
  }

  public func withKey<R>(_ row: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let range = keyRange(row)
    return try keyBytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  /// The row's state, for `StateLayout.value` and `StateRows.merge`.
  public func withState<R>(_ row: Int, _ body: (UnsafeBufferPointer<UInt64>) throws -> R) rethrows -> R {
    let range = stateRange(row)
    return try states.withUnsafeBufferPointer { try body(UnsafeBufferPointer(rebasing: $0[range])) }
  }

  /// A row's key values; empty when the view has no keys.
  public func keys(_ row: Int) -> [ResultValue] {
    // `KeyCodec` wrote the keys; keys from a wire are checked when they are read.
    withKey(row) { KeyCodec.decode($0) } ?? []
  }
}
