import Aggregates
import Events
import Expressions
import Logging
import SQLite
import Synchronization
import Views

/// The folds' part of a worker's file: changed rows and next offsets, written together in one transaction, and taken up
/// again after a restart. Other contents of the file have types of their own, which are reached from here.
///
/// One writer, the worker. A read sees the file as of the moment at which the worker copied its rows in memory
/// (`StatePin`); one key's rows that can change no more need no such moment (`PointRead`).
///
/// It asks the folds, and no fold asks it.
final class CheckpointStore: Sendable {
  let file: CheckpointFile
  let settled = SettledRows()
  let generations: StoredGenerations
  let tallies: StoredTallies
  /// The late events of a view and partition that are listed.
  let lateMax: Int
  /// Whether sessions have an index by key.
  private let isIndexed = Atomic<Bool>(false)

  /// Opens or makes the file: see `CheckpointFile`.
  init(directory: String, worker: Int, lateMax: Int = 0, logger: Logger) throws(ComputeError) {
    self.lateMax = lateMax
    file = try CheckpointFile(directory: directory, worker: worker, lateMax: lateMax, logger: logger)
    generations = StoredGenerations(file: file, settled: settled)
    tallies = StoredTallies(file)
  }

  var worker: Int { file.worker }
  var log: StoredLogIdentity { StoredLogIdentity(file: file) }
  var generationCopy: GenerationCopy { GenerationCopy(file: file) }

  // MARK: loading

  /// A view's fold of one partition as it was at the last checkpoint; nil when there is none.
  /// - Parameter bytesMax: The bytes of rows to take into memory; further rows stay in the file.
  func load(
    _ definition: ViewDefinition, view: Int64, partition: PartitionID, bytesMax: Int = .max
  ) throws(ComputeError) -> StoredFold? {
    try file.withWriter { db in
      try db.transaction(.deferred) {
        guard let fold = try loadProgress(db, definition, view, partition) else { return nil }
        try loadRows(db, view, bytesMax: bytesMax, into: fold.box)
        return fold
      }
    }
  }

  private func loadProgress(
    _ db: SQLiteConnection, _ definition: ViewDefinition, _ view: Int64, _ partition: PartitionID
  ) throws -> StoredFold? {
    try db.first(
      """
      SELECT first_offset, next_offset, last_append_time, applied, filtered, late, where_errors, argument_errors, event_time_max,
        late_listed, dropped_end, dropped_events, amended, clock
      FROM progress WHERE view = ? AND partition = ?
      """, view, partition.index
    ) { row in
      var progress = PartitionProgress(
        partition: partition, firstOffset: Offset(row.int64(0)), nextOffset: Offset(row.int64(1)))
      progress.lastAppendTime = row.optionalInt64(2).map { Timestamp(nanoseconds: $0) }
      progress.applied = row.int(3)
      progress.filtered = row.int(4)
      progress.late = row.int(5)
      progress.whereErrors = row.int(6)
      progress.argumentErrors = row.int(7)
      progress.lateListed = row.int(9)
      progress.amended = row.int(12)
      let box = FoldBox(
        ViewFold(
          definition: definition, progress: progress, eventTimeMax: row.optionalInt64(8), lateMax: lateMax,
          dropped: DroppedRows(end: row.optionalInt64(10), events: row.int(11))))
      return StoredFold(box: box, sources: row.optionalInt64(13))
    }
  }

  /// Puts the rows back that can still change: by their slots, the last ones first, and of sessions by their ends.
  private func loadRows(_ db: SQLiteConnection, _ view: Int64, bytesMax: Int, into box: FoldBox) throws {
    let (condition, bound) =
      switch box.fold.rows.open {
      case .slots(let first): ("window_start >= ? ORDER BY window_start DESC", first)
      case .ends(let end): ("window_end > ?", end)
      }
    let sql = "SELECT \(CheckpointStore.columns) FROM \(box.fold.definition.window.table) WHERE view = ? AND partition = ?"
    try db.withStatement("\(sql) AND \(condition)") { row in
      try row.bind([view, box.fold.progress.partition.index, bound])
      try restore(row, into: box, bytesMax: bytesMax)
    }
  }

