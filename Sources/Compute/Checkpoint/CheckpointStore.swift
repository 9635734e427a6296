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
  let compactor: RunCompactor
  /// The late events of a view and partition that are listed.
  let lateMax: Int
  /// Whether sessions have an index by key.
  private let isIndexed = Atomic<Bool>(false)

  /// Opens or makes the file: see `CheckpointFile`.
  init(directory: String, worker: Int, lateMax: Int = 0, logger: Logger) throws(ComputeError) {
    self.lateMax = lateMax
    file = try CheckpointFile(directory: directory, worker: worker, lateMax: lateMax, logger: logger)
    let layouts = StateLayouts()
    generations = StoredGenerations(file: file, settled: settled, layouts: layouts)
    compactor = RunCompactor(file, layouts)
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
        late_listed, dropped_end, amended, clock
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
      progress.amended = row.int(11)
      let box = FoldBox(
        ViewFold(
          definition: definition, progress: progress, eventTimeMax: row.optionalInt64(8), lateMax: lateMax,
          droppedEnd: row.optionalInt64(10)))
      return StoredFold(box: box, sources: row.optionalInt64(12))
    }
  }

  /// Puts the rows back that can still change: windows by their slots, the last ones where not all fit; sessions by their ends.
  private func loadRows(_ db: SQLiteConnection, _ view: Int64, bytesMax: Int, into box: FoldBox) throws {
    switch box.fold.rows.open {
    case .slots(let first): try loadWindows(db, view, from: first, bytesMax: bytesMax, into: box)
    case .ends(let end):
      let sql = "SELECT \(CheckpointStore.columns) FROM session WHERE view = ? AND partition = ? AND window_end > ?"
      try db.withStatement(sql) { row in
        try row.bind([view, box.fold.progress.partition.index, end])
        try restore(row, into: box, bytesMax: bytesMax)
      }
    }
  }

  private func loadWindows(
    _ db: SQLiteConnection, _ view: Int64, from first: Int64, bytesMax: Int, into box: FoldBox
  ) throws {
    let owner = RunOwner.rows(view: view, box.fold.progress.partition)
    let layout = box.fold.definition.layout
    var start = first
    let rowsMax = bytesMax / (layout.stride * 8 + WindowTable.rowBytes)
    if let fitting = try StoredRuns.firstSlot(db, owner, rowsMax: rowsMax), fitting > first {
      box.fold.rows.leaveRest(through: fitting == .max ? .max : fitting - 1)
      start = fitting
    }
    var merge = try RunMerge(db, owner, layout, from: RowPlace(slot: start, key: []), through: .max)
    var isFull = false
    while !isFull,
      try merge.next(db, { row in
        box.fold.rows.restore(RowAddress(slot: row.slot, end: row.slot), key: row.key, row.state, events: row.events)
        isFull = box.fold.memoryBytes > bytesMax
      })
    {}
    // Keys and states were larger than estimated.
    if isFull { box.fold.rows.leaveRest(through: .max) }
  }

  private static let columns = "window_start, window_end, key, state, events"

  private func restore(_ row: SQLiteStatement, into box: FoldBox, bytesMax: Int = .max) throws {
    let layout = box.fold.definition.layout
    var state: [UInt64] = []
    while try row.step() {
      guard box.fold.memoryBytes <= bytesMax else { return box.fold.rows.leaveRest(through: .max) }
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
    var dropped: [(fold: GenerationFold, end: Int64)] = []
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
        written += try CheckpointStore.writeRows(of: fold, db)
        try LateBlock.write(box.fold.late, view: fold.viewID, fold.partition, countMax: lateMax, to: db)
        if let end = horizons.droppableEnd(fold.id, box.fold), end > box.fold.droppedEnd ?? .min { dropped.append((fold, end)) }
        let end = dropped.last.flatMap { $0.fold.box === box ? $0.end : nil } ?? box.fold.droppedEnd
        let events = try end.map { try CheckpointStore.dropRows(of: fold, through: $0, db) } ?? 0
        let clock = fold.sources.flatMap { ids[ObjectIdentifier($0)]?.id }
        try CheckpointStore.writeProgress(db, view: fold.viewID, box, droppedEnd: end, droppedEvents: events, clock: clock)
        if let balance, let after = try CheckpointStore.balance(of: fold, db) {
          assert(balance == after, "a checkpoint adds to rows what has been applied since the one before")
        }
      }
      return written
    }
    for fold in folds { fold.box.checkpointed() }
    for (box, id) in ids.values { box.checkpointed(id: id) }
    for (fold, end) in dropped { fold.box.fold.noteDropped(through: end) }
    for fold in folds { horizons.note(fold.id, fold.box.fold) }
    compactor.wake()
    return written
  }

  /// Writes a fold's changes since the last checkpoint.
  /// - Returns: Rows written.
  private static func writeRows(of fold: GenerationFold, _ db: SQLiteConnection) throws -> Int {
    let definition = fold.box.fold.definition
    switch definition.window.keeping {
    case .slots:
      var run = RunWriter(db, .rows(view: fold.viewID, fold.partition), stride: definition.layout.stride)
      try fold.box.fold.rows.forEachChanged { row in
        try run.append(
          RunRow(slot: row.address.slot, key: row.key, isWhole: row.isWhole, events: row.events, state: row.state))
      }
      try run.finish()
      return run.rows
    case .sessions:
      return try SessionStatements.use(db, view: fold.viewID, fold.partition) { try $0.write(fold.box.fold) }
    }
  }

  /// - Parameter droppedEvents: The events of the rows that are deleted in this transaction.
  private static func writeProgress(
    _ db: SQLiteConnection, view: Int64, _ box: FoldBox, droppedEnd: Int64?, droppedEvents: Int, clock: Int64?
  ) throws {
    let progress = box.fold.progress
    try db.run(
      """
      INSERT INTO progress (view, partition, first_offset, next_offset, event_time_max, last_append_time, applied, filtered,
        late, where_errors, argument_errors, late_listed, dropped_end, dropped_events, amended, clock)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET first_offset = excluded.first_offset, next_offset = excluded.next_offset,
        event_time_max = excluded.event_time_max, last_append_time = excluded.last_append_time, applied = excluded.applied,
        filtered = excluded.filtered, late = excluded.late, where_errors = excluded.where_errors,
        argument_errors = excluded.argument_errors, late_listed = excluded.late_listed, dropped_end = excluded.dropped_end,
        dropped_events = dropped_events + excluded.dropped_events, amended = excluded.amended, clock = excluded.clock
      """,
      view, progress.partition.index, progress.firstOffset.rawValue, progress.nextOffset.rawValue, box.fold.clock.largest,
      progress.lastAppendTime?.nanoseconds, progress.applied, progress.filtered, progress.late, progress.whereErrors,
      progress.argumentErrors, progress.lateListed, droppedEnd, droppedEvents, progress.amended, clock)
  }

  /// By how much the file's rows count less than what was applied; always 0 but for files of earlier versions.
  /// - Returns: Nil in release builds, and where there is much to add up.
  private static func balance(of fold: GenerationFold, _ db: SQLiteConnection) throws -> Int? {
    #if DEBUG
      guard fold.box.fold.progress.applied <= 4096 else { return nil }
      let (view, partition) = (fold.viewID, fold.partition)
      let counted =
        switch fold.box.fold.definition.window.keeping {
        case .slots: try StoredRuns.statedEvents(db, .rows(view: view, partition))
        case .sessions: try StoredSessions.countEvents(db, view: view, partition)
        }
      return try db.first(
        "SELECT applied - dropped_events FROM progress WHERE view = ? AND partition = ?", view, partition.index
      ) { $0.int(0) - counted } ?? -counted
    #else
      return nil
    #endif
  }

  /// Deletes the rows that end at or before `end`; of windows, some are left to later checkpoints where they are many.
  /// - Returns: The events that they counted.
  private static func dropRows(of fold: GenerationFold, through end: Int64, _ db: SQLiteConnection) throws -> Int {
    let definition = fold.box.fold.definition
    switch definition.window.keeping {
    case .slots:
      let slot = definition.window.lastSlot(endingBy: end)
      // The first of times is a slot, too, and the answer where none ends by then.
      guard definition.window.end(ofSlot: slot) <= end else { return 0 }
      return try StoredRuns.trim(
        db, .rows(view: fold.viewID, fold.partition), through: slot, stride: definition.layout.stride)
    case .sessions: return try StoredSessions.drop(db, fold, through: end)
    }
  }
}

/// A fold as it was stored.
struct StoredFold: Sendable {
  let box: FoldBox
  /// The id in the file of its sources' clocks; nil where it has none.
  let sources: Int64?
}
