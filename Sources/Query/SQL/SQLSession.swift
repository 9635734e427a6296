import CSQLite
import Events
import Expressions
import Views

/// The bounds of one statement's cost.
struct SQLLimits: Sendable {
  /// Bytes of a statement's text.
  static let statementBytesMax = 64 << 10
  var timeout: Duration
  /// The rows of views that a statement reads, over all views that it names.
  var viewRowsMax: Int
  /// Bytes of an answer's rows.
  var answerBytesMax: Int
  /// The bytes SQLite may take beyond those it had when no statement ran.
  var memoryBytesMax: Int
  /// The bytes of one value, and of one row as it is sorted or kept.
  var valueBytesMax: Int
}

/// One statement over the views, on a connection of its own to an empty database in memory.
///
/// Invariant for `@unchecked`: made on one of the statement threads and then used by one task, which awaits each use before the
/// next.
final class SQLSession: @unchecked Sendable {
  let tables: [SQLTable]
  private let connection: OpaquePointer
  private var statement: OpaquePointer?
  private let guardian: SQLGuardian
  private let calls: SQLCalls
  private let stop: SQLStop
  private let limits: SQLLimits

  /// Prepares the statement: afterwards each of its tables knows which rows it wants.
  init(_ sql: String, views: [(definition: ViewDefinition, generation: Int)], limits: SQLLimits, stop: SQLStop)
    throws(QueryFailure)
  {
    tables = views.map { SQLTable($0.definition, generation: $0.generation) }
    guardian = SQLGuardian(tables: Set(views.map(\.definition.name)), limits: limits, stop: stop)
    calls = SQLCalls(guardian: guardian, valueBytesMax: limits.valueBytesMax)
    self.stop = stop
    self.limits = limits
    var opened: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX
    guard sqlite3_open_v2(":memory:", &opened, flags, nil) == SQLITE_OK, let opened else {
      sqlite3_close_v2(opened)
      throw QueryFailure(500, "failed", "SQLite does not open a database in memory")
    }
    connection = opened
    stop.take(opened)
    try configure(limits)
    try prepare(sql)
    if sqlite3_stmt_isexplain(statement) == 0 { try plan(sql) }
  }

  deinit {
    stop.release()
    sqlite3_finalize(statement)
    sqlite3_close_v2(connection)
  }

