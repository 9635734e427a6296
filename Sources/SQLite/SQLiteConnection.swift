import CSQLite

/// One connection to a database file. It is not safe to share: one owner, such as a queue or an actor, uses it alone.
///
/// Statements are prepared once and kept. `withStatement` gives one out and takes it back reset, however the scope ends.
public final class SQLiteConnection {
  public enum Access: Sendable {
    /// Makes the file when it is not there.
    case readWrite
    /// The file must be there. If the file is in WAL mode, the side files may be written nonetheless.
    case readOnly
  }

  /// The most statements kept; beyond it all are let go.
  private static let statementsMax = 64

  private let handle: OpaquePointer
  /// The prepared statements that nobody uses now, by SQL.
  private var idle: [String: SQLiteStatement] = [:]

  /// - Parameter busyTimeout: How long a statement waits for another connection's lock.
  public init(path: String, access: Access = .readWrite, busyTimeout: Duration = .seconds(5)) throws(SQLiteError) {
    var opened: OpaquePointer?
    let flags = access == .readWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY
    // One owner: SQLite need not lock the connection.
    let status = sqlite3_open_v2(path, &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
    guard status == SQLITE_OK, let opened else {
      let message = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
      sqlite3_close_v2(opened)
      throw SQLiteError(code: status, message: "opening \(path): \(message)")
    }
    handle = opened
    sqlite3_busy_timeout(
      opened, Int32(clamping: busyTimeout.components.seconds * 1000 + busyTimeout.components.attoseconds / 1_000_000_000_000_000))
  }

  deinit {
    idle.removeAll()
    // A statement that outlives its connection keeps it open until it ends too.
    sqlite3_close_v2(handle)
  }

  // MARK: statements

  /// Runs statements without values and without rows, one after the other.
  public func execute(_ sql: String) throws(SQLiteError) {
    let status = sqlite3_exec(handle, sql, nil, nil, nil)
    guard status == SQLITE_OK else { throw failure(status, sql) }
  }

  /// Runs one statement to its end.
  public func run(_ sql: String, _ values: (any SQLiteBindable)?...) throws {
    try withStatement(sql) { statement in
      try statement.bind(values)
      while try statement.step() {}
    }
  }

  public func rows<R>(_ sql: String, _ values: (any SQLiteBindable)?..., body: (SQLiteStatement) throws -> R) throws -> [R] {
    try withStatement(sql) { statement in
      try statement.bind(values)
      var rows: [R] = []
      while try statement.step() { rows.append(try body(statement)) }
      return rows
    }
  }

  /// The result of `body` for the first row; nil when there is no row.
  public func first<R>(_ sql: String, _ values: (any SQLiteBindable)?..., body: (SQLiteStatement) throws -> R) throws -> R? {
    try withStatement(sql) { statement in
      try statement.bind(values)
      return try statement.step() ? try body(statement) : nil
    }
  }

  /// A prepared statement, for the scope of `body`: reset and without values before it and after.
  public func withStatement<R>(_ sql: String, _ body: (SQLiteStatement) throws -> R) throws -> R {
    // A statement in use by an outer scope is prepared once more.
    let statement = try idle.removeValue(forKey: sql) ?? SQLiteStatement(handle, sql)
    defer {
      statement.reset()
      if idle.count >= SQLiteConnection.statementsMax { idle.removeAll() }
      idle[sql] = statement
    }
    return try body(statement)
  }

  // MARK: transactions

  public enum Transaction: String, Sendable {
    /// Sees the database as of its first read.
    case deferred = "DEFERRED"
    /// Takes the write lock at once, so that it cannot fail for want of it later.
    case immediate = "IMMEDIATE"
  }

  /// Commits all that `body` does or, when it throws, nothing.
  public func transaction<R>(_ kind: Transaction = .immediate, _ body: () throws -> R) throws -> R {
    try execute("BEGIN \(kind.rawValue)")
    do {
      let result = try body()
      try execute("COMMIT")
      return result
    } catch {
      rollBack()
      throw error
    }
  }

  /// Ends a transaction without its changes; nothing when there is none, as after some errors.
  public func rollBack() {
    // It fails only where SQLite has rolled back by itself.
    if sqlite3_get_autocommit(handle) == 0 { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
  }

  public var lastInsertedRowID: Int64 { sqlite3_last_insert_rowid(handle) }

  /// Rows that the last statement inserted, updated or deleted.
  public var changes: Int { Int(sqlite3_changes64(handle)) }

  private func failure(_ status: Int32, _ sql: String?) -> SQLiteError {
    SQLiteError(code: status, message: String(cString: sqlite3_errmsg(handle)), sql: sql)
  }
}
