import Aggregates
import Events
import SQLite
import Views

/// Converts a file of an earlier format to the present one, in one transaction. Its rows stay, for the log may no longer have
/// all of their events.
///
/// Format 2 had all rows in one table, without the number of events they count, a row for each late event, and partial indexes.
/// Format 4 knew nothing of sources, nor why an event was late: its generations have the partition's event time, and all late
/// events came after their window had closed. Format 5 had a row for each window and key: `EarlierRows` makes runs of them once
/// their view is known.
enum CheckpointMigration {
  static let earlier = [2, 4, 5]

  /// - Parameter lateMax: The late events of each view and partition that stay listed.
  static func run(_ db: SQLiteConnection, from version: Int, lateMax: Int) throws {
    if version == 2 { try beginWithRowsOfOneTable(db) }
    try addColumns(["amended INTEGER NOT NULL DEFAULT 0", "clock INTEGER"], to: "progress", db)
    if version == 4 { try addColumns(["expired BLOB"], to: "late", db) }
    try db.execute("ALTER TABLE state RENAME TO \(EarlierRows.table)")
    try CheckpointSchema.create(db)
    if version == 5 { try SourceRuns.migrate(db) }
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
}

/// Rows of an earlier format: a row for each window and key, of all views; format 2 had sessions among them. A view's are moved
/// when it is next used, since its definition says how.
enum EarlierRows {
  static let table = "earlier_rows"

  /// Whether a file has such rows of a view.
  /// - Parameter schema: The name of an attached file.
  static func has(_ db: SQLiteConnection, view: Int64, in schema: String = "main") throws -> Bool {
    guard try exists(db, in: schema) else { return false }
    return try db.first("SELECT 1 FROM \(schema).\(table) WHERE view = ? LIMIT 1", view) { $0.int(0) } != nil
  }

  private static func exists(_ db: SQLiteConnection, in schema: String = "main") throws -> Bool {
    try db.first("SELECT 1 FROM \(schema).sqlite_master WHERE name = ?", table) { $0.int(0) } != nil
  }

  static func remove(_ db: SQLiteConnection, view: Int64) throws {
    guard try exists(db) else { return }
    try db.run("DELETE FROM \(table) WHERE view = ?", view)
    guard try db.first("SELECT 1 FROM \(table) LIMIT 1", body: { $0.int(0) }) == nil else { return }
    try db.execute("DROP TABLE \(table)")
  }

  /// Moves a view's rows to where they belong.
  static func move(_ db: SQLiteConnection, _ definition: ViewDefinition, view: Int64) throws {
    guard try has(db, view: view) else { return }
    switch definition.window.keeping {
    case .slots: try moveToRuns(db, definition.layout, view)
    case .sessions:
      let columns = "view, partition, window_start, key, window_end, events, state"
      try db.run("INSERT INTO session (\(columns)) SELECT \(columns) FROM \(table) WHERE view = ?", view)
    }
    try remove(db, view: view)
  }

  private static func moveToRuns(_ db: SQLiteConnection, _ layout: StateLayout, _ view: Int64) throws {
    let partitions = try db.rows("SELECT DISTINCT partition FROM \(table) WHERE view = ?", view) { PartitionID($0.int(0)) }
    var state: [UInt64] = []
    for partition in partitions {
      var run = RunWriter(db, .rows(view: view, partition), stride: layout.stride)
      let sql = "SELECT window_start, key, events, state FROM \(table) WHERE view = ? AND partition = ? ORDER BY window_start, key"
      try db.withStatement(sql) { row in
        try row.bind([view, partition.index])
        while try row.step() {
          state.removeAll(keepingCapacity: true)
          guard StateCodec.decode(row.bytes(3), layout, appendingTo: &state) else {
            throw SQLiteError.corrupt("a row of partition \(partition) has another layout")
          }
          try state.withUnsafeBufferPointer {
            try run.append(RunRow(slot: row.int64(0), key: row.bytes(1), isWhole: true, events: row.int64(2), state: $0))
          }
        }
      }
      try run.finish()
    }
  }
}