  private func configure(_ limits: SQLLimits) throws(QueryFailure) {
    // Sorted or stored rows stay in memory, where they are bounded; no file is made.
    var status = sqlite3_exec(connection, "PRAGMA temp_store = MEMORY", nil, nil, nil)
    for table in tables { table.guardian = guardian }
    for table in tables where status == SQLITE_OK { status = SQLTableModule.add(table, to: connection) }
    if status == SQLITE_OK {
      status = sqlite3_create_collation_v2(
        connection, SQLTime.collation, SQLITE_UTF8, nil,
        { _, aCount, a, bCount, b in
          SQLTime.order(
            UnsafeRawBufferPointer(start: a, count: Int(aCount)), UnsafeRawBufferPointer(start: b, count: Int(bCount)))
        }, nil)
    }
    if status == SQLITE_OK { status = penstock_without_bloom_filters(connection) }
    if status == SQLITE_OK { status = SQLFunctions.add(to: connection, calls) }
    guard status == SQLITE_OK else { throw QueryFailure(500, "failed", "SQLite: \(message)") }
    for (limit, value) in [
      (SQLITE_LIMIT_LENGTH, limits.valueBytesMax),
      (SQLITE_LIMIT_SQL_LENGTH, SQLLimits.statementBytesMax + SQLProgram.prefix.utf8.count),
      (SQLITE_LIMIT_ATTACHED, 0), (SQLITE_LIMIT_EXPR_DEPTH, 200), (SQLITE_LIMIT_COMPOUND_SELECT, 50),
      (SQLITE_LIMIT_LIKE_PATTERN_LENGTH, SQLPattern.bytesMax), (SQLITE_LIMIT_VDBE_OP, 100_000), (SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
      sqlite3_limit(connection, limit, Int32(value))
    }
    let context = Unmanaged.passUnretained(guardian).toOpaque()
    sqlite3_set_authorizer(
      connection,
      { context, action, first, second, _, _ in
        guard let context else { return SQLITE_DENY }
        return Unmanaged<SQLGuardian>.fromOpaque(context).takeUnretainedValue().authorize(
          action, first.map { String(cString: $0) }, second.map { String(cString: $0) })
      }, context)
    sqlite3_progress_handler(
      connection, 200,
      { context in
        guard let context else { return 1 }
        return Unmanaged<SQLGuardian>.fromOpaque(context).takeUnretainedValue().mayContinue() ? 0 : 1
      }, context)
  }

  private func prepare(_ sql: String) throws(QueryFailure) {
    var tail = 0
    let status = sql.withCString { text in
      var rest: UnsafePointer<CChar>?
      let status = sqlite3_prepare_v2(connection, text, -1, &statement, &rest)
      tail = rest.map { $0 - text } ?? 0
      return status
    }
    guard status == SQLITE_OK else { throw failure(sql) }
    guard statement != nil else { throw QueryFailure(400, "invalid_sql", "sql: there is no statement: write SELECT …") }
    let rest = sql.utf8.dropFirst(tail).drop { [0x20, 0x09, 0x0A, 0x0D, 0x3B].contains($0) }
    guard rest.isEmpty else {
      throw QueryFailure(403, "sql_refused", "one statement at a time: leave out what comes after the first ';'")
    }
    // A statement without columns is no query.
    guard sqlite3_stmt_readonly(statement) != 0, sqlite3_column_count(statement) > 0 else {
      throw QueryFailure(403, "sql_refused", "only statements that read are run")
    }
    guard sqlite3_bind_parameter_count(statement) == 0 else {
      throw QueryFailure(400, "invalid_sql", "sql: parameters such as ? are not taken: write the values")
    }
  }

  /// Notes which rows the scans need, by the plans that SQLite took for them, and refuses statements that would compare times
  /// wrongly.
  private func plan(_ sql: String) throws(QueryFailure) {
    guard let program = SQLProgram(of: sql, on: connection) else { throw failure(nil) }
    var scanned: [Int: SQLTable] = [:]
    for (cursor, name) in program.scans {
      guard let table = tables.first(where: { $0.definition.name == name.view }) else { continue }
      table.want(plan: name.plan)
      scanned[cursor] = table
    }
    var check = SQLTimeCheck(program, hasFractions: scanned.values.contains { $0.hasFractions }) { cursor, column in
      scanned[cursor]?.isTime(column) ?? false
    }
    if let complaint = check.complaint() { throw QueryFailure(400, "invalid_sql", "sql: \(complaint)") }
  }

  private var message: String { String(cString: sqlite3_errmsg(connection)) }

  private func failure(_ sql: String?) -> QueryFailure {
    if let refusal = guardian.refusal { return refusal }
    let message = message
    // SQLite finds that a view's table takes no writes before it asks whether it may write.
    if message.hasSuffix(" may not be modified") { return SQLGuardian.refused("writing") }
    if let function = SQLGuardian.refusedFunctions.first(where: { message == "no such function: \($0)" }) {
      return SQLGuardian.refused("the function \(function)")
    }
    switch sqlite3_errcode(connection) & 0xFF {
    case SQLITE_NOMEM: return SQLGuardian.outOfMemory
    case SQLITE_INTERRUPT: return SQLGuardian.timedOut(limits.timeout)
    case SQLITE_INTERNAL: return QueryFailure(500, "failed", "a scan needs rows that were not read")
    case SQLITE_TOOBIG:
      return QueryFailure(
        422, "sql_too_large",
        "a value, or a row that is sorted or kept, has more than \(limits.valueBytesMax) bytes (query.sql_value_bytes_max)")
    case SQLITE_AUTH: return SQLGuardian.refused("what this statement does")
    default: break
    }
    var failure = QueryFailure(400, "invalid_sql", "sql: \(message)")
    let offset = Int(sqlite3_error_offset(connection))
    if let sql, offset >= 0, offset <= sql.utf8.count {
      let before = sql.utf8.prefix(offset)
      let line = before.count { $0 == 0x0A } + 1
      let lineStart = before.lastIndex(of: 0x0A).map { sql.utf8.index(after: $0) } ?? sql.startIndex
      let place = sql.utf8.index(sql.startIndex, offsetBy: offset)
      let column = String(sql.utf8[lineStart..<place]).map { $0.count } ?? offset
      let text = sql[lineStart...].prefix { $0 != "\n" }
      failure = QueryFailure(
        400, "invalid_sql",
        "sql: line \(line), column \(column + 1): \(message)\n\(text.prefix(200))\n\(String(repeating: " ", count: min(column, 200)))^"
      )
      failure.extra["position"] = .int(Int64(offset))
    }
    return failure
  }

  /// Runs the statement.
  /// - Precondition: Tables that want rows have them.
  func run(limit: Int, format: RowFormat, answerBytesMax: Int) throws(QueryFailure) -> SQLResult {
    let names = (0..<sqlite3_column_count(statement)).map { index in
      sqlite3_column_name(statement, index).map { String(cString: $0) } ?? ""
    }
    let types = names.indices.map { index in
      sqlite3_column_decltype(statement, Int32(index)).flatMap { ColumnType(sqliteDeclaration: String(cString: $0)) }
    }
    var result = SQLResult(names: names, declared: types, format: format)
    while true {
      switch sqlite3_step(statement) {
      case SQLITE_DONE: return result
      case SQLITE_ROW:
        guard result.count < limit else {
          result.isTruncated = true
          return result
        }
        result.append(names.indices.map { value(Int32($0), isBoolean: types[$0] == .boolean) })
        guard result.bytes.count <= answerBytesMax else {
          throw QueryFailure(
            422, "sql_too_large",
            "the answer has more than \(answerBytesMax) bytes (query.sql_answer_bytes_max): ask for fewer rows or columns")
        }
      default: throw failure(nil)
      }
    }
  }

  private func value(_ column: Int32, isBoolean: Bool) -> ResultValue {
    switch sqlite3_column_type(statement, column) {
    case SQLITE_INTEGER:
      let value = sqlite3_column_int64(statement, column)
      return isBoolean ? .bool(value != 0) : .int(value)
    case SQLITE_FLOAT: return .double(sqlite3_column_double(statement, column))
    case SQLITE_TEXT:
      guard let text = sqlite3_column_text(statement, column) else { return .null }
      let bytes = UnsafeBufferPointer(start: text, count: Int(sqlite3_column_bytes(statement, column)))
      return .string(String(decoding: bytes, as: UTF8.self))
    case SQLITE_BLOB:
      // Views' booleans are blobs, and a statement can make others. JSON has no bytes: hexadecimal.
      guard let blob = sqlite3_column_blob(statement, column) else { return .string("") }
      let bytes = UnsafeRawBufferPointer(start: blob, count: Int(sqlite3_column_bytes(statement, column)))
      if let value = SQLBoolean.value(bytes) { return .bool(value) }
      return .string(bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    default: return .null
    }
  }
}

extension ColumnType {
  /// The type of a column that `SQLTable` declared; nil for others.
  fileprivate init?(sqliteDeclaration text: String) {
    guard let word = text.split(separator: " ").first, let type = ColumnType(rawValue: word.lowercased()) else { return nil }
    self = type
  }
}
