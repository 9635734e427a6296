import Aggregates
import Events
import SQLite
import Views

/// The statements that write rows of state: rows are written by the hundred thousand, so nothing is copied or looked up for each.
struct StateStatements {
  private let db: SQLiteConnection
  private let view: Int64
  private let partition: PartitionID
  private let upsert: SQLiteStatement
  private let delete: SQLiteStatement
  private let select: SQLiteStatement

  /// Gives `body` the statements for the rows of a view's partition.
  static func use<R>(
    _ db: SQLiteConnection, _ window: WindowDefinition, view: Int64, _ partition: PartitionID,
    _ body: (StateStatements) throws -> R
  ) throws -> R {
    let table = window.table
    let row = "view = ?1 AND partition = ?2 AND window_start = ?3 AND window_end = ?4 AND key = ?5"
    return try db.withStatement(
      """
      INSERT INTO \(table) (view, partition, window_start, window_end, key, state, events) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
      ON CONFLICT DO UPDATE SET state = excluded.state, events = excluded.events
      """
    ) { upsert in
      try db.withStatement("DELETE FROM \(table) WHERE \(row)") { delete in
        try db.withStatement("SELECT state, events FROM \(table) WHERE \(row)") { select in
          try body(
            StateStatements(db: db, view: view, partition: partition, upsert: upsert, delete: delete, select: select))
        }
      }
    }
  }

  /// Writes a fold's changes since the last checkpoint.
  /// - Returns: Rows written.
  func write(_ fold: borrowing ViewFold) throws -> Int {
    let layout = fold.definition.layout
    try fold.rows.completeChanged { row, key, state in try read(row, key: key, layout, appendingTo: &state) }
    try fold.rows.forEachOutdated { row, key in try remove(row, key: key) }
    var words: [UInt64] = []
    var written = 0
    try fold.rows.forEachChanged { row in
      words.removeAll(keepingCapacity: true)
      assert(layout.isCanonical(row.state), "a state is stored in canonical form")
      for word in row.state { words.append(word.littleEndian) }
      try words.withUnsafeBytes { state in
        try bind(upsert, row.address, row.key)
        // The bytes are read before this returns.
        try upsert.bind(borrowing: state, at: 6)
        try upsert.bind(row.events, at: 7)
        try upsert.runOnce()
      }
      written += 1
    }
    return written
  }

  /// Deletes a row that the file has.
  private func remove(_ row: RowAddress, key: UnsafeRawBufferPointer) throws(SQLiteError) {
    try bind(delete, row, key)
    try delete.runOnce()
    // A row that stays would count its events twice from now on.
    guard db.changes == 1 else {
      throw SQLiteError.corrupt(
        "the file does not have a row of partition \(partition) that it should: \(db.changes) rows begin at \(row.slot)")
    }
  }

  /// Appends the file's part of a row.
  /// - Returns: The events that it counts; nil when the file has none.
  private func read(
    _ row: RowAddress, key: UnsafeRawBufferPointer, _ layout: StateLayout, appendingTo state: inout [UInt64]
  ) throws(SQLiteError) -> Int64? {
    try bind(select, row, key)
    defer { select.rewind() }
    guard try select.step() else { return nil }
    guard StateCodec.decode(select.bytes(0), layout, appendingTo: &state) else {
      throw SQLiteError.corrupt("a stored row of partition \(partition) has another layout")
    }
    return select.int64(1)
  }

  private func bind(_ statement: SQLiteStatement, _ row: RowAddress, _ key: UnsafeRawBufferPointer) throws(SQLiteError) {
    try statement.bind(view, at: 1)
    try statement.bind(Int64(partition.index), at: 2)
    try statement.bind(row.slot, at: 3)
    try statement.bind(row.end, at: 4)
    try statement.bind(borrowing: key, at: 5)
  }
}
