import Aggregates
import Events
import Expressions
import Foundation
import Logging
import SQLite
import Synchronization
import Views

/// A worker's SQLite file: changed rows and next offsets, written together in one transaction.
///
/// One writer, the worker. Most reads take rows from it that can change no more; one that takes others, of which memory has let go, sees the file as it was
/// when the worker said what is in memory (`StatePin`).
final class CheckpointStore: Sendable {
  static let fileName = "state.sqlite"

  let file: StateFile
  let worker: Int
  let path: String
  let logger: Logger
  let settled = SettledRows()
  /// The file's own: its name may be another's by now, or nobody's.
  private let inode: Int?
  /// Late events of a view and partition that are listed.
  let lateMax: Int
  let tallying = RowTallying()
  /// Whether sessions have an index by key.
  let isIndexed = Atomic<Bool>(false)

  /// Opens or makes the file. One that is no SQLite database, damaged, another program's, or of an older format, is put aside and begun anew: the
  /// log has every event.
  init(directory: String, worker: Int, lateMax: Int = 0, logger: Logger) throws(ComputeError) {
    self.worker = worker
    self.lateMax = lateMax
    self.logger = logger
    let path = directory + "/" + CheckpointStore.fileName
    self.path = path
    var opened: StateFile?
    do {
      opened = try CheckpointStore.open(path, worker, lateMax, logger)
    } catch let error as ComputeError {
      throw error
    } catch let error as SQLiteError where error.isDamage {
      CheckpointStore.putAside(path, "damaged", "is damaged (\(error))", logger)
    } catch {
      throw CheckpointStore.failure(error, worker)
    }
    do {
      guard let file = try opened ?? CheckpointStore.open(path, worker, lateMax, logger) else {
        throw ComputeError(.checkpoint, worker: worker, "\(path) is there again after it was put aside")
      }
      self.file = file
      inode = CheckpointStore.inode(of: path)
    } catch {
      throw CheckpointStore.failure(error, worker)
    }
  }

