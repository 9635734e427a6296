import CSQLite

/// Replacements of SQLite's own functions whose single call can take minutes on values within their bound, without asking a
/// progress handler: `trim` of many characters, `instr` and `replace` of long patterns, `like`, `glob`, `json_patch`, and
/// `printf` with a width in the billions. These take time in proportion to their values' bytes, and check whether the statement
/// may go on.
///
/// Results are the same as SQLite's: https://www.sqlite.org/lang_corefunc.html
struct SQLFunctions {
  typealias Body = @convention(c) (OpaquePointer?, Int32, UnsafeMutablePointer<OpaquePointer?>?) -> Void

  private static let all: [(name: String, arguments: Int32, body: Body)] = [
    ("bool", 1, bool), ("instr", 2, find), ("replace", 3, replace), ("trim", 2, trim), ("ltrim", 2, trimStart),
    ("rtrim", 2, trimEnd),
    ("like", 2, like), ("like", 3, like), ("glob", 2, glob), ("printf", -1, format), ("format", -1, format),
    ("json_patch", 2, patch),
  ]

  /// Adds them to the connection.
  /// - Parameter calls: Must outlive the connection.
  static func add(to connection: OpaquePointer, _ calls: SQLCalls) -> Int32 {
    let context = Unmanaged.passUnretained(calls).toOpaque()
    let flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS
    for (name, arguments, body) in all {
      let status = sqlite3_create_function_v2(connection, name, arguments, flags, context, body, nil, nil, nil)
      guard status == SQLITE_OK else { return status }
    }
    return SQLITE_OK
  }

  /// The call's shared state; nil when the statement may not go on.
  private static func begin(_ context: OpaquePointer?) -> SQLCalls? {
    guard let data = sqlite3_user_data(context) else { return nil }
    let calls = Unmanaged<SQLCalls>.fromOpaque(data).takeUnretainedValue()
    guard calls.guardian.mayContinue() else {
      sqlite3_result_error_code(context, SQLITE_INTERRUPT)
      return nil
    }
    return calls
  }

  private static func isNull(_ values: UnsafeMutablePointer<OpaquePointer?>?, _ count: Int32) -> Bool {
    (0..<Int(count)).contains { sqlite3_value_type(values?[$0]) == SQLITE_NULL }
  }

  /// `bool(x)`: a view's true or false, from a number or a condition; null for null.
  private static let bool: Body = { context, _, values in
    guard begin(context) != nil, !isNull(values, 1) else { return }
    SQLBoolean.result(context, sqlite3_value_double(values?[0]) != 0)
  }

  /// `instr(X, Y)`: the position of Y in X, from 1 on, in characters, or for blobs in bytes.
  private static let find: Body = { context, count, values in
    guard begin(context) != nil, !isNull(values, count) else { return }
    let isBlob = sqlite3_value_type(values?[0]) == SQLITE_BLOB && sqlite3_value_type(values?[1]) == SQLITE_BLOB
    func bytes(_ index: Int) -> [UInt8] {
      (isBlob ? SQLText.blob(values?[index]) : SQLText.pointer(values?[index])).map { Array($0) } ?? []
    }
    let (text, wanted) = (bytes(0), bytes(1))
    sqlite3_result_int64(context, Int64(SQLBytes.place(of: wanted, in: text, isText: !isBlob)))
  }

  /// `replace(X, Y, Z)`: X with Z in the place of every Y.
  private static let replace: Body = { context, count, values in
    guard let calls = begin(context), !isNull(values, 2) else { return }
    func bytes(_ index: Int) -> [UInt8] { SQLText.pointer(values?[index]).map { Array($0) } ?? [] }
    let wanted = bytes(1)
    guard !wanted.isEmpty else { return sqlite3_result_value(context, values?[0]) }
    guard !isNull(values, count) else { return }
    let result = SQLBytes.replacing(wanted, with: bytes(2), in: bytes(0), bytesMax: calls.valueBytesMax)
    guard let result else { return sqlite3_result_error_toobig(context) }
    SQLText.result(context, result)
  }

  private static let trim: Body = { context, _, values in SQLFunctions.strip(context, values, start: true, end: true) }
  private static let trimStart: Body = { context, _, values in SQLFunctions.strip(context, values, start: true, end: false) }
  private static let trimEnd: Body = { context, _, values in SQLFunctions.strip(context, values, start: false, end: true) }

  private static func strip(_ context: OpaquePointer?, _ values: UnsafeMutablePointer<OpaquePointer?>?, start: Bool, end: Bool) {
    guard begin(context) != nil, !isNull(values, 2) else { return }
    let text = SQLText.pointer(values?[0]).map { Array($0) } ?? []
    let characters = SQLText.pointer(values?[1]).map { Array($0) } ?? []
    SQLText.result(context, SQLBytes.trimming(characters, from: text, start: start, end: end))
  }

