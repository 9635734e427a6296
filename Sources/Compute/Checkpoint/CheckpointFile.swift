import Events
import Foundation
import Logging
import SQLite

/// A worker's SQLite file, `state.sqlite`: opens it, refuses files that are not Penstock's, and reads and writes with
/// errors that name the worker. Other types know its content.
final class CheckpointFile: Sendable {
  static let name = "state.sqlite"

  let worker: Int
  let path: String
  let logger: Logger
  private let state: StateFile
  /// The file's inode when it was opened: another file may have its name by now, or none.
  private let inode: Int?

  /// Opens or creates the file. A file that is no SQLite database, damaged, another program's, or of an older format,
  /// is put aside and begun anew: the log has every event.
  init(directory: String, worker: Int, lateMax: Int, logger: Logger) throws(ComputeError) {
    self.worker = worker
    self.logger = logger
    let path = directory + "/" + CheckpointFile.name
    self.path = path
    var opened: StateFile?
    do {
      opened = try CheckpointFile.open(path, worker, lateMax, logger)
    } catch let error as ComputeError {
      throw error
    } catch let error as SQLiteError where error.isDamage {
      CheckpointFile.putAside(path, "damaged", "is damaged (\(error))", logger)
    } catch {
      throw CheckpointFile.failure(error, worker)
    }
    do {
      guard let file = try opened ?? CheckpointFile.open(path, worker, lateMax, logger) else {
        throw ComputeError(.checkpoint, worker: worker, "\(path) is there again after it was put aside")
      }
      state = file
      inode = CheckpointFile.inode(of: path)
    } catch {
      throw CheckpointFile.failure(error, worker)
    }
  }

  private static func inode(of path: String) -> Int? {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.systemFileNumber] as? Int
  }

  /// Checks that the file is still at its path: an open file takes writes even if its folder is gone, and the log deletes
  /// checkpointed events.
  func checkPlace() throws(ComputeError) {
    guard CheckpointFile.inode(of: path) != inode else { return }
    throw ComputeError(
      .checkpoint, worker: worker,
      "\(path) is gone or another file, though this process has it open: stop it, put the folder back, or let it compute the views anew"
    )
  }

  /// The log has every event, so an unreadable file is put aside and computed anew.
  private static func putAside(_ path: String, _ suffix: String, _ reason: String, _ logger: Logger) {
    let aside = path + "." + suffix
    logger.error("\(path) \(reason); it is kept as \(aside), and the views are computed anew from the log")
    for end in ["", "-wal", "-shm"] { rename(path + end, aside + end) }
  }

  /// Puts the closed file aside, and the copies kept of it.
  /// - Parameter log: The log that the state belongs to, where that is known.
  func putAside(of log: LogIdentity?) {
    let suffix = "of-\(log?.description ?? "another-log")"
    CheckpointFile.putAside(path, suffix, "is of another log than the one that is accepted", logger)
    let kept = (path as NSString).deletingLastPathComponent + "/kept"
    if FileManager.default.fileExists(atPath: kept) { rename(kept, "\(kept)-\(suffix)") }
  }

  /// - Returns: Nil when the file was put aside.
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
      // For a new file: a block of a run takes few pages.
      try db.execute("PRAGMA page_size = 16384")
      try db.execute("PRAGMA journal_mode = WAL")
      // A checkpoint that a power loss takes back could lie before the log's start.
      try db.execute("PRAGMA synchronous = FULL")
      guard try db.first("PRAGMA synchronous", body: { $0.int(0) }) == 2 else {
        throw SQLiteError(code: 0, message: "synchronous is not FULL")
      }
      try db.transaction {
        let isEarlier = try db.first("SELECT 1 FROM sqlite_master WHERE name = 'meta'", body: { $0.int(0) }) != nil
        if isEarlier, let version = try CheckpointSchema.version(db), CheckpointMigration.earlier.contains(version) {
          try CheckpointMigration.run(db, from: version, lateMax: lateMax)
          logger.notice("\(path) had format \(version), and has \(CheckpointSchema.formatVersion) now")
        } else {
          try CheckpointSchema.create(db)
        }
      }
    }
    return file
  }

  /// The file is examined by a connection that is closed again, so it stays unchanged.
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
    if CheckpointMigration.earlier.contains(version) {
      return try CheckpointMigration.partialIndexes(db).isEmpty
        ? nil : "is of a version that may have counted events of sessions twice"
    }
    return version == CheckpointSchema.formatVersion ? nil : "has format \(version), an older one"
  }

  static func failure(_ error: any Error, _ worker: Int) -> ComputeError {
    error as? ComputeError ?? ComputeError(.checkpoint, worker: worker, "SQLite: \(error)")
  }

  // MARK: reading and writing

  func typed<R>(_ body: () throws -> R) throws(ComputeError) -> R {
    do { return try body() } catch { throw CheckpointFile.failure(error, worker) }
  }

  /// Runs `body` with the connection that writes, when it is free, blocking the calling thread.
  func withWriter<R>(_ body: (SQLiteConnection) throws -> R) throws(ComputeError) -> R {
    try typed { try state.withWriter(body) }
  }

  func write<R>(_ body: (SQLiteConnection) throws -> R) throws(ComputeError) -> R { try typed { try state.write(body) } }

  /// Commits what `body` does, without a wait for the disk: for changes that may be taken back by a power loss, as long as none
  /// that were made before are. The next `write` brings them to the disk, too.
  func writeLazily<R>(_ body: (SQLiteConnection) throws -> R) throws(ComputeError) -> R {
    try withWriter { db in
      try db.execute("PRAGMA synchronous = NORMAL")
      defer { CheckpointFile.waitForDisk(db, logger) }
      return try db.transaction { try body(db) }
    }
  }

  private static func waitForDisk(_ db: SQLiteConnection, _ logger: Logger) {
    do { try db.execute("PRAGMA synchronous = FULL") } catch { logger.critical("synchronous = FULL: \(error)") }
  }

  /// Runs `body` as of one moment, on a reader's thread.
  func read<R: Sendable>(
    _ body: @escaping @Sendable (SQLiteConnection, ReadStop) throws -> R
  ) async throws(ComputeError) -> R {
    do { return try await state.read(body) } catch { throw CheckpointFile.failure(error, worker) }
  }

  /// A reader, to see the file at a moment that is still to come.
  func pin() -> StatePin { state.pin() }

  func pinInTurn() async -> StatePin { await state.pinInTurn() }

  func close() { state.close() }
}
