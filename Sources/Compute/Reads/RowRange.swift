import Events

/// The rows that a read wants, by the window's start: nanoseconds, both bounds inclusive. None if `from` is beyond `through`.
struct RowRange: Sendable {
  var from = Int64.min
  var through = Int64.max
  /// Only rows of this key.
  var key: [UInt8]?
  /// The only partition that has rows of the key; nil where any may.
  var home: PartitionID?

  func wants(_ partition: PartitionID) -> Bool { home.map { $0 == partition } ?? true }

  static let all = RowRange()
}

extension GenerationFold {
  /// The window starts that retention keeps of a range; nil when it keeps none. Rows past retention may not have been deleted
  /// yet: whether a read sees them must not depend on that.
  func kept(_ range: RowRange) -> ClosedRange<Int64>? {
    let from = max(range.from, box.fold.firstKeptWindow)
    return from <= range.through && range.wants(partition) ? from...range.through : nil
  }

  /// Whether the file may have parts of rows within the bounds that memory has.
  func sharesRows(_ range: RowRange) -> Bool {
    guard let kept = kept(range) else { return false }
    let slots = box.fold.definition.window.slots(from: kept.lowerBound, through: kept.upperBound)
    return box.fold.rows.sharesRows(from: slots.lowerBound, key: range.key)
  }

  /// The part of a read that is in the file only; nil when there is none.
  func stored(_ range: RowRange) -> StoredRange? {
    guard let kept = kept(range) else { return nil }
    let slots = box.fold.definition.window.slots(from: kept.lowerBound, through: kept.upperBound)
    guard let stored = box.fold.rows.stored(slots, key: range.key, keptAfter: box.fold.keptAfter ?? .min) else {
      return nil
    }
    return StoredRange(view: viewID, partition: partition, rows: stored, key: range.key)
  }
}
