import CSQLite

/// SQLite's error code and message, and the statement that it refused.
package struct SQLiteError: Error, Sendable, CustomStringConvertible {
  /// An extended result code: https://www.sqlite.org/rescode.html
  package var code: Int32
  package var message: String
  /// The statement; nil where there was none.
  package var sql: String?

  package init(code: Int32, message: String, sql: String? = nil) {
    self.code = code
    self.message = message
    self.sql = sql
  }

  /// A row whose content is not what its writer stored.
  package static func corrupt(_ message: String) -> SQLiteError { SQLiteError(code: SQLITE_CORRUPT, message: message) }

  /// Whether the file is no database, or a damaged one.
  package var isDamage: Bool { code & 0xFF == SQLITE_CORRUPT || code & 0xFF == SQLITE_NOTADB }

  /// Whether another connection holds the lock that is needed.
  package var isBusy: Bool { code & 0xFF == SQLITE_BUSY || code & 0xFF == SQLITE_LOCKED }

  package var description: String { "\(message) (code \(code))" + (sql.map { " in \"\($0.prefix(200))\"" } ?? "") }
}
