import CSQLite
import Events
import Views

/// Decides what a statement may do and cost; belongs to one `SQLSession`.
final class SQLGuardian {
  /// They read or write files, or load code; not all are in every build of SQLite.
  static let refusedFunctions = [
    "load_extension", "readfile", "writefile", "edit", "fsdir", "lsmode", "fts3_tokenizer", "zipfile",
  ]
  /// The permitted functions; all others are refused. One call takes time in proportion to its values' bytes, with `SQLFunctions`
  /// in place of some of SQLite's own.
  static let functions = Set(
    """
    abs acos acosh asin asinh atan atan2 atanh avg bool ceil ceiling char coalesce concat concat_ws cos cosh count cume_dist current_date current_time
    current_timestamp date datetime degrees dense_rank exp first_value floor format glob group_concat hex if ifnull iif instr json json_array
    json_array_length json_error_position json_extract json_group_array json_group_object json_insert json_object json_patch json_pretty json_quote
    json_remove json_replace json_set json_type json_valid julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim max
    min mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote radians random randomblob rank replace round row_number rtrim
    sign sin sinh soundex sqlite_source_id sqlite_version sqrt strftime string_agg substr substring sum tan tanh time timediff total trim trunc typeof
    unhex unicode unixepoch unlikely upper zeroblob -> ->>
    """.split { $0 == " " || $0 == "\n" }.map(String.init))
  /// Table-valued functions that reach neither files nor the connection's insides.
  private static let tableFunctions: Set<String> = ["json_each", "json_tree"]

  private let tables: Set<String>
  private let limits: SQLLimits
  private let stop: SQLStop
  /// The whole process's memory when the statement began: SQLite does not count a connection's own.
  private let memoryBefore = sqlite3_memory_used()
  private(set) var refusal: QueryFailure?
  /// Whether a view's table is being declared, which SQLite takes for writing to its schema.
  var isDeclaring = false

  init(tables: Set<String>, limits: SQLLimits, stop: SQLStop) {
    self.tables = tables
    self.limits = limits
    self.stop = stop
  }

  static func refused(_ what: String) -> QueryFailure {
    QueryFailure(403, "sql_refused", "\(what) is refused: statements only read, and only the views")
  }

  static var outOfMemory: QueryFailure {
    QueryFailure(422, "sql_too_large", "the statement needs too much memory: bound window_start, or group and sort less")
  }

  /// An authorizer: https://www.sqlite.org/c3ref/set_authorizer.html
  func authorize(_ action: Int32, _ first: String?, _ second: String?) -> Int32 {
    guard !isDeclaring else { return SQLITE_OK }
    // Every step that makes a statement long to prepare passes here.
    guard mayContinue() else { return SQLITE_DENY }
    switch action {
    case SQLITE_SELECT, SQLITE_RECURSIVE: return SQLITE_OK
    case SQLITE_READ:
      let name = first ?? ""
      if tables.contains(name) || SQLGuardian.tableFunctions.contains(name) { return SQLITE_OK }
      // Without a column: a name of the statement's own (WITH c AS …), if it is none of SQLite's.
      if second?.isEmpty ?? true, !SQLGuardian.isOfSQLite(name) { return SQLITE_OK }
      return deny("reading \(name)")
    case SQLITE_FUNCTION:
      let name = second?.lowercased() ?? ""
      return SQLGuardian.functions.contains(name) ? SQLITE_OK : deny("the function \(name.prefix(64))")
    case SQLITE_PRAGMA: return deny("PRAGMA \(first ?? "")")
    case SQLITE_ATTACH: return deny("ATTACH")
    case SQLITE_DETACH: return deny("DETACH")
    case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE: return deny("writing")
    case SQLITE_TRANSACTION, SQLITE_SAVEPOINT: return deny("a transaction")
    default: return deny("changing the database")
    }
  }

  /// Whether the table shows the connection's insides.
  private static func isOfSQLite(_ name: String) -> Bool {
    let name = name.lowercased()
    return name.hasPrefix("sqlite_") || name.hasPrefix("pragma_")
      || ["dbstat", "bytecode", "tables_used", "fts3tokenize"].contains(name)
  }

  private func deny(_ what: String) -> Int32 {
    refusal = refusal ?? SQLGuardian.refused(what)
    return SQLITE_DENY
  }

  /// - Parameter waited: The resource that the statement waited for, if it did not come to run.
  static func timedOut(_ timeout: Duration, waitingFor waited: String? = nil) -> QueryFailure {
    let limit = DurationText.text(timeout.nanosecondsHeld)
    guard let waited else {
      return QueryFailure(
        504, "sql_timeout", "the statement ran longer than \(limit): bound window_start, or pass a longer timeout")
    }
    return QueryFailure(504, "sql_timeout", "the statement waited longer than \(limit) for \(waited); try again")
  }

  /// Called every few hundred steps of SQLite's machine, and by all other code that may take long.
  func mayContinue() -> Bool {
    guard refusal == nil else { return false }
    if stop.isSet {
      refusal = SQLGuardian.timedOut(limits.timeout)
    } else if sqlite3_memory_used() - memoryBefore > Int64(limits.memoryBytesMax) {
      refusal = SQLGuardian.outOfMemory
    }
    return refusal == nil
  }
}
