import CSQLite

/// SQLite's error code and message, and the statement that it refused.
public struct SQLiteError: Error, Sendable, CustomStringConvertible {
  /// An extended result code: https://www.sqlite.org/rescode.html
  public var code: Int32
  public var message: String
  /// The statement; nil where there was none.
  public var sql: String?

  public init(code: Int32, message: String, sql: String? = nil) {
    self.code = code
    self.message = message
    self.sql = sql
  }

  /// A row whose content is not what its writer stored.
  public static func corrupt(_ message: String) -> SQLiteError { SQLiteError(code: SQLITE_CORRUPT, message: message) }

  /// Whether the file is no database, or a damaged one.
  public var isDamage: Bool { code & 0xFF == SQLITE_CORRUPT || code & 0xFF == SQLITE_NOTADB }

  /// Whether another connection holds the lock that is needed.
  public var isBusy: Bool { code & 0xFF == SQLITE_BUSY || code & 0xFF == SQLITE_LOCKED }

  public var description: String { "\(message) (code \(code))" + (sql.map { " in \"\($0.prefix(200))\"" } ?? "") }
}
