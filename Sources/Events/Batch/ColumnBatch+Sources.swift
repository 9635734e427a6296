/// The strings that a batch's events share, by their codes: for loops over many of them.
///
/// Valid in the scope that gave it.
public struct SharedStrings {
  @usableFromInline let bytes: UnsafeRawPointer
  /// The start of each string in `bytes`, and the end of the last.
  @usableFromInline let starts: UnsafePointer<UInt32>

  init(bytes: UnsafeRawPointer, starts: UnsafePointer<UInt32>) {
    self.bytes = bytes
    self.starts = starts
  }

  /// - Parameter code: A code of the batch's string table, as `sourceCodes()` has them. It is not checked.
  @inlinable public subscript(code: Int) -> UnsafeRawBufferPointer {
    let start = Int(starts[code])
    return UnsafeRawBufferPointer(start: bytes + start, count: Int(starts[code &+ 1]) &- start)
  }
}

/// The sequences of a batch's events, for a look at some of them.
public struct SequenceColumn {
  private let batch: ColumnBatch
  private let sequence: BatchLayout.Column
  private let epoch: BatchLayout.Column?
  /// One flag a row; empty when every row has a sequence.
  public let hasSequence: [Bool]
  /// The rows' values, where some rows have none: those columns are decoded whole.
  private let sequences: [UInt64]
  private let epochs: [UInt64]

  fileprivate init(_ batch: ColumnBatch, sequence: BatchLayout.Column, epoch: BatchLayout.Column?) {
    self.batch = batch
    self.sequence = sequence
    self.epoch = epoch
    var has: [Bool] = []
    if sequence.presence != .all {
      has = [Bool](repeating: false, count: batch.count)
      batch.forEachPresent(sequence) { row, _ in has[row] = true }
    }
    hasSequence = has
    sequences = sequence.presence == .all ? [] : SequenceColumn.values(of: sequence, in: batch)
    epochs = epoch.map { $0.presence == .all ? [] : SequenceColumn.values(of: $0, in: batch) } ?? []
  }

  private static func values(of column: BatchLayout.Column, in batch: ColumnBatch) -> [UInt64] {
    var rows = [UInt64](repeating: 0, count: batch.count)
    let values: [UInt64] = batch.integers(column)
    batch.forEachPresent(column) { row, value in rows[row] = values[value] }
    return rows
  }

  /// - Parameter row: A row with a sequence.
  /// - Returns: Its epoch, 0 where the event names none, and its sequence.
  public func position(ofRow row: Int) -> (epoch: UInt64, sequence: UInt64) {
    precondition(row < batch.count && (hasSequence.isEmpty || hasSequence[row]), "the row has a sequence")
    return (epoch.map { value($0, epochs, row) } ?? 0, value(sequence, sequences, row))
  }

  private func value(_ column: BatchLayout.Column, _ decoded: [UInt64], _ row: Int) -> UInt64 {
    guard decoded.isEmpty else { return decoded[row] }
    return batch.withPayload { IntegerEncoding.value($0 + column.valuesPosition, width: column.width, at: row) }
  }
}

extension ColumnBatch {
  /// Gives `body` the strings that events share: sources, types, and values of `data`, but no ids.
  public func withSharedStrings<R>(_ body: (SharedStrings) throws -> R) rethrows -> R {
    try layout.stringStarts.withUnsafeBufferPointer { starts in
      let position = layout.stringsPosition
      let (bytes, first) = inflated.map { ($0, position) } ?? (encoded, BatchHeader.byteCount + position)
      return try bytes.withUnsafeBytes {
        try body(SharedStrings(bytes: $0.baseAddress.unsafelyUnwrapped + first, starts: starts.baseAddress.unsafelyUnwrapped))
      }
    }
  }

  /// The events' sequences; nil when no event has one.
  public func sequences() -> SequenceColumn? {
    layout.sequence.map { index in
      SequenceColumn(self, sequence: layout.columns[index], epoch: layout.epoch.map { layout.columns[$0] })
    }
  }
}
