import Events
import Foundation
import Logging
import SQLite
import Views

/// A worker's SQLite file: changed rows and next offsets, written together in one transaction.
///
/// One writer, the worker; readers see rows that can change no more, so they need no more isolation than SQLite's own.
final class CheckpointStore: Sendable {
  static let fileName = "state.sqlite"

  let file: StateFile
  let worker: Int
  let path: String
  let logger: Logger

  /// Opens or makes the file. One that is no SQLite database, damaged, another program's, or of an older format, is put aside and begun anew: the
  /// log has every event.
  init(directory: String, worker: Int, logger: Logger) throws(ComputeError) {
    self.worker = worker
    self.logger = logger
    let path = directory + "/" + CheckpointStore.fileName
    self.path = path
    var opened: StateFile?
    do {
      opened = try CheckpointStore.open(path, worker, logger)
    } catch let error as ComputeError {
      throw error
    } catch let error as SQLiteError where error.isDamage {
      CheckpointStore.putAside(path, "damaged", "is damaged (\(error))", logger)
    } catch {
      throw CheckpointStore.failure(error, worker)
    }
    do {
      guard let file = try opened ?? CheckpointStore.open(path, worker, logger) else {
        throw ComputeError(.checkpoint, worker: worker, "\(path) is there again after it was put aside")
      }
      self.file = file
    } catch {
      throw CheckpointStore.failure(error, worker)
    }
  }

  /// The log has every event: what can't be read is kept and computed anew.
  private static func putAside(_ path: String, _ suffix: String, _ reason: String, _ logger: Logger) {
    let aside = path + "." + suffix
    logger.error("\(path) \(reason); it is kept as \(aside), and the views are computed anew from the log")
    for end in ["", "-wal", "-shm"] { rename(path + end, aside + end) }
  }

  /// - Returns: Nil when what was there has been put aside.
  private static func open(_ path: String, _ worker: Int, _ logger: Logger) throws -> StateFile? {
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
      try db.transaction { try CheckpointSchema.create(db) }
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
  func load(_ definition: ViewDefinition, view: Int64, partition: PartitionID) throws(ComputeError) -> FoldBox? {
    try typed {
      try file.withWriter { db in
        try db.transaction(.deferred) {
          guard let box = try loadProgress(db, definition, view, partition) else { return nil }
          try loadRows(db, definition, view, partition, into: box)
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
      SELECT first_offset, next_offset, last_append_time, applied, filtered, late, where_errors, argument_errors, event_time_max
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
      return FoldBox(ViewFold(restoring: definition, progress: progress, eventTimeMax: row.optionalInt64(8)))
    }
  }

  /// The rows that can still change: by their slots, and of sessions by their ends.
  private func loadRows(
    _ db: SQLiteConnection, _ definition: ViewDefinition, _ view: Int64, _ partition: PartitionID, into box: FoldBox
  ) throws {
    let isSession = box.fold.isSession
    let sql =
      "SELECT window_start, window_end, key, state FROM state WHERE view = ? AND partition = ? AND "
      + (isSession ? "window_end > ?" : "window_start > ?")
    try db.withStatement(sql) { row in
      try row.bind([view, partition.index, isSession ? box.fold.evictedEnd : box.fold.evictedThrough])
      var state: [UInt64] = []
      while try row.step() {
        state.removeAll(keepingCapacity: true)
        guard StateCodec.decode(row.bytes(3), definition.layout, appendingTo: &state) else {
          throw ComputeError(
            .incompatible, worker: worker, partition: partition, "a stored row of view \(definition.name) has another layout")
        }
        state.withUnsafeBufferPointer {
          box.fold.restore(slot: row.int64(0), end: row.int64(1), key: row.bytes(2), state: $0)
        }
      }
    }
  }

  // MARK: checkpoint

  /// Writes what changed in the folds and how far they are, in one transaction; then tells the folds so.
  /// - Returns: Rows written.
  func checkpoint(_ folds: [(view: Int64, box: FoldBox)]) throws(ComputeError) -> Int {
    let written = try typed {
      try file.write { db in
        try StateStatements.use(db) { statements in
          var written = 0
          for (view, box) in folds {
            written += try box.fold.writeChanged(view: view, to: statements)
            for late in box.fold.late {
              try db.run(
                "INSERT OR IGNORE INTO late VALUES (?, ?, ?, ?, ?)", view, box.fold.progress.partition.index,
                late.offset.rawValue, late.eventTime, late.windowStart)
            }
            try CheckpointStore.writeProgress(db, view: view, box)
          }
          return written
        }
      }
    }
    for (_, box) in folds { box.checkpointed() }
    return written
  }

  private static func writeProgress(_ db: SQLiteConnection, view: Int64, _ box: FoldBox) throws {
    let progress = box.fold.progress
    try db.run(
      "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      view, progress.partition.index, progress.firstOffset.rawValue, progress.nextOffset.rawValue,
      box.fold.eventTimeMax, progress.lastAppendTime?.nanoseconds, progress.applied, progress.filtered,
      progress.late, progress.whereErrors, progress.argumentErrors)
    if let expired = box.fold.expiredThrough, let expiredEnd = box.fold.expiredEnd {
      // Of sessions the end decides; of others it says the same as the slot.
      try db.run(
        "DELETE FROM state WHERE view = ? AND partition = ? AND window_start <= ? AND window_end <= ?",
        view, progress.partition.index, expired, expiredEnd)
    }
  }

  // MARK: reading

  /// What a read takes from the file: rows that can change no more.
  struct StoredRange: Sendable {
    var view: Int64
    var partition: PartitionID
    /// Inclusive, on the slot.
    var from: Int64
    /// Inclusive: the last that is in the file only.
    var through: Int64
    /// Those with an end in here: of sessions, which are in the file only by their ends.
    var endAfter = Int64.min
    var endThrough = Int64.max
    /// Of this key only.
    var key: [UInt8]?
  }

  func read(_ ranges: [StoredRange], _ definition: ViewDefinition, into rows: PartialRows) async throws(ComputeError)
    -> PartialRows
  {
    do {
      return try await file.read { db in
        var rows = rows
        for range in ranges { try CheckpointStore.read(range, definition, db, into: &rows) }
        return rows
      }
    } catch {
      throw CheckpointStore.failure(error, worker)
    }
  }

  private static func read(
    _ range: StoredRange, _ definition: ViewDefinition, _ db: SQLiteConnection, into rows: inout PartialRows
  ) throws {
    let sql =
      "SELECT window_start, window_end, key, state FROM state WHERE view = ? AND partition = ? AND window_start BETWEEN ? AND ?"
      + " AND window_end > ? AND window_end <= ?" + (range.key == nil ? "" : " AND key = ?")
    try db.withStatement(sql) { row in
      try row.bind([range.view, range.partition.index, range.from, range.through, range.endAfter, range.endThrough])
      if let key = range.key { try row.bind(key, at: 7) }
      while try row.step() {
        let isDecoded = rows.append(
          partition: range.partition, windowStart: row.int64(0), windowEnd: row.int64(1), key: row.bytes(2),
          stored: row.bytes(3), layout: definition.layout)
        guard isDecoded else { throw SQLiteError.corrupt("a row of another layout") }
        try Task.checkCancellation()
      }
    }
  }

  func close() async { await file.close() }
}