  private static let columns = "window_start, window_end, key, state, events"

  private func restore(_ row: SQLiteStatement, into box: FoldBox, bytesMax: Int = .max) throws {
    let layout = box.fold.definition.layout
    var state: [UInt64] = []
    while try row.step() {
      guard box.fold.memoryBytes <= bytesMax else { return box.fold.rows.leaveRest(from: row.int64(0)) }
      state.removeAll(keepingCapacity: true)
      guard StateCodec.decode(row.bytes(3), layout, appendingTo: &state) else {
        throw ComputeError(
          .incompatible, worker: worker, partition: box.fold.progress.partition,
          "a stored row of view \(box.fold.definition.name) has another layout")
      }
      state.withUnsafeBufferPointer {
        box.fold.rows.restore(
          RowAddress(slot: row.int64(0), end: row.int64(1)), key: row.bytes(2), $0, events: row.int64(4))
      }
    }
  }

  /// Loads the sessions that memory has let go of and a batch's events may go to: all at once, before the batch is folded.
  func restoreSessions(
    _ fold: GenerationFold, for batch: ColumnBatch, _ times: BatchTimes, scratch: inout EvaluationScratch
  ) throws(ComputeError) {
    let missing = fold.box.fold.missingRows(for: batch, times, scratch: &scratch)
    guard !missing.isEmpty else { return }
    // Only the index by key finds them. A view of sessions gets it once it has outgrown memory.
    let index = CheckpointSchema.sessionIndex
    if !isIndexed.load(ordering: .relaxed) {
      try file.write { try $0.execute("CREATE INDEX IF NOT EXISTS \(index) ON session (view, partition, key, window_end)") }
      isIndexed.store(true, ordering: .relaxed)
    }
    let sql =
      "SELECT \(CheckpointStore.columns) FROM session INDEXED BY \(index) WHERE view = ? AND partition = ? AND key = ?"
      + " AND window_end > ? AND window_end <= ?"
    try file.withWriter { db in
      try db.withStatement(sql) { row in
        for one in missing {
          try row.bind([fold.viewID, fold.partition.index, one.key, one.endAfter, one.endThrough])
          try restore(row, into: fold.box)
          row.rewind()
          one.key.withUnsafeBytes { fold.box.fold.rows.noteRestored(key: $0, endingAfter: one.endAfter) }
        }
      }
    }
  }

  // MARK: checkpoints

  /// Writes the folds' changes, their sources' and their next offsets in one transaction; then marks them as saved.
  /// - Parameters:
  ///   - folds: The folds.
  ///   - clocks: Clocks of sources besides the folds'.
  ///   - horizons: The times up to which retention may delete each fold's rows.
  /// - Returns: Rows written.
  func checkpoint(
    _ folds: [GenerationFold], _ clocks: [SourceBox], _ horizons: RetentionHorizons
  ) throws(ComputeError) -> Int {
    try file.checkPlace()
    // A read of one key takes stored rows at any moment until then.
    if folds.contains(where: { $0.box.fold.rows.amendsStored }) { settled.forget() }
    var dropped: [(fold: GenerationFold, end: Int64, events: Int)] = []
    var ids: [ObjectIdentifier: (box: SourceBox, id: Int64)] = [:]
    let written = try file.write { db in
      var written = 0
      for box in clocks + folds.compactMap(\.sources) where ids[ObjectIdentifier(box)] == nil {
        let id = try box.id ?? StoredSources.add(box.clocks, to: db)
        try StoredSources.write(box.clocks, clock: id, to: db)
        ids[ObjectIdentifier(box)] = (box, id)
      }
      for fold in folds {
        let box = fold.box
        let balance = try CheckpointStore.balance(of: fold, db)
        written += try StateStatements.use(db, box.fold.definition.window, view: fold.viewID, fold.partition) {
          try $0.write(box.fold)
        }
        try LateBlock.write(box.fold.late, view: fold.viewID, fold.partition, countMax: lateMax, to: db)
        var gone = box.fold.dropped
        if let end = horizons.droppableEnd(fold.id, box.fold), end > gone.end ?? .min {
          let events = try CheckpointStore.dropRows(of: fold, through: end, db)
          dropped.append((fold, end, events))
          gone = DroppedRows(end: end, events: gone.events + events)
        }
        let clock = fold.sources.flatMap { ids[ObjectIdentifier($0)]?.id }
        try CheckpointStore.writeProgress(db, view: fold.viewID, box, gone, clock: clock)
        if let balance, let after = try CheckpointStore.balance(of: fold, db) {
          assert(balance == after, "a checkpoint adds to rows what has been applied since the one before")
        }
      }
      return written
    }
    for fold in folds { fold.box.checkpointed() }
    for (box, id) in ids.values { box.checkpointed(id: id) }
    for (fold, end, events) in dropped { fold.box.fold.noteDropped(through: end, events: events) }
    for fold in folds { horizons.note(fold.id, fold.box.fold) }
    return written
  }

