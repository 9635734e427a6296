import Aggregates
import Events
import SQLite
import Views

/// The statements that write sessions: a row each, which is replaced when the session grows.
struct SessionStatements {
  private let db: SQLiteConnection
  private let view: Int64
  private let partition: PartitionID
  private let upsert: SQLiteStatement
  private let delete: SQLiteStatement

  /// Gives `body` the statements for the sessions of a view's partition.
  static func use<R>(
    _ db: SQLiteConnection, view: Int64, _ partition: PartitionID, _ body: (SessionStatements) throws -> R
  ) throws -> R {
    try db.withStatement(
      """
      INSERT INTO session (view, partition, window_start, window_end, key, state, events) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
      ON CONFLICT DO UPDATE SET state = excluded.state, events = excluded.events
      """
    ) { upsert in
      try db.withStatement(
        "DELETE FROM session WHERE view = ?1 AND partition = ?2 AND window_start = ?3 AND window_end = ?4 AND key = ?5"
      ) { delete in
        try body(SessionStatements(db: db, view: view, partition: partition, upsert: upsert, delete: delete))
      }
    }
  }

  /// Writes a fold's changes since the last checkpoint.
  /// - Returns: Rows written.
  func write(_ fold: borrowing ViewFold) throws -> Int {
    let layout = fold.definition.layout
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

  private func bind(_ statement: SQLiteStatement, _ row: RowAddress, _ key: UnsafeRawBufferPointer) throws(SQLiteError) {
    try statement.bind(view, at: 1)
    try statement.bind(Int64(partition.index), at: 2)
    try statement.bind(row.slot, at: 3)
    try statement.bind(row.end, at: 4)
    try statement.bind(borrowing: key, at: 5)
  }
}

/// The sessions of a worker's file: a row each.
enum StoredSessions {
  /// The events that a partition's sessions count.
  static func countEvents(_ db: SQLiteConnection, view: Int64, _ partition: PartitionID) throws -> Int {
    try db.first(
      "SELECT coalesce(sum(events), 0) FROM session WHERE view = ? AND partition = ?", view, partition.index
    ) { $0.int(0) } ?? 0
  }

  /// Deletes the sessions that end at or before `end`.
  /// - Returns: The events that they counted.
  static func drop(_ db: SQLiteConnection, _ fold: GenerationFold, through end: Int64) throws -> Int {
    let rows = "session WHERE view = ? AND partition = ? AND window_end <= ?"
    let (view, partition) = (fold.viewID, fold.partition)
    let found =
      try db.first("SELECT count(*), coalesce(sum(events), 0) FROM \(rows)", view, partition.index, end) {
        (rows: $0.int(0), events: $0.int(1))
      } ?? (rows: 0, events: 0)
    guard found.rows > 0 else { return 0 }
    try db.run("DELETE FROM \(rows)", view, partition.index, end)
    guard db.changes == found.rows else {
      throw SQLiteError.corrupt(
        "of \(found.rows) sessions of \(fold.id) past retention, partition \(partition), \(db.changes) have gone")
    }
    return found.events
  }
}
