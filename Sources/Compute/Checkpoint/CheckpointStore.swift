import Events
import Foundation
import GRDB
import Logging
import Views

/// A worker's SQLite file: changed rows and next offsets, written together in one transaction.
///
/// One writer, the worker; readers see rows that can change no more, so they need no more isolation than SQLite's own.
final class CheckpointStore: Sendable {
  static let fileName = "state.sqlite"

  let pool: DatabasePool
  let worker: Int
  let path: String
  let logger: Logger

  /// Opens or makes the file. One that is no SQLite database, damaged, or of an older format, is put aside and begun anew: the log has every event.
  init(directory: String, worker: Int, logger: Logger) throws(ComputeError) {
    self.worker = worker
    self.logger = logger
    let path = directory + "/" + CheckpointStore.fileName
    self.path = path
    var opened: DatabasePool?
    do {
      let candidate = try CheckpointStore.open(path)
      let version = try candidate.read { try CheckpointSchema.version($0) } ?? 0
      guard version <= CheckpointSchema.formatVersion else {
        throw ComputeError(
          .incompatible, worker: worker,
          "\(path) has format \(version), this program reads \(CheckpointSchema.formatVersion); move it away to compute the views anew"
        )
      }
      if version == CheckpointSchema.formatVersion {
        opened = candidate
      } else {
        try candidate.close()
        CheckpointStore.putAside(path, "old", "has format \(version), an older one", logger)
      }
    } catch let error as ComputeError {
      throw error
    } catch let error as DatabaseError where [.SQLITE_NOTADB, .SQLITE_CORRUPT].contains(error.resultCode) {
      CheckpointStore.putAside(path, "damaged", "is damaged (\(error))", logger)
    } catch {
      throw CheckpointStore.failure(error, worker)
    }
    do { pool = try opened ?? CheckpointStore.open(path) } catch { throw CheckpointStore.failure(error, worker) }
  }

  /// The log has every event: what can't be read is kept and computed anew.
  private static func putAside(_ path: String, _ suffix: String, _ reason: String, _ logger: Logger) {
    let aside = path + "." + suffix
    logger.error("\(path) \(reason); it is kept as \(aside), and the views are computed anew from the log")
    for end in ["", "-wal", "-shm"] { rename(path + end, aside + end) }
  }

  private static func open(_ path: String) throws -> DatabasePool {
    var configuration = Configuration()
    configuration.busyMode = .timeout(5)
    configuration.maximumReaderCount = 4
    let pool = try DatabasePool(path: path, configuration: configuration)
    try pool.writeWithoutTransaction { db in
      // An older or newer file stays as it is.
      if try db.tableExists("meta"), try CheckpointSchema.version(db) != CheckpointSchema.formatVersion { return }
      // The pool sets NORMAL after opening; a checkpoint that a power loss takes back could lie before the log's start.
      try db.execute(sql: "PRAGMA synchronous = FULL")
      guard try Int.fetchOne(db, sql: "PRAGMA synchronous") == 2 else {
        throw DatabaseError(resultCode: .SQLITE_MISUSE, message: "synchronous is not FULL")
      }
      try CheckpointSchema.create(db)
    }
    return pool
  }

  static func failure(_ error: any Error, _ worker: Int) -> ComputeError {
    ComputeError(.checkpoint, worker: worker, "SQLite: \(error)")
  }

  /// Runs `body` with errors as `ComputeError`.
  func typed<R>(_ body: () throws -> R) throws(ComputeError) -> R {
    do { return try body() } catch let error as ComputeError { throw error } catch {
      throw CheckpointStore.failure(error, worker)
    }
  }

  // MARK: loading

