import Foundation
import SQLite
import Testing

@Suite("SQLite connections") struct SQLiteConnectionTests {
  private let db: SQLiteConnection

  init() throws {
    db = try SQLiteConnection(path: ":memory:")
    try db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT, bytes BLOB)")
  }

  private var count: Int? { get throws { try db.first("SELECT count(*) FROM t") { $0.int(0) } } }

  @Test("values come back as they were bound: NULL, empty and NUL bytes among them")
  func values() throws {
    let texts: [String?] = ["", "a\0b", "ß🙂", nil]
    let blobs: [[UInt8]?] = [[], [0, 255], nil, Array(repeating: 7, count: 100_000)]
    for (index, (text, bytes)) in zip(texts, blobs).enumerated() {
      try db.run("INSERT INTO t VALUES (?, ?, ?)", Int64.min + Int64(index), text, bytes)
    }
    let rows = try db.rows("SELECT id, text, bytes FROM t ORDER BY id") { row in
      (row.int64(0), row.optionalText(1), row.isNull(2) ? nil : Array(row.bytes(2)))
    }
    #expect(rows.map(\.0) == (0..<4).map { Int64.min + $0 })
    #expect(rows.map(\.1) == texts)
    #expect(rows.map(\.2) == blobs)
  }

  @Test("a statement that fails says its code, message and text, and is usable again")
  func failure() throws {
    try db.run("INSERT INTO t (id) VALUES (?)", 1)
    for _ in 0..<2 {
      let error = #expect(throws: SQLiteError.self) { try db.run("INSERT INTO t (id) VALUES (?)", 1) }
      #expect(error?.code == 1555 && error?.sql == "INSERT INTO t (id) VALUES (?)")
      #expect(error?.message.contains("UNIQUE") == true)
    }
    try db.run("INSERT INTO t (id) VALUES (?)", 2)
    #expect(try count == 2)
    let unknown = #expect(throws: SQLiteError.self) { try db.run("SELECT nothing FROM nowhere") }
    #expect(unknown?.description.contains("nowhere") == true)
  }

  @Test("a transaction is all or nothing, whoever throws within it")
  func transactions() throws {
    struct Refused: Error {}
    #expect(throws: Refused.self) {
      try db.transaction {
        try db.run("INSERT INTO t (id) VALUES (1)")
        throw Refused()
      }
    }
    #expect(try count == 0)
    #expect(throws: SQLiteError.self) {
      try db.transaction {
        try db.run("INSERT INTO t (id) VALUES (1)")
        // SQLite rolls back by itself here.
        try db.run("INSERT OR ROLLBACK INTO t (id) VALUES (1)")
      }
    }
    #expect(try count == 0)
    try db.transaction { try db.run("INSERT INTO t (id) VALUES (1)") }
    #expect(try count == 1)
  }

  @Test("one text can be in use twice at a time, and a scope that is left early leaves no value behind")
  func nested() throws {
    for id in 1...3 { try db.run("INSERT INTO t (id) VALUES (?)", id) }
    let sql = "SELECT id FROM t WHERE id > coalesce(?, 0) ORDER BY id"
    var pairs: [[Int]] = []
    for outer in try db.rows(sql, 1, body: { $0.int(0) }) {
      try db.withStatement(sql) { first in
        try first.bind([outer - 1])
        #expect(try first.step())
        pairs.append([outer, first.int(0), try #require(try db.first(sql, nil) { $0.int(0) })])
      }
    }
    #expect(pairs == [[2, 2, 1], [3, 3, 1]])
  }

  @Test("a writer waits for another, up to the busy timeout, and then says so")
  func busy() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-sqlite-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let one = try SQLiteConnection(path: path)
    let other = try SQLiteConnection(path: path, busyTimeout: .milliseconds(20))
    try one.execute("CREATE TABLE t (id INTEGER)")
    try one.transaction {
      let error = #expect(throws: SQLiteError.self) { try other.run("INSERT INTO t VALUES (1)") }
      #expect(error?.code == 5)
    }
    try other.run("INSERT INTO t VALUES (1)")
  }

  @Test("what is no database is told apart from what is not there")
  func damage() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-sqlite-\(UUID())").path
    let missing = #expect(throws: SQLiteError.self) { try SQLiteConnection(path: path, access: .readOnly) }
    #expect(missing?.isDamage == false)
    try Data(repeating: 0x2A, count: 8192).write(to: URL(filePath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let db = try SQLiteConnection(path: path)
    let error = #expect(throws: SQLiteError.self) { try db.first("SELECT count(*) FROM sqlite_master") { $0.int(0) } }
    #expect(error?.isDamage == true)
  }
}
