import Events
import SQLite

/// Converts a file of an earlier format to the present one, in one transaction. Its rows stay, for the log may no longer have
/// all of their events.
///
/// Format 2 had all rows in one table, without the number of events they count, a row for each late event, and partial indexes.
/// Format 4 knew nothing of sources, nor why an event was late: its generations have the partition's event time, and all late
/// events came after their window had closed.
enum CheckpointMigration {
  static let earlier = [2, 4]

  /// - Parameter lateMax: The late events of each view and partition that stay listed.
  static func run(_ db: SQLiteConnection, from version: Int, lateMax: Int) throws {
    if version == 2 { try beginWithRowsOfOneTable(db) }
    try addColumns(["amended INTEGER NOT NULL DEFAULT 0", "clock INTEGER"], to: "progress", db)
    if version == 4 { try addColumns(["expired BLOB"], to: "late", db) }
    try CheckpointSchema.create(db)
    if version == 2 {
      try moveLate(db, lateMax)
      try db.execute("DROP TABLE earlier_late")
    }
    try db.run("UPDATE meta SET value = ? WHERE name = 'format'", CheckpointSchema.formatVersion)
  }

  private static func beginWithRowsOfOneTable(_ db: SQLiteConnection) throws {
    for index in try partialIndexes(db) { try db.execute("DROP INDEX \"\(index)\"") }
    try db.execute("ALTER TABLE late RENAME TO earlier_late")
    // The number of events in the old rows is not known: the ledger of rows begins here.
    try addColumns(["events INTEGER NOT NULL DEFAULT 0"], to: "state", db)
    try addColumns(
      ["late_listed INTEGER NOT NULL DEFAULT 0", "dropped_end INTEGER", "dropped_events INTEGER NOT NULL DEFAULT 0"],
      to: "progress", db)
    try db.execute("UPDATE progress SET dropped_events = applied")
  }

  /// Adds the columns that a table does not have.
  private static func addColumns(_ columns: [String], to table: String, _ db: SQLiteConnection) throws {
    let known = Set(try db.rows("SELECT name FROM pragma_table_info(?)", table) { $0.text(0) })
    for column in columns {
      let name = column.prefix { $0 != " " }
      if !known.contains(String(name)) { try db.execute("ALTER TABLE \(table) ADD COLUMN \(column)") }
    }
  }

  /// The partial indexes; with one, rows may count events twice: decision 0018.
  static func partialIndexes(_ db: SQLiteConnection) throws -> [String] {
    try db.rows("SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'state_of_view_%'") { $0.text(0) }
  }

  private static func moveLate(_ db: SQLiteConnection, _ lateMax: Int) throws {
    let places = try db.rows("SELECT view, partition FROM progress WHERE late > 0") {
      (view: $0.int64(0), partition: PartitionID($0.int(1)))
    }
    for (view, partition) in places {
      let last = try db.rows(
        "SELECT offset, event_time FROM earlier_late WHERE view = ? AND partition = ? ORDER BY offset DESC LIMIT ?", view,
        partition.index, lateMax
      ) { LateEntry(offset: Offset($0.int64(0)), eventTime: $0.int64(1)) }
      var log = LateLog(countMax: lateMax)
      for entry in last.reversed() { log.append(entry) }
      try LateBlock.write(log, view: view, partition, countMax: lateMax, to: db)
      try db.run(
        "UPDATE progress SET late_listed = ? WHERE view = ? AND partition = ?", last.count, view, partition.index)
    }
  }

  /// Moves the rows of a view of sessions to their table, once it is known to be one.
  static func moveSessions(_ db: SQLiteConnection, view: Int64) throws {
    guard try db.first("SELECT 1 FROM state WHERE view = ? LIMIT 1", view, body: { $0.int(0) }) != nil else { return }
    let columns = "view, partition, window_start, key, window_end, events, state"
    try db.run("INSERT INTO session (\(columns)) SELECT \(columns) FROM state WHERE view = ?", view)
    try db.run("DELETE FROM state WHERE view = ?", view)
  }
}
