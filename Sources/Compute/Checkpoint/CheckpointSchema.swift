import Events
import SQLite
import Views

/// The tables of a worker's `state.sqlite`.
///
/// ```
/// meta      format version; the identity of the log, as three numbers
/// view      id, name, generation, hash of its definition
/// progress  view, partition, offsets, largest event time, counts, the rows that retention has deleted, clock
/// clock     id, partition, offsets, and what decides which events move it: a reading position, shared by views
/// run       sorted rows of windows, or a clock's sources: what one checkpoint adds, or several, merged (StoredRuns.swift)
/// block     the blocks of runs (RunBlock.swift)
/// session   a session each: view, partition, window_start, key (KeyCodec), window_end, events, state (StateCodec)
/// late      view, partition, the last late events in blocks: LateBlock.swift; which of them are past retention
///
/// in the first worker's file only, and there for all:
/// generations  the table of generations, as text: a copy of what `penstock.views` in the log's folder says
/// ```
///
/// No index is partial. SQLite may prepare a statement anew with the values bound at that moment, choose an index that
/// holds these values' rows only, and stay with it when others are bound: it then finds none of their rows.
enum CheckpointSchema {
  static let formatVersion = 6
  /// The tables with rows of a view by partition, besides runs.
  static let tables = columnsAfterView.map(\.table)
  /// Made when a view of sessions first outgrows its memory: the sessions of a key are then looked for in the file.
  static let sessionIndex = "session_by_key"

  /// The columns of each table that belong to a view, without ids, which differ from file to file: the view's, and its clock's.
  static let columnsAfterView: [(table: String, columns: String)] = [
    ("session", "partition, window_start, key, window_end, events, state"),
    ("late", "partition, first_offset, events, block, expired"),
    (
      "progress",
      "partition, first_offset, next_offset, event_time_max, last_append_time, applied, filtered, late, where_errors, "
        + "argument_errors, late_listed, dropped_end, dropped_events, amended"
    ),
  ]

  static func create(_ db: SQLiteConnection) throws {
    try db.execute(
      """
      CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS view (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, generation INTEGER NOT NULL, UNIQUE (name, generation));
      CREATE TABLE IF NOT EXISTS progress (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        event_time_max INTEGER, last_append_time INTEGER, applied INTEGER NOT NULL, filtered INTEGER NOT NULL,
        late INTEGER NOT NULL, where_errors INTEGER NOT NULL, argument_errors INTEGER NOT NULL, late_listed INTEGER NOT NULL,
        dropped_end INTEGER, dropped_events INTEGER NOT NULL, amended INTEGER NOT NULL DEFAULT 0, clock INTEGER,
        PRIMARY KEY (view, partition)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS session (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, window_start INTEGER NOT NULL, key BLOB NOT NULL,
        window_end INTEGER NOT NULL, events INTEGER NOT NULL, state BLOB NOT NULL,
        PRIMARY KEY (view, partition, window_start, key, window_end)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS late (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, events INTEGER NOT NULL,
        block BLOB NOT NULL, expired BLOB, PRIMARY KEY (view, partition, first_offset)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS clock (
        id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        last_append_time INTEGER, ahead_max INTEGER NOT NULL, time_from INTEGER, time_to INTEGER);
      \(StoredRuns.schema)
      """)
    try db.run("INSERT OR IGNORE INTO meta VALUES ('format', ?)", formatVersion)
  }

  /// The log that the state belongs to; nil where no version has written one yet.
  /// - Parameter schema: The name of an attached file.
  static func log(_ db: SQLiteConnection, in schema: String = "main") throws -> LogIdentity? {
    func value(_ name: String) throws -> Int64? {
      try db.first("SELECT value FROM \(schema).meta WHERE name = ?", name) { $0.int64(0) }
    }
    guard let high = try value("log_high"), let low = try value("log_low"), let number = try value("log_epoch"),
      high | low != 0, let epoch = UInt32(exactly: number), epoch > 0
    else { return nil }
    return LogIdentity(high: UInt64(bitPattern: high), low: UInt64(bitPattern: low), epoch: epoch)
  }

  static func setLog(_ log: LogIdentity, _ db: SQLiteConnection) throws {
    for (name, value) in [
      ("log_high", Int64(bitPattern: log.high)), ("log_low", Int64(bitPattern: log.low)), ("log_epoch", Int64(log.epoch)),
    ] { try db.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value) }
  }

  static func version(_ db: SQLiteConnection) throws -> Int? {
    try db.first("SELECT value FROM meta WHERE name = 'format'") { $0.int(0) }
  }
}
