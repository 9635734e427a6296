import CSQLite

/// The listing of a prepared statement's program, from `EXPLAIN`: https://www.sqlite.org/opcode.html
///
/// It shows which plans SQLite took for its scans, before any of them runs, and the operands of each comparison.
struct SQLProgram {
  struct Instruction {
    var opcode: String
    var p1: Int
    var p2: Int
    var p3: Int
    var p4: String
    var p5: Int
  }

  static let prefix = "EXPLAIN "

  var instructions: [Instruction] = []

  /// - Returns: Nil when SQLite does not list it; the connection's error has the reason.
  init?(of sql: String, on connection: OpaquePointer) {
    var statement: OpaquePointer?
    defer { sqlite3_finalize(statement) }
    guard sqlite3_prepare_v2(connection, "\(SQLProgram.prefix)\(sql)", -1, &statement, nil) == SQLITE_OK else { return nil }
    while true {
      switch sqlite3_step(statement) {
      case SQLITE_ROW:
        func number(_ column: Int32) -> Int { Int(sqlite3_column_int64(statement, column)) }
        func text(_ column: Int32) -> String { sqlite3_column_text(statement, column).map { String(cString: $0) } ?? "" }
        instructions.append(
          Instruction(opcode: text(1), p1: number(2), p2: number(3), p3: number(4), p4: text(5), p5: number(6)))
      case SQLITE_DONE: return
      default: return nil
      }
    }
  }

  var scans: [(cursor: Int, name: SQLScanName)] {
    var scans: [(cursor: Int, name: SQLScanName)] = []
    for instruction in instructions where instruction.opcode == "VFilter" {
      if let name = SQLScanName(instruction.p4) { scans.append((instruction.p1, name)) }
    }
    return scans
  }
}