  /// A view's fold of one partition as it was at the last checkpoint; nil when there is none.
  func load(_ definition: ViewDefinition, view: Int64, partition: PartitionID) throws(ComputeError) -> FoldBox? {
    try typed {
      try pool.read { db -> FoldBox? in
        guard
          let row = try Row.fetchOne(
            db, sql: "SELECT * FROM progress WHERE view = ? AND partition = ?", arguments: [view, partition.index])
        else { return nil }
        var progress = PartitionProgress(
          partition: partition, firstOffset: Offset(row["first_offset"]), nextOffset: Offset(row["next_offset"]))
        progress.lastAppendTime = (row["last_append_time"] as Int64?).map { Timestamp(nanoseconds: $0) }
        progress.applied = row["applied"]
        progress.filtered = row["filtered"]
        progress.late = row["late"]
        progress.whereErrors = row["where_errors"]
        progress.argumentErrors = row["argument_errors"]
        let box = FoldBox(ViewFold(restoring: definition, progress: progress, eventTimeMax: row["event_time_max"]))
        // The rows that can still change: by their slots, and of sessions by their ends.
        let isSession = box.fold.isSession
        let rows = try Row.fetchCursor(
          db,
          sql: "SELECT window_start, key, state, window_end FROM state WHERE view = ? AND partition = ? AND "
            + (isSession ? "window_end > ?" : "window_start > ?"),
          arguments: [view, partition.index, isSession ? box.fold.evictedEnd : box.fold.evictedThrough])
        var state: [UInt64] = []
        while let row = try rows.next() {
          state.removeAll(keepingCapacity: true)
          let isDecoded = try row.withUnsafeData(atIndex: 2) { bytes in
            (bytes ?? Data()).withUnsafeBytes { StateCodec.decode($0, definition.layout, appendingTo: &state) }
          }
          guard isDecoded else {
            throw ComputeError(
              .incompatible, worker: self.worker, partition: partition,
              "a stored row of view \(definition.name) has another layout")
          }
          let slot: Int64 = row[0]
          let end: Int64 = row[3]
          try row.withUnsafeData(atIndex: 1) { key in
            (key ?? Data()).withUnsafeBytes { key in
              state.withUnsafeBufferPointer { box.fold.restore(slot: slot, end: end, key: key, state: $0) }
            }
          }
        }
        return box
      }
    }
  }

  // MARK: checkpoint

  /// Writes what changed in the folds and how far they are, in one transaction; then tells the folds so.
  /// - Returns: Rows written.
  func checkpoint(_ folds: [(view: Int64, box: FoldBox)]) throws(ComputeError) -> Int {
    let written = try typed {
      try pool.write { db -> Int in
        guard let connection = db.sqliteConnection else { throw DatabaseError(resultCode: .SQLITE_MISUSE) }
        let statements = try StateStatements(connection)
        var written = 0
        for (view, box) in folds {
          written += try box.fold.writeChanged(view: view, to: statements)
          for late in box.fold.late {
            try db.execute(
              sql: "INSERT OR IGNORE INTO late VALUES (?, ?, ?, ?, ?)",
              arguments: [
                view, box.fold.progress.partition.index, late.offset.rawValue, late.eventTime, late.windowStart,
              ])
          }
          try CheckpointStore.writeProgress(db, view: view, box)
        }
        return written
      }
    }
    for (_, box) in folds { box.checkpointed() }
    return written
  }

  private static func writeProgress(_ db: Database, view: Int64, _ box: FoldBox) throws {
    let progress = box.fold.progress
    try db.execute(
      sql: "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      arguments: [
        view, progress.partition.index, progress.firstOffset.rawValue, progress.nextOffset.rawValue,
        box.fold.eventTimeMax, progress.lastAppendTime?.nanoseconds, progress.applied, progress.filtered,
        progress.late, progress.whereErrors, progress.argumentErrors,
      ])
    if let expired = box.fold.expiredThrough, let expiredEnd = box.fold.expiredEnd {
      // Of sessions the end decides; of others it says the same as the slot.
      try db.execute(
        sql: "DELETE FROM state WHERE view = ? AND partition = ? AND window_start <= ? AND window_end <= ?",
        arguments: [view, progress.partition.index, expired, expiredEnd])
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
      return try await pool.read { db in
        var rows = rows
        for range in ranges {
          let cursor = try Row.fetchCursor(
            db,
            sql:
              "SELECT window_start, window_end, key, state FROM state WHERE view = ? AND partition = ? AND window_start BETWEEN ? AND ?"
              + " AND window_end > ? AND window_end <= ?"
              + (range.key == nil ? "" : " AND key = ?"),
            arguments: [range.view, range.partition.index, range.from, range.through, range.endAfter, range.endThrough]
              + (range.key.map { [Data($0)] } ?? []))
          while let row = try cursor.next() {
            let start: Int64 = row[0]
            let end: Int64 = row[1]
            let isDecoded = try row.withUnsafeData(atIndex: 2) { key in
              try row.withUnsafeData(atIndex: 3) { state in
                (key ?? Data()).withUnsafeBytes { key in
                  (state ?? Data()).withUnsafeBytes { state in
                    rows.append(
                      partition: range.partition, windowStart: start, windowEnd: end, key: key, stored: state,
                      layout: definition.layout)
                  }
                }
              }
            }
            guard isDecoded else { throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "a row of another layout") }
          }
        }
        return rows
      }
    } catch {
      throw CheckpointStore.failure(error, worker)
    }
  }

  func close() throws(ComputeError) { try typed { try pool.close() } }
}
