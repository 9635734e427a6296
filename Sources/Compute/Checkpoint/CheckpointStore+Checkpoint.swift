import Events
import SQLite
import Views

extension CheckpointStore {
  /// Writes what changed in the folds and how far they are, in one transaction; then tells the folds so.
  /// - Parameter horizons: Up to where the rows of each may go.
  /// - Returns: Rows written.
  func checkpoint(_ folds: [GenerationFold], _ horizons: RetentionHorizons) throws(ComputeError) -> Int {
    try checkPlace()
    var dropped: [(fold: GenerationFold, end: Int64, events: Int)] = []
    let written = try typed {
      try file.write { db in
        var written = 0
        for fold in folds {
          let box = fold.box
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
          try CheckpointStore.writeProgress(db, view: fold.viewID, box, gone)
        }
        return written
      }
    }
    for fold in folds { fold.box.checkpointed() }
    for (fold, end, events) in dropped { fold.box.fold.noteDropped(through: end, events: events) }
    for fold in folds { horizons.note(fold.id, fold.box.fold) }
    return written
  }

  private static func writeProgress(_ db: SQLiteConnection, view: Int64, _ box: FoldBox, _ dropped: DroppedRows) throws {
    let progress = box.fold.progress
    try db.run(
      """
      INSERT OR REPLACE INTO progress (view, partition, first_offset, next_offset, event_time_max, last_append_time, applied, filtered,
        late, where_errors, argument_errors, late_listed, dropped_end, dropped_events)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      view, progress.partition.index, progress.firstOffset.rawValue, progress.nextOffset.rawValue, box.fold.clock.largest,
      progress.lastAppendTime?.nanoseconds, progress.applied, progress.filtered, progress.late, progress.whereErrors,
      progress.argumentErrors, progress.lateListed, dropped.end, dropped.events)
  }

  /// Takes the rows out that end at or before `end`.
  /// - Returns: The events they counted.
  private static func dropRows(of fold: GenerationFold, through end: Int64, _ db: SQLiteConnection) throws -> Int {
    let window = fold.box.fold.definition.window
    // Of sessions the end decides; of others it says the same as the slot.
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
