import Events
import GRDB
import GRDBSQLite

/// Which stored row, beside its key.
struct StateRowKey {
  var view: Int64
  var partition: PartitionID
  var slot: Int64
  var end: Int64
}

/// Prepared statements on rows of state, bound and stepped through SQLite's own interface: rows are written by the hundred thousand.
final class StateStatements {
  private let upsert: OpaquePointer
  private let delete: OpaquePointer
  private let connection: OpaquePointer

  init(_ connection: OpaquePointer) throws {
    self.connection = connection
    let upsert = try StateStatements.prepare(
      connection,
      """
      INSERT INTO state (view, partition, window_start, window_end, key, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
      ON CONFLICT DO UPDATE SET state = excluded.state
      """)
    self.upsert = upsert
    do {
      delete = try StateStatements.prepare(
        connection, "DELETE FROM state WHERE view = ?1 AND partition = ?2 AND window_start = ?3 AND window_end = ?4 AND key = ?5")
    } catch {
      sqlite3_finalize(upsert)
      throw error
    }
  }

  deinit {
    sqlite3_finalize(upsert)
    sqlite3_finalize(delete)
  }

  private static func prepare(_ connection: OpaquePointer, _ sql: String) throws -> OpaquePointer {
    var prepared: OpaquePointer?
    guard sqlite3_prepare_v2(connection, sql, -1, &prepared, nil) == SQLITE_OK, let prepared else {
      throw DatabaseError(resultCode: .SQLITE_ERROR, message: String(cString: sqlite3_errmsg(connection)))
    }
    return prepared
  }

  /// Writes one row of state. The bytes are read before this returns.
  func upsert(_ row: StateRowKey, key: UnsafeRawBufferPointer, state: UnsafeRawBufferPointer) throws {
    bind(upsert, row, key)
    sqlite3_bind_blob(upsert, 6, state.baseAddress, Int32(state.count), nil)
    try step(upsert)
  }

  func delete(_ row: StateRowKey, key: UnsafeRawBufferPointer) throws {
    bind(delete, row, key)
    try step(delete)
  }

  private func bind(_ statement: OpaquePointer, _ row: StateRowKey, _ key: UnsafeRawBufferPointer) {
    sqlite3_bind_int64(statement, 1, row.view)
    sqlite3_bind_int64(statement, 2, Int64(row.partition.index))
    sqlite3_bind_int64(statement, 3, row.slot)
    sqlite3_bind_int64(statement, 4, row.end)
    // A null pointer would bind NULL: a view without keys has an empty key.
    if key.isEmpty {
      sqlite3_bind_zeroblob(statement, 5, 0)
    } else {
      sqlite3_bind_blob(statement, 5, key.baseAddress, Int32(key.count), nil)
    }
  }

  private func step(_ statement: OpaquePointer) throws {
    let status = sqlite3_step(statement)
    sqlite3_reset(statement)
    guard status == SQLITE_DONE else {
      throw DatabaseError(resultCode: ResultCode(rawValue: status), message: String(cString: sqlite3_errmsg(connection)))
    }
  }
}
