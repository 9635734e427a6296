import Events
import SQLite
import Views

/// One key's rows, from folds that have all rows in memory that can still change. Rows in the file can change no more,
/// so they are kept from read to read, and any moment of the file is right: no piece, no pin, no order.
struct PointRead: Sendable {
  let range: RowRange
  /// With the rows as they are stored: a hop has a row for each pane.
  private(set) var read: PartialResult
  private var stored: [StoredRange] = []
  /// The first window start that is wanted: retention ends at another time in each partition.
  private var from: [PartitionID: Int64] = [:]

  /// - Parameters:
  ///   - record: The generation's record.
  ///   - range: A range with a key.
  init(_ record: GenerationRecord, _ range: RowRange) {
    self.range = range
    read = PartialResult(record)
  }

  /// - Returns: False, with nothing added, when rows that can still change are in the file only.
  mutating func add(_ fold: GenerationFold) -> Bool {
    guard !fold.isCold(range) else { return false }
    read.note(fold)
    guard let kept = fold.kept(range) else { return true }
    from[fold.partition] = kept.lowerBound
    let slots = read.definition.window.slots(from: kept.lowerBound, through: kept.upperBound)
    fold.box.fold.copyRows(slots, key: range.key, into: &read.rows)
    if let range = fold.stored(range) { stored.append(range) }
    return true
  }

  /// Adds what is known of the worker's file without reading it.
  /// - Returns: Whether that is all.
  mutating func completeAtOnce(from store: CheckpointStore) -> Bool {
    stored.removeAll { range in
      guard let known = store.settled.rows(of: range) else { return false }
      read.rows.append(contentsOf: known)
      return true
    }
    return stored.isEmpty
  }

  /// Adds what is in the worker's file.
  mutating func complete(from store: CheckpointStore) async throws(ComputeError) {
    guard !completeAtOnce(from: store) else { return }
    let unknown = stored
    stored = []
    let epoch = store.settled.epoch
    let found = try await store.file.read { [definition = read.definition] db, stop in
      let rows = try unknown.map { try $0.read(definition, db, stop).rows }
      return (rows: rows, droppedEnd: try PointRead.droppedEnd(of: unknown, definition, db))
    }
    // Up to where parts of rows were gone by the time the file was read, which may be later than when the ranges were taken.
    if let end = found.droppedEnd { read.droppedEnd = max(end, read.droppedEnd ?? end) }
    for (range, rows) in zip(unknown, found.rows) {
      store.settled.keep(rows, of: range, as: epoch)
      read.rows.append(contentsOf: rows)
    }
  }

  private static func droppedEnd(of ranges: [StoredRange], _ definition: ViewDefinition, _ db: SQLiteConnection) throws -> Int64?
  {
    guard definition.retention != nil, !definition.hasSourceKey else { return nil }
    return try ranges.compactMap { range in
      try db.first(
        "SELECT dropped_end FROM progress WHERE view = ? AND partition = ?", range.view, range.partition.index
      ) { $0.optionalInt64(0) } ?? nil
    }.max()
  }

  /// - Parameter other: A read of the same generation and other partitions, with the rows of the file.
  mutating func append(_ other: PointRead) {
    read.append(other.read)
    from.merge(other.from) { $1 }
  }

  /// With the results' windows, once all rows that are in the file have been added.
  var result: PartialResult {
    precondition(stored.isEmpty, "what is in the file has been added")
    var result = read
    result.rows = read.rows.windows(of: read.definition, from: { from[$0] ?? .max }, through: range.through)
    return result
  }
}
