import Events
import SQLite

/// Which stored row, beside its key.
struct StateRowKey {
  var view: Int64
  var partition: PartitionID
  var slot: Int64
  var end: Int64
}

/// The statements that write rows of state: rows are written by the hundred thousand, so nothing is copied or looked up for each.
struct StateStatements {
  private let upsert: SQLiteStatement
  private let delete: SQLiteStatement

  /// Gives `body` the statements.
  static func use<R>(_ db: SQLiteConnection, _ body: (StateStatements) throws -> R) throws -> R {
    try db.withStatement(
      """
      INSERT INTO state (view, partition, window_start, window_end, key, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
      ON CONFLICT DO UPDATE SET state = excluded.state
      """
    ) { upsert in
      try db.withStatement(
        "DELETE FROM state WHERE view = ?1 AND partition = ?2 AND window_start = ?3 AND window_end = ?4 AND key = ?5"
      ) { delete in try body(StateStatements(upsert: upsert, delete: delete)) }
    }
  }

  /// Writes one row of state. The bytes are read before this returns.
  func upsert(_ row: StateRowKey, key: UnsafeRawBufferPointer, state: UnsafeRawBufferPointer) throws(SQLiteError) {
    try bind(upsert, row, key)
    try upsert.bind(borrowing: state, at: 6)
    try upsert.runOnce()
  }

  func delete(_ row: StateRowKey, key: UnsafeRawBufferPointer) throws(SQLiteError) {
    try bind(delete, row, key)
    try delete.runOnce()
  }

  private func bind(_ statement: SQLiteStatement, _ row: StateRowKey, _ key: UnsafeRawBufferPointer) throws(SQLiteError) {
    try statement.bind(row.view, at: 1)
    try statement.bind(Int64(row.partition.index), at: 2)
    try statement.bind(row.slot, at: 3)
    try statement.bind(row.end, at: 4)
    try statement.bind(borrowing: key, at: 5)
  }
}