  private static func inode(of path: String) -> Int? {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.systemFileNumber] as? Int
  }

  /// An open file takes writes when its folder is gone, and the log lets go of what is checkpointed: nothing is then.
  func checkPlace() throws(ComputeError) {
    guard CheckpointStore.inode(of: path) != inode else { return }
    throw ComputeError(
      .checkpoint, worker: worker,
      "\(path) is gone or another file, though this process has it open: stop it, put the folder back, or let it compute the views anew"
    )
  }

  /// The log has every event: what can't be read is kept and computed anew.
  static func putAside(_ path: String, _ suffix: String, _ reason: String, _ logger: Logger) {
    let aside = path + "." + suffix
    logger.error("\(path) \(reason); it is kept as \(aside), and the views are computed anew from the log")
    for end in ["", "-wal", "-shm"] { rename(path + end, aside + end) }
  }

  /// - Returns: Nil when what was there has been put aside.
  private static func open(_ path: String, _ worker: Int, _ lateMax: Int, _ logger: Logger) throws -> StateFile? {
    if FileManager.default.fileExists(atPath: path) {
      if let damage = StateFile.damage(at: path) { throw SQLiteError.corrupt(damage) }
      if let reason = try reasonToPutAside(path, worker) {
        putAside(path, "old", reason, logger)
        return nil
      }
    }
    let file = try StateFile(path: path)
    try file.withWriter { db in
      try db.execute("PRAGMA journal_mode = WAL")
      // A checkpoint that a power loss takes back could lie before the log's start.
      try db.execute("PRAGMA synchronous = FULL")
      guard try db.first("PRAGMA synchronous", body: { $0.int(0) }) == 2 else {
        throw SQLiteError(code: 0, message: "synchronous is not FULL")
      }
      try db.transaction {
        let isEarlier = try db.first("SELECT 1 FROM sqlite_master WHERE name = 'meta'", body: { $0.int(0) }) != nil
        if isEarlier, try CheckpointSchema.version(db) == CheckpointMigration.earlier {
          try CheckpointMigration.run(db, lateMax: lateMax)
          logger.notice("\(path) had format \(CheckpointMigration.earlier), and has \(CheckpointSchema.formatVersion) now")
        } else {
          try CheckpointSchema.create(db)
        }
      }
    }
    return file
  }

  /// What is there stays as it is: it is looked at by a connection that is closed again.
  private static func reasonToPutAside(_ path: String, _ worker: Int) throws -> String? {
    let db = try SQLiteConnection(path: path)
    let tables = try db.rows("SELECT name FROM sqlite_master WHERE type = 'table'") { $0.text(0) }
    guard !tables.isEmpty else { return nil }
    guard tables.contains("meta"), let version = try CheckpointSchema.version(db) else {
      return "is a database of something else"
    }
    guard version <= CheckpointSchema.formatVersion else {
      throw ComputeError(
        .incompatible, worker: worker,
        "\(path) has format \(version), this program reads \(CheckpointSchema.formatVersion); move it away to compute the views anew"
      )
    }
    if version == CheckpointMigration.earlier {
      return try CheckpointMigration.partialIndexes(db).isEmpty
        ? nil : "is of a version that may have counted events of sessions twice"
    }
    return version == CheckpointSchema.formatVersion ? nil : "has format \(version), an older one"
  }

  static func failure(_ error: any Error, _ worker: Int) -> ComputeError {
    error as? ComputeError ?? ComputeError(.checkpoint, worker: worker, "SQLite: \(error)")
  }

  /// Runs `body` with errors as `ComputeError`.
  func typed<R>(_ body: () throws -> R) throws(ComputeError) -> R {
    do { return try body() } catch { throw CheckpointStore.failure(error, worker) }
  }

  // MARK: loading

  /// A view's fold of one partition as it was at the last checkpoint; nil when there is none.
  /// - Parameter bytesMax: Of rows in memory; what is beyond it stays in the file.
  func load(
    _ definition: ViewDefinition, view: Int64, partition: PartitionID, bytesMax: Int = .max
  ) throws(ComputeError) -> FoldBox? {
    try typed {
      try file.withWriter { db in
        try db.transaction(.deferred) {
          guard let box = try loadProgress(db, definition, view, partition) else { return nil }
          try loadRows(db, definition, view, partition, bytesMax: bytesMax, into: box)
          return box
        }
      }
    }
  }

  private func loadProgress(
    _ db: SQLiteConnection, _ definition: ViewDefinition, _ view: Int64, _ partition: PartitionID
  ) throws -> FoldBox? {
    try db.first(
      """
      SELECT first_offset, next_offset, last_append_time, applied, filtered, late, where_errors, argument_errors, event_time_max,
        late_listed, dropped_end, dropped_events
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
      return FoldBox(
        ViewFold(
          definition: definition, progress: progress, eventTimeMax: row.optionalInt64(8), lateMax: lateMax,
          dropped: DroppedRows(end: row.optionalInt64(10), events: row.int(11))))
    }
  }

  /// The rows that can still change: by their slots, the last ones first, and of sessions by their ends.
  private func loadRows(
    _ db: SQLiteConnection, _ definition: ViewDefinition, _ view: Int64, _ partition: PartitionID, bytesMax: Int,
    into box: FoldBox
  ) throws {
    let (condition, bound) =
      switch box.fold.rows.open {
      case .slots(let first): ("window_start >= ? ORDER BY window_start DESC", first)
      case .ends(let end): ("window_end > ?", end)
      }
    let sql =
      "SELECT window_start, window_end, key, state, events FROM \(definition.window.table) WHERE view = ? AND partition = ? AND "
      + condition
    try db.withStatement(sql) { row in
      try row.bind([view, partition.index, bound])
      var state: [UInt64] = []
      while try row.step() {
        guard box.fold.memoryBytes <= bytesMax else { return box.fold.rows.leaveRest(from: row.int64(0)) }
        state.removeAll(keepingCapacity: true)
        guard StateCodec.decode(row.bytes(3), definition.layout, appendingTo: &state) else {
          throw anotherLayout(definition, partition)
        }
        state.withUnsafeBufferPointer {
          box.fold.rows.restore(
            RowAddress(slot: row.int64(0), end: row.int64(1)), key: row.bytes(2), $0, events: row.int64(4))
        }
      }
    }
  }

  private func anotherLayout(_ definition: ViewDefinition, _ partition: PartitionID) -> ComputeError {
    ComputeError(
      .incompatible, worker: worker, partition: partition, "a stored row of view \(definition.name) has another layout")
  }

  /// Puts back the sessions of which memory has let go and to whose keys a batch has events: all at once, before it is folded.
  func restoreSessions(
    _ fold: GenerationFold, for batch: ColumnBatch, scratch: inout EvaluationScratch
  ) throws(ComputeError) {
    guard case .ends(let closed) = fold.box.fold.rows.open else { return }
    let keys = fold.box.fold.missingKeys(in: batch, scratch: &scratch)
    guard !keys.isEmpty else { return }
    try typed {
      // By key there is no other way to them. Only where a view of sessions has outgrown memory do they pay for it.
      let index = CheckpointSchema.sessionIndex
      if !isIndexed.load(ordering: .relaxed) {
        try file.write {
          try $0.execute("CREATE INDEX IF NOT EXISTS \(index) ON session (view, partition, key, window_end)")
        }
        isIndexed.store(true, ordering: .relaxed)
      }
      let definition = fold.box.fold.definition
      let sql =
        "SELECT window_start, window_end, state, events FROM session INDEXED BY \(index) WHERE view = ? AND partition = ?"
        + " AND key = ? AND window_end > ?"
      try file.withWriter { db in
        try db.withStatement(sql) { row in
          var state: [UInt64] = []
          for key in keys {
            try row.bind([fold.viewID, fold.partition.index, key, closed])
            while try row.step() {
              state.removeAll(keepingCapacity: true)
              guard StateCodec.decode(row.bytes(2), definition.layout, appendingTo: &state) else {
                throw anotherLayout(definition, fold.partition)
              }
              key.withUnsafeBytes { key in
                state.withUnsafeBufferPointer {
                  fold.box.fold.rows.restore(
                    RowAddress(slot: row.int64(0), end: row.int64(1)), key: key, $0, events: row.int64(3))
                }
              }
            }
            row.rewind()
          }
        }
      }
    }
  }

  // MARK: reading

  /// What a read takes from the file.
  struct StoredRange: Sendable {
    var view: Int64
    var partition: PartitionID
    /// Inclusive, on the slot.
    var from: Int64
    /// Inclusive: the last that is in the file only, or may be.
    var through: Int64
    /// Those with an end in here: of sessions, which are in the file only by their ends.
    var endAfter = Int64.min
    var endThrough = Int64.max
    /// Of this key only.
    var key: [UInt8]?
    /// The rows in memory of these slots; nil when there are none.
    var overlay: RowOverlay?
    /// Of sessions, those in memory among them; nil when there are none.
    var inMemory: KeysInMemory?
    /// The file as it was when the rest was taken from memory; nil when any moment will do.
    var pin: StatePin?
  }

  /// - Returns: The rows with those of the file added; and up to where parts of rows were gone from it by the time it was read, which may be later than when
  ///   the ranges were taken.
  func read(
    _ ranges: [StoredRange], _ definition: ViewDefinition, into rows: PartialRows
  ) async throws(ComputeError) -> (rows: PartialRows, droppedEnd: Int64?) {
    var rows = rows
    var droppedEnd: Int64?
    do {
      var unknown: [StoredRange] = []
      for range in ranges where range.pin == nil {
        if let known = settled.rows(of: range) { rows.append(contentsOf: known) } else { unknown.append(range) }
      }
      if !unknown.isEmpty {
        let epoch = settled.epoch
        let (read, end) = try await file.read { [unknown] db, stop in
          let read = try unknown.map { range in
            var rows = PartialRows(stride: definition.layout.stride)
            try CheckpointStore.read(range, definition, db, stop, into: &rows)
            return rows
          }
          return (read, try CheckpointStore.droppedEnd(of: unknown, definition, db))
        }
        droppedEnd = end
        for (range, read) in zip(unknown, read) {
          settled.keep(read, of: range, as: epoch)
          rows.append(contentsOf: read)
        }
      }
      for range in ranges {
        guard let pin = range.pin else { continue }
        rows.append(
          contentsOf: try await pin.read { db, stop in
            var rows = PartialRows(stride: definition.layout.stride)
            try CheckpointStore.read(range, definition, db, stop, into: &rows)
            return rows
          })
      }
    } catch {
      throw CheckpointStore.failure(error, worker)
    }
    return (rows, droppedEnd)
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

  private static func read(
    _ range: StoredRange, _ definition: ViewDefinition, _ db: SQLiteConnection, _ stop: ReadStop, into rows: inout PartialRows
  ) throws {
    if let key = range.key, definition.window.keeping == .slots {
      try seek(key, range, definition, db, stop, into: &rows)
    } else {
      let sql =
        "SELECT window_start, window_end, key, state FROM \(definition.window.table) WHERE view = ? AND partition = ?"
        + " AND window_start BETWEEN ? AND ?"
        + " AND window_end > ? AND window_end <= ?" + (range.key == nil ? "" : " AND key = ?")
      try db.withStatement(sql) { row in
        try row.bind([range.view, range.partition.index, range.from, range.through, range.endAfter, range.endThrough])
        if let key = range.key { try row.bind(key, at: 7) }
        while try row.step() {
          try stop.check()
          try take(row, range, definition, into: &rows)
        }
      }
    }
    range.overlay?.append(to: &rows, range.partition, definition.window)
  }

  /// One key's rows, from window to window: the file is in the order of windows and then keys, and a window may have millions of them.
  private static func seek(
    _ key: [UInt8], _ range: StoredRange, _ definition: ViewDefinition, _ db: SQLiteConnection, _ stop: ReadStop,
    into rows: inout PartialRows
  ) throws {
    let sql =
      "SELECT window_start, window_end, key, state FROM state WHERE view = ? AND partition = ? AND (window_start, key) >= (?, ?)"
      + " ORDER BY window_start, key LIMIT 1"
    var from = range.from
    while from <= range.through {
      try stop.check()
      var next: Int64?
      try db.withStatement(sql) { row in
        try row.bind([range.view, range.partition.index, from])
        try row.bind(key, at: 4)
        guard try row.step(), case let slot = row.int64(0), slot <= range.through else { return }
        let isKey = row.bytes(2).elementsEqual(key)
        if isKey { try take(row, range, definition, into: &rows) }
        // Another key of a later window: that one may have this key, too.
        next = isKey || slot == from ? (slot == .max ? nil : slot + 1) : slot
      }
      guard let next else { return }
      from = next
    }
  }

  private static func take(
    _ row: SQLiteStatement, _ range: StoredRange, _ definition: ViewDefinition, into rows: inout PartialRows
  ) throws {
    let (slot, end, key) = (row.int64(0), row.int64(1), row.bytes(2))
    if let inMemory = range.inMemory, end > inMemory.endAfter, inMemory.keys.find(key) != nil { return }
    if let overlay = range.overlay {
      guard let isInMemory = overlay.absorb(slot: slot, key: key, stored: row.bytes(3)) else {
        throw SQLiteError.corrupt("a row of another layout")
      }
      if isInMemory { return }
    }
    let isDecoded = rows.append(
      partition: range.partition, windowStart: slot, windowEnd: end, key: key, stored: row.bytes(3), layout: definition.layout)
    guard isDecoded else { throw SQLiteError.corrupt("a row of another layout") }
  }

  func close() { file.close() }
}
