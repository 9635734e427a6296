/// The strings that a batch's events share, by their codes: for loops over many of them.
///
/// Valid in the scope that gave it.
public struct SharedStrings {
  @usableFromInline let bytes: UnsafeRawPointer
  /// The start of each string in `bytes`, and the end of the last.
  @usableFromInline let starts: UnsafePointer<UInt32>

  /// The number of strings.
  public let count: Int

  init(bytes: UnsafeRawPointer, starts: UnsafePointer<UInt32>, count: Int) {
    self.bytes = bytes
    self.starts = starts
    self.count = count
  }

  /// - Parameter code: A code of the batch's string table, as `sourceCodes()` has them. It is not checked.
  @inlinable public subscript(code: Int) -> UnsafeRawBufferPointer {
    let start = Int(starts[code])
    return UnsafeRawBufferPointer(start: bytes + start, count: Int(starts[code &+ 1]) &- start)
  }
}

/// The sequences of a batch's events, one a row.
public struct SequenceColumns: Sendable {
  /// 0 where the event had no epoch; empty when no event had one.
  public var epochs: [UInt64]
  public var sequences: [UInt64]
  /// Whether the row has a sequence; empty when every row has one.
  public var hasSequence: [Bool]
}

extension ColumnBatch {
  /// Gives `body` the strings that events share: sources, types, and values of `data`, but no ids.
  public func withSharedStrings<R>(_ body: (SharedStrings) throws -> R) rethrows -> R {
    try layout.stringStarts.withUnsafeBufferPointer { starts in
      let position = layout.stringsPosition
      let (bytes, first) = inflated.map { ($0, position) } ?? (encoded, BatchHeader.byteCount + position)
      return try bytes.withUnsafeBytes {
        try body(SharedStrings(bytes: $0.baseAddress.unsafelyUnwrapped + first, starts: starts.baseAddress.unsafelyUnwrapped, count: starts.count - 1))
      }
    }
  }

  /// The events' sequences; nil when no event has one.
  public func sequences() -> SequenceColumns? {
    guard let index = layout.sequence else { return nil }
    let column = layout.columns[index]
    var columns = SequenceColumns(epochs: epochs(), sequences: [], hasSequence: [])
    guard column.presence != .all else {
      columns.sequences = integers(column)
      return columns
    }
    let values: [UInt64] = integers(column)
    columns.sequences = [UInt64](repeating: 0, count: count)
    columns.hasSequence = [Bool](repeating: false, count: count)
    forEachPresent(column) { row, value in
      columns.sequences[row] = values[value]
      columns.hasSequence[row] = true
    }
    return columns
  }

  /// The events' epochs, one a row, 0 where an event had none; empty when no event had one.
  func epochs() -> [UInt64] {
    guard let index = layout.epoch else { return [] }
    let values: [UInt64] = integers(layout.columns[index])
    if layout.columns[index].presence == .all { return values }
    var epochs = [UInt64](repeating: 0, count: count)
    forEachPresent(layout.columns[index]) { row, value in epochs[row] = values[value] }
    return epochs
  }
}
