import CSQLite

/// A prepared statement. Values are bound by number from 1, as in `?1`; columns are read by number from 0.
public final class SQLiteStatement {
  private let handle: OpaquePointer
  private let connection: OpaquePointer

  init(_ connection: OpaquePointer, _ sql: String) throws(SQLiteError) {
    var prepared: OpaquePointer?
    let status = sqlite3_prepare_v3(connection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
    guard status == SQLITE_OK, let prepared else {
      throw SQLiteError(code: status, message: String(cString: sqlite3_errmsg(connection)), sql: sql)
    }
    handle = prepared
    self.connection = connection
  }

  deinit { sqlite3_finalize(handle) }

  // MARK: values

  public func bind(_ value: Int64, at place: Int32) throws(SQLiteError) { try check(sqlite3_bind_int64(handle, place, value)) }

  public func bindNull(at place: Int32) throws(SQLiteError) { try check(sqlite3_bind_null(handle, place)) }

  public func bind(_ text: String, at place: Int32) throws(SQLiteError) {
    // SQLite copies the bytes.
    let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    let status = text.withCString { sqlite3_bind_text(handle, place, $0, Int32(text.utf8.count), transient) }
    try check(status)
  }

  /// - Parameter bytes: They must stay where they are until the statement has been stepped, or others are bound.
  public func bind(borrowing bytes: UnsafeRawBufferPointer, at place: Int32) throws(SQLiteError) {
    // A null pointer would bind NULL.
    guard !bytes.isEmpty else { return try check(sqlite3_bind_zeroblob(handle, place, 0)) }
    try check(sqlite3_bind_blob(handle, place, bytes.baseAddress, Int32(bytes.count), nil))
  }

  public func bind(_ bytes: [UInt8], at place: Int32) throws(SQLiteError) {
    guard !bytes.isEmpty else { return try check(sqlite3_bind_zeroblob(handle, place, 0)) }
    let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    try check(sqlite3_bind_blob(handle, place, bytes, Int32(bytes.count), transient))
  }

  /// Binds the values from number 1 on.
  public func bind(_ values: [(any SQLiteBindable)?]) throws(SQLiteError) {
    for (index, value) in values.enumerated() {
      let place = Int32(index + 1)
      if let value { try value.bind(to: self, at: place) } else { try bindNull(at: place) }
    }
  }

  // MARK: running

  /// Goes to the next row.
  /// - Returns: Whether there is one.
  public func step() throws(SQLiteError) -> Bool {
    switch sqlite3_step(handle) {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    case let status: throw failure(status)
    }
  }

  /// Runs a statement without rows, and makes it ready to be bound and run again. Values stay bound.
  public func runOnce() throws(SQLiteError) {
    let status = sqlite3_step(handle)
    sqlite3_reset(handle)
    guard status == SQLITE_DONE else { throw failure(status) }
  }

  /// Makes it ready to be bound and run again. Values stay bound.
  public func rewind() { sqlite3_reset(handle) }

  func reset() {
    sqlite3_reset(handle)
    sqlite3_clear_bindings(handle)
  }

  // MARK: columns of the current row

  public func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

  public func int64(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

  public func int(_ column: Int32) -> Int { Int(truncatingIfNeeded: sqlite3_column_int64(handle, column)) }

  public func bool(_ column: Int32) -> Bool { sqlite3_column_int64(handle, column) != 0 }

  public func optionalInt64(_ column: Int32) -> Int64? { isNull(column) ? nil : int64(column) }

  /// Empty for NULL.
  public func text(_ column: Int32) -> String {
    guard let text = sqlite3_column_text(handle, column) else { return "" }
    return String(decoding: UnsafeBufferPointer(start: text, count: Int(sqlite3_column_bytes(handle, column))), as: UTF8.self)
  }

  public func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }

  /// A blob's bytes, valid while the statement is at this row; empty for NULL.
  public func bytes(_ column: Int32) -> UnsafeRawBufferPointer {
    // The pointer comes first: asking for the length may not move the bytes then.
    let start = sqlite3_column_blob(handle, column)
    return UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(handle, column)))
  }

  private func check(_ status: Int32) throws(SQLiteError) { if status != SQLITE_OK { throw failure(status) } }

  private func failure(_ status: Int32) -> SQLiteError {
    SQLiteError(
      code: status, message: String(cString: sqlite3_errmsg(connection)), sql: sqlite3_sql(handle).map { String(cString: $0) })
  }
}

/// A type whose values can be bound to a statement.
public protocol SQLiteBindable {
  func bind(to statement: SQLiteStatement, at place: Int32) throws(SQLiteError)
}

extension Int64: SQLiteBindable {
  public func bind(to statement: SQLiteStatement, at place: Int32) throws(SQLiteError) { try statement.bind(self, at: place) }
}

extension Int: SQLiteBindable {
  public func bind(to statement: SQLiteStatement, at place: Int32) throws(SQLiteError) {
    try statement.bind(Int64(self), at: place)
  }
}

extension Bool: SQLiteBindable {
  public func bind(to statement: SQLiteStatement, at place: Int32) throws(SQLiteError) {
    try statement.bind(self ? 1 : 0, at: place)
  }
}

extension String: SQLiteBindable {
  public func bind(to statement: SQLiteStatement, at place: Int32) throws(SQLiteError) { try statement.bind(self, at: place) }
}

extension [UInt8]: SQLiteBindable {
  public func bind(to statement: SQLiteStatement, at place: Int32) throws(SQLiteError) { try statement.bind(self, at: place) }
}
