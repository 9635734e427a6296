import Aggregates
import Events
import SQLite
import Views

/// Which stored row, beside its key.
struct StateRowKey {
  var view: Int64
  var partition: PartitionID
  var slot: Int64
  var end: Int64
}

/// The statements that write rows of state: rows are written by the hundred thousand, so nothing is copied or looked up for each.
struct StateStatements {
  private let db: SQLiteConnection
  private let upsert: SQLiteStatement
  private let delete: SQLiteStatement
  private let select: SQLiteStatement

  /// Gives `body` the statements of the table that has such windows' rows.
  static func use<R>(
    _ db: SQLiteConnection, _ window: WindowDefinition, _ body: (StateStatements) throws -> R
  ) throws -> R {
    let table = window.table
    return try db.withStatement(
      """
      INSERT INTO \(table) (view, partition, window_start, window_end, key, state, events) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
      ON CONFLICT DO UPDATE SET state = excluded.state, events = excluded.events
      """
    ) { upsert in
      try db.withStatement(
        "DELETE FROM \(table) WHERE view = ?1 AND partition = ?2 AND window_start = ?3 AND window_end = ?4 AND key = ?5"
      ) { delete in
        try db.withStatement(
          "SELECT state, events FROM \(table)"
            + " WHERE view = ?1 AND partition = ?2 AND window_start = ?3 AND window_end = ?4 AND key = ?5"
        ) { select in try body(StateStatements(db: db, upsert: upsert, delete: delete, select: select)) }
      }
    }
  }

  /// Writes one row of state. The bytes are read before this returns.
  func upsert(
    _ row: StateRowKey, key: UnsafeRawBufferPointer, state: UnsafeRawBufferPointer, events: Int64
  ) throws(SQLiteError) {
    try bind(upsert, row, key)
    try upsert.bind(borrowing: state, at: 6)
    try upsert.bind(events, at: 7)
    try upsert.runOnce()
  }

  /// Takes a row out that the file has.
  func delete(_ row: StateRowKey, key: UnsafeRawBufferPointer) throws(SQLiteError) {
    try bind(delete, row, key)
    try delete.runOnce()
    // One that stays would count its events twice from now on.
    guard db.changes == 1 else {
      throw SQLiteError.corrupt(
        "the file does not have a row of partition \(row.partition) that it should: \(db.changes) rows begin at \(row.slot)")
    }
  }

  /// Appends what the file has of a row.
  /// - Returns: The events it counts; nil when the file has none.
  func read(
    _ row: StateRowKey, key: UnsafeRawBufferPointer, _ layout: StateLayout, appendingTo state: inout [UInt64]
  ) throws(SQLiteError) -> Int64? {
    try bind(select, row, key)
    defer { select.rewind() }
    guard try select.step() else { return nil }
    guard StateCodec.decode(select.bytes(0), layout, appendingTo: &state) else {
      throw SQLiteError.corrupt("a stored row of partition \(row.partition) has another layout")
    }
    return select.int64(1)
  }

  private func bind(_ statement: SQLiteStatement, _ row: StateRowKey, _ key: UnsafeRawBufferPointer) throws(SQLiteError) {
    try statement.bind(row.view, at: 1)
    try statement.bind(Int64(row.partition.index), at: 2)
    try statement.bind(row.slot, at: 3)
    try statement.bind(row.end, at: 4)
    try statement.bind(borrowing: key, at: 5)
  }
}