  /// `like(Y, X[, E])`: `X LIKE Y ESCAPE E`.
  private static let like: Body = { context, count, values in
    var escape: [UInt8]?
    if count == 3 {
      guard let character = SQLText.pointer(values?[2]).map({ Array($0) }) else { return }
      guard SQLBytes.characterCount(character) == 1 else {
        return sqlite3_result_error(context, "ESCAPE expression must be a single character", -1)
      }
      escape = character
    }
    SQLFunctions.match(context, values) { SQLPattern(like: $0, escape: escape) }
  }

  /// `glob(Y, X)`: `X GLOB Y`.
  private static let glob: Body = { context, _, values in SQLFunctions.match(context, values) { SQLPattern(glob: $0) } }

  private static func match(
    _ context: OpaquePointer?, _ values: UnsafeMutablePointer<OpaquePointer?>?, _ pattern: ([UInt8]) -> SQLPattern
  ) {
    guard let calls = begin(context) else { return }
    // Debian's SQLite is built with LIKE_DOESNT_MATCH_BLOBS.
    if sqlite3_value_type(values?[0]) == SQLITE_BLOB || sqlite3_value_type(values?[1]) == SQLITE_BLOB {
      return sqlite3_result_int(context, 0)
    }
    guard let given = SQLText.pointer(values?[0]).map({ Array($0) }), let text = SQLText.pointer(values?[1]).map({ Array($0) })
    else {
      return
    }
    guard given.count <= SQLPattern.bytesMax else { return sqlite3_result_error(context, "LIKE or GLOB pattern too complex", -1) }
    let matches = pattern(given).matches(text) { calls.guardian.mayContinue() }
    guard let matches else { return sqlite3_result_error_code(context, SQLITE_INTERRUPT) }
    sqlite3_result_int(context, matches ? 1 : 0)
  }

  /// `printf(F, …)`, `format(F, …)`: SQLite's own, unless a repeated character would make the result longer than a value's bound.
  private static let format: Body = { context, count, values in
    guard let calls = begin(context), count > 0, sqlite3_value_type(values?[0]) != SQLITE_NULL else { return }
    let text = SQLText.pointer(values?[0]).map { Array($0) } ?? []
    let arguments = (1..<max(Int(count), 1)).map { sqlite3_value_int64(values?[$0]) }
    guard SQLBytes.repetitions(inFormat: text, arguments) <= Int64(calls.valueBytesMax) else {
      return sqlite3_result_error_toobig(context)
    }
    calls.delegate("printf", context, (0..<Int(count)).map { values?[$0] })
  }

  /// `json_patch(T, P)`: SQLite's own looks through all members of T for each of P.
  private static let patch: Body = { context, count, values in
    guard let calls = begin(context) else { return }
    let sizes = (0..<Int(count)).map { Int(sqlite3_value_bytes(values?[$0])) }
    guard sizes.reduce(1, { $0 * max($1, 1) }) <= 1 << 28 else { return sqlite3_result_error_toobig(context) }
    calls.delegate("json_patch", context, (0..<Int(count)).map { values?[$0] })
  }
}

/// The state that a statement's function calls share: whether they may go on, and SQLite's own functions where those are still
/// needed.
final class SQLCalls {
  let guardian: SQLGuardian
  let valueBytesMax: Int
  /// A connection on which no function is replaced; made when one is first called.
  private var plain: OpaquePointer?
  private var statements: [String: OpaquePointer] = [:]

  init(guardian: SQLGuardian, valueBytesMax: Int) {
    self.guardian = guardian
    self.valueBytesMax = valueBytesMax
  }

  deinit {
    for statement in statements.values { sqlite3_finalize(statement) }
    sqlite3_close_v2(plain)
  }

  /// Answers a call with the result of SQLite's own function.
  func delegate(_ function: String, _ context: OpaquePointer?, _ values: [OpaquePointer?]) {
    guard let statement = statement(function, values.count) else { return sqlite3_result_error_nomem(context) }
    defer {
      sqlite3_reset(statement)
      sqlite3_clear_bindings(statement)
    }
    for (index, value) in values.enumerated() { sqlite3_bind_value(statement, Int32(index + 1), value) }
    switch sqlite3_step(statement) {
    case SQLITE_ROW: sqlite3_result_value(context, sqlite3_column_value(statement, 0))
    case SQLITE_TOOBIG: sqlite3_result_error_toobig(context)
    default: sqlite3_result_error(context, sqlite3_errmsg(plain), -1)
    }
  }

  private func statement(_ function: String, _ count: Int) -> OpaquePointer? {
    if plain == nil {
      let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX
      guard sqlite3_open_v2(":memory:", &plain, flags, nil) == SQLITE_OK else { return nil }
      sqlite3_limit(plain, SQLITE_LIMIT_LENGTH, Int32(clamping: valueBytesMax))
    }
    let sql = "SELECT \(function)(\((1...max(count, 1)).map { "?\($0)" }.joined(separator: ", ")))"
    if let known = statements[sql] { return known }
    var statement: OpaquePointer?
    guard sqlite3_prepare_v2(plain, sql, -1, &statement, nil) == SQLITE_OK else { return nil }
    statements[sql] = statement
    return statement
  }
}