  private static func writeProgress(
    _ db: SQLiteConnection, view: Int64, _ box: FoldBox, _ dropped: DroppedRows, clock: Int64?
  ) throws {
    let progress = box.fold.progress
    try db.run(
      """
      INSERT OR REPLACE INTO progress (view, partition, first_offset, next_offset, event_time_max, last_append_time, applied, filtered,
        late, where_errors, argument_errors, late_listed, dropped_end, dropped_events, amended, clock)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      view, progress.partition.index, progress.firstOffset.rawValue, progress.nextOffset.rawValue, box.fold.clock.largest,
      progress.lastAppendTime?.nanoseconds, progress.applied, progress.filtered, progress.late, progress.whereErrors,
      progress.argumentErrors, progress.lateListed, dropped.end, dropped.events, progress.amended, clock)
  }

  /// By how much the file's rows count less than what was applied; always 0 but for files of earlier versions.
  /// - Returns: Nil in release builds, and where there is much to add up.
  private static func balance(of fold: GenerationFold, _ db: SQLiteConnection) throws -> Int? {
    #if DEBUG
      let (view, partition, table) = (fold.viewID, fold.partition.index, fold.box.fold.definition.window.table)
      guard fold.box.fold.progress.applied <= 4096 else { return nil }
      return try db.first(
        """
        SELECT coalesce((SELECT applied - dropped_events FROM progress WHERE view = ?1 AND partition = ?2), 0)
          - (SELECT coalesce(sum(events), 0) FROM \(table) WHERE view = ?1 AND partition = ?2)
        """, view, partition
      ) { $0.int(0) }
    #else
      return nil
    #endif
  }

  /// Deletes the rows that end at or before `end`.
  /// - Returns: The events that they counted.
  private static func dropRows(of fold: GenerationFold, through end: Int64, _ db: SQLiteConnection) throws -> Int {
    let window = fold.box.fold.definition.window
    // For sessions the end decides; for windows it is equivalent to the slot.
    let rows = "\(window.table) WHERE view = ? AND partition = ? AND window_start <= ? AND window_end <= ?"
    let (view, partition, slot) = (fold.viewID, fold.partition.index, window.lastSlot(endingBy: end))
    let found =
      try db.first("SELECT count(*), coalesce(sum(events), 0) FROM \(rows)", view, partition, slot, end) {
        (rows: $0.int(0), events: $0.int(1))
      } ?? (rows: 0, events: 0)
    guard found.rows > 0 else { return 0 }
    try db.run("DELETE FROM \(rows)", view, partition, slot, end)
    guard db.changes == found.rows else {
      throw SQLiteError.corrupt(
        "of \(found.rows) rows of \(fold.id) past retention, partition \(fold.partition), \(db.changes) have gone")
    }
    return found.events
  }
}

/// A fold as it was stored.
struct StoredFold: Sendable {
  let box: FoldBox
  /// The id in the file of its sources' clocks; nil where it has none.
  let sources: Int64?
}
