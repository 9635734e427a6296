import SQLite

/// The tables of a worker's `state.sqlite`.
///
/// ```
/// meta      format version
/// view      id, name, generation, hash of its definition
/// progress  view, partition, offsets, largest event time, counts
/// state     view, partition, window_start (of a hop its slot: WindowRows.swift), key (KeyCodec), window_end, state (StateCodec) of each row
/// late      view, partition, offset, event_time, window_start of each late event
///
/// in the first worker's file only, and there for all:
/// generations  the table of generations, as text: a copy of what `penstock.views` in the log's folder says
/// ```
enum CheckpointSchema {
  static let formatVersion = 2

  static func create(_ db: SQLiteConnection) throws {
    try db.execute(
      """
      CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS view (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, generation INTEGER NOT NULL, UNIQUE (name, generation));
      CREATE TABLE IF NOT EXISTS progress (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        event_time_max INTEGER, last_append_time INTEGER, applied INTEGER NOT NULL, filtered INTEGER NOT NULL,
        late INTEGER NOT NULL, where_errors INTEGER NOT NULL, argument_errors INTEGER NOT NULL,
        PRIMARY KEY (view, partition)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS state (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, window_start INTEGER NOT NULL, key BLOB NOT NULL,
        window_end INTEGER NOT NULL, state BLOB NOT NULL,
        PRIMARY KEY (view, partition, window_start, key, window_end)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS late (
        view INTEGER NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, event_time INTEGER NOT NULL,
        window_start INTEGER NOT NULL, PRIMARY KEY (view, partition, offset)) WITHOUT ROWID;
      """)
    try db.run("INSERT OR IGNORE INTO meta VALUES ('format', ?)", formatVersion)
  }

  static func version(_ db: SQLiteConnection) throws -> Int? {
    try db.first("SELECT value FROM meta WHERE name = 'format'") { $0.int(0) }
  }
}
