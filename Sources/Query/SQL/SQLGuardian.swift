import CSQLite
import Events
import Synchronization
import Views

/// Tells a statement that runs to end: its time is up, or whoever asked has left.
final class SQLStop: Sendable {
  private let isCancelled = Atomic<Bool>(false)
  let deadline: ContinuousClock.Instant

  init(deadline: ContinuousClock.Instant) { self.deadline = deadline }

  func cancel() { isCancelled.store(true, ordering: .relaxed) }

  var isSet: Bool { isCancelled.load(ordering: .relaxed) || ContinuousClock.now >= deadline }
}

/// What a statement may do and cost; belongs to one `SQLSession`.
final class SQLGuardian {
  /// They read or write files, or load code; not all are in every build of SQLite.
  static let refusedFunctions = [
    "load_extension", "readfile", "writefile", "edit", "fsdir", "lsmode", "fts3_tokenizer", "zipfile",
  ]
  /// Table-valued functions without a way to files or to the connection's insides.
  private static let tableFunctions: Set<String> = ["json_each", "json_tree"]

  private let tables: Set<String>
  private let limits: SQLLimits
  private let stop: SQLStop
  /// Of the whole process, when the statement began: SQLite counts no connection's own.
  private let memoryBefore = sqlite3_memory_used()
  private(set) var refusal: QueryFailure?
  /// While a view's table is declared, which SQLite takes for writing to its schema.
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
    switch action {
    case SQLITE_SELECT, SQLITE_RECURSIVE: return SQLITE_OK
    case SQLITE_READ:
      let name = first ?? ""
      if tables.contains(name) || SQLGuardian.tableFunctions.contains(name) { return SQLITE_OK }
      // No column of it: a name of the statement's own (WITH c AS …), where it is none of SQLite's.
      if second?.isEmpty ?? true, !SQLGuardian.isOfSQLite(name) { return SQLITE_OK }
      return deny("reading \(name)")
    case SQLITE_FUNCTION:
      let name = second?.lowercased() ?? ""
      return SQLGuardian.refusedFunctions.contains(name) ? deny("the function \(name)") : SQLITE_OK
    case SQLITE_PRAGMA: return deny("PRAGMA \(first ?? "")")
    case SQLITE_ATTACH: return deny("ATTACH")
    case SQLITE_DETACH: return deny("DETACH")
    case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE: return deny("writing")
    case SQLITE_TRANSACTION, SQLITE_SAVEPOINT: return deny("a transaction")
    default: return deny("changing the database")
    }
  }

  /// Tables that tell of the connection's insides.
  private static func isOfSQLite(_ name: String) -> Bool {
    let name = name.lowercased()
    return name.hasPrefix("sqlite_") || name.hasPrefix("pragma_")
      || ["dbstat", "bytecode", "tables_used", "fts3tokenize"].contains(name)
  }

  private func deny(_ what: String) -> Int32 {
    refusal = refusal ?? SQLGuardian.refused(what)
    return SQLITE_DENY
  }

  /// Asked every few hundred steps of SQLite's machine.
  func mayContinue() -> Bool {
    if stop.isSet {
      refusal = QueryFailure(
        504, "sql_timeout",
        "the statement ran longer than \(DurationText.text(limits.timeout.nanoseconds)): bound window_start, or pass a longer timeout"
      )
    } else if sqlite3_memory_used() - memoryBefore > Int64(limits.memoryBytesMax) {
      refusal = SQLGuardian.outOfMemory
    }
    return refusal == nil
  }
}
