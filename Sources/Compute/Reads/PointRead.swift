import Events
import SQLite
import Views

/// One key's rows, from folds of which no row lies in memory and in the file both. The file's rows of the key are the same at any
/// moment until a checkpoint amends stored rows, so they are kept from read to read: no piece, no pin, no order.
struct PointRead: Sendable {
  let range: RowRange
  /// The version of the worker's file when the folds were asked.
  private let epoch: Int
  /// With the rows as they are stored: a hop has a row for each pane.
  private(set) var read: PartialResult
  private var stored: [StoredRange] = []
  /// The event-time watermark of the key's source, nanoseconds; nil where rows have none.
  private var sourceWatermark: Int64?
  /// The first window start that is wanted: retention ends at another time in each partition.
  private var from: [PartitionID: Int64] = [:]

  /// - Parameters:
  ///   - record: The generation's record.
  ///   - range: A range with a key.
  ///   - epoch: The present one of the worker's `SettledRows`.
  init(_ record: GenerationRecord, _ range: RowRange, epoch: Int = 0) {
    self.range = range
    self.epoch = epoch
    read = PartialResult(record)
  }

  /// - Returns: False, with nothing added, when the file may have parts of rows that memory has.
  mutating func add(_ fold: GenerationFold, _ active: ActiveSources) -> Bool {
    guard !fold.sharesRows(range), noteSource(fold) else { return false }
    read.note(fold, active)
    guard let kept = fold.kept(range) else { return true }
    from[fold.partition] = kept.lowerBound
    let slots = read.definition.window.slots(from: kept.lowerBound, through: kept.upperBound)
    fold.box.fold.copyRows(slots, key: range.key, into: &read.rows)
    if let range = fold.stored(range) { stored.append(range) }
    return true
  }

  /// - Returns: False when only the file may know the key's source.
  private mutating func noteSource(_ fold: GenerationFold) -> Bool {
    let definition = read.definition
    guard definition.hasSourceWatermarks, range.wants(fold.partition), let clocks = fold.sources?.clocks, let key = range.key,
      let column = definition.sourceKey, case .string(let source)? = key.withUnsafeBytes({ KeyCodec.decode($0) })?[column]
    else { return true }
    let time = Array(source.utf8).withUnsafeBytes { clocks.time(of: $0) }
    if time == nil, clocks.mayBeInFile { return false }
    let watermark = time.map { definition.eventTimeWatermark(ofLargest: $0) } ?? .min
    // Where it is not known which partition has the key, only one knows its source.
    sourceWatermark = max(sourceWatermark ?? .min, watermark)
    return true
  }

  /// Adds what is known of the worker's file without reading it.
  /// - Returns: Whether that is all.
  mutating func completeAtOnce(from store: CheckpointStore) -> Bool {
    stored.removeAll { range in
      guard let known = store.settled.rows(of: range, as: epoch) else { return false }
      read.rows.append(contentsOf: known)
      return true
    }
    return stored.isEmpty
  }

  /// Adds what is in the worker's file.
  /// - Returns: False when stored rows have been amended since the folds were asked: the file's may be of a later moment.
  mutating func complete(from store: CheckpointStore) async throws(ComputeError) -> Bool {
    guard !completeAtOnce(from: store) else { return true }
    let unknown = stored
    stored = []
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
    return store.settled.epoch == epoch
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
    if let other = other.sourceWatermark { sourceWatermark = max(sourceWatermark ?? .min, other) }
  }

  /// With the results' windows, once all rows that are in the file have been added.
  var result: PartialResult {
    precondition(stored.isEmpty, "what is in the file has been added")
    var result = read
    result.rows = read.rows.windows(of: read.definition, from: { from[$0] ?? .max }, through: range.through)
    if let sourceWatermark { result.rows.fillSourceWatermarks(of: read.definition) { _ in sourceWatermark } }
    return result
  }
}
