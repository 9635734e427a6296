import CSQLite
import Dispatch
import Events
import Synchronization
import TestSupport
import Testing
import Views

@testable import Query

extension Asking {
  fileprivate func sql(_ sql: String, timeout: String? = nil) async -> Reply {
    var body = JSONObject()
    body["sql"] = .string(sql)
    body["timeout"] = timeout.map { .string($0) }
    return await post("/v1/sql", .object(body))
  }
}

@Suite("SQL: what one statement may take")
struct SQLBoundsTests {
  /// Each was minutes in one call of a function, in which SQLite asks nobody whether to go on.
  @Test(
    "a single call of a function ends within a statement's time",
    arguments: [
      "length(printf('%.*c', 2000000000, 'x'))", "length(format('%.2000000000c', 'x'))",
      "length(replace(hex(zeroblob(80000)), hex(zeroblob(40000)) || '1', 'x'))",
      "length(replace(hex(zeroblob(60000)), hex(zeroblob(30000)) || '1', 'x'))",
      "instr(hex(zeroblob(60000)), hex(zeroblob(30000)) || '1')",
      "length(trim(hex(zeroblob(60000)), replace(hex(zeroblob(60000)), '0', '1') || '0'))",
      "length(rtrim(hex(zeroblob(60000)), replace(hex(zeroblob(60000)), '0', '1') || '0'))",
      "hex(zeroblob(60000)) LIKE '%' || substr(hex(zeroblob(490)), 1) || '1%'",
      "hex(zeroblob(60000)) GLOB '*[1-9]*' || hex(zeroblob(400)) || '*1'",
      "length(printf('%100000000s', 'x'))", "length(hex(randomblob(1000000)))", "length(zeroblob(1000000000))",
    ])
  func singleCalls(call: String) async throws {
    let asking = Asking()
    let start = ContinuousClock.now
    let reply = await asking.sql("SELECT \(call) AS x", timeout: "1s")
    let took = ContinuousClock.now - start
    #expect([200, 422, 504].contains(reply.status), "\(reply.text)")
    #expect(took < .seconds(10), "\(call): \(took)")
  }

  @Test("a value beyond its bound is refused, with the setting that says so; a wider bound takes it")
  func valueBound() async throws {
    let reply = await Asking().sql("SELECT length(hex(zeroblob(70000))) AS x")
    #expect(reply.status == 422 && reply.text.contains("query.sql_value_bytes_max"), "\(reply.text)")
    let wide = Asking(configuration: QueryConfiguration(sqlValueBytesMax: 1 << 20))
    #expect(try await wide.sql("SELECT length(hex(zeroblob(70000))) AS x").array("rows") == [["x": .int(140_000)]])
  }

  @Test("waiting for a turn counts against a statement's time")
  func turns() async throws {
    let asking = Asking(configuration: QueryConfiguration(sqlThreads: 1, sqlTimeout: .seconds(60)))
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    async let first = asking.sql(endless, timeout: "2s")
    // It has the thread as soon as another waits.
    let second = await asking.sql("SELECT 1", timeout: "100ms")
    #expect(second.status == 504 || second.status == 200, "\(second.text)")
    #expect(await first.status == 504)
    #expect(await asking.sql("SELECT 1").status == 200)
  }

  @Test("a statement that is long to prepare is ended, too")
  func preparation() async throws {
    let asking = Asking()
    asking.store.put([], try Hours.definition())
    var sql = "WITH a0 AS (SELECT * FROM hourly)"
    for level in 1...24 { sql += ", a\(level) AS (SELECT x.* FROM a\(level - 1) x UNION ALL SELECT y.* FROM a\(level - 1) y)" }
    let start = ContinuousClock.now
    let reply = await asking.sql(sql + " SELECT count(*) FROM a24", timeout: "300ms")
    #expect(reply.status != 200)
    #expect(ContinuousClock.now - start < .seconds(10), "\(reply.text)")
  }

  @Test("work that does not end is told to, then left behind: others have a thread, and whoever waited is let go")
  func abandoned() async throws {
    let reports = Mutex<[String]>([])
    let threads = BoundedThreads(label: "test", threads: 1, waitingMax: 4) { report in
      reports.withLock { $0.append("\(report)") }
    }
    let gate = DispatchSemaphore(value: 0)
    let interrupted = Atomic<Bool>(false)
    let late = QueryFailure(504, "sql_timeout", "late")
    await #expect(throws: QueryFailure.self) {
      try await threads.withThread(until: .now + .seconds(60), late: late) { thread throws(QueryFailure) in
        try await thread.run(
          until: .now + .milliseconds(50), interrupt: { interrupted.store(true, ordering: .relaxed) }, late: late
        ) { () throws(QueryFailure) in
          gate.wait()
        }
      }
    }
    let wasInterrupted = interrupted.load(ordering: .relaxed)
    #expect(wasInterrupted)
    // Another thread stands in for the one that is kept.
    let answer = try await threads.withThread(until: .now + .seconds(60), late: late) { thread throws(QueryFailure) in
      try await thread.run(until: .now + .seconds(60), interrupt: {}, late: late) { () throws(QueryFailure) in 7 }
    }
    #expect(answer == 7)
    gate.signal()
    let limit = ContinuousClock.now + .seconds(30)
    while reports.withLock({ $0.count }) < 2, ContinuousClock.now < limit { await Task.yield() }
    #expect(reports.withLock { $0 } == ["abandoned(1)", "ended"])
    // There is still one thread, no more: a second piece of work waits for the first.
    let order = Mutex<[Int]>([])
    let hold = DispatchSemaphore(value: 0)
    async let first: Void = threads.withThread(until: .now + .seconds(60), late: late) { thread throws(QueryFailure) in
      try await thread.run(until: .now + .seconds(60), interrupt: {}, late: late) { () throws(QueryFailure) in
        order.withLock { $0.append(1) }
        hold.wait()
      }
    }
    while order.withLock({ $0.isEmpty }), ContinuousClock.now < limit { await Task.yield() }
    await #expect(throws: QueryFailure.self) {
      try await threads.withThread(until: .now + .milliseconds(50), late: late) { _ throws(QueryFailure) in
        order.withLock { $0.append(2) }
      }
    }
    hold.signal()
    try await first
    #expect(order.withLock { $0 } == [1])
  }

  @Test(
    "functions in the place of SQLite's own give what those give", arguments: DifferentialSeeds.range(20))
  func functionsDifferential(seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let asking = Asking(configuration: QueryConfiguration(sqlTimeout: .seconds(300)))
    var plain: OpaquePointer?
    try #require(sqlite3_open_v2(":memory:", &plain, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, nil) == SQLITE_OK)
    defer { sqlite3_close_v2(plain) }
    func text() -> String {
      let alphabet = ["a", "A", "b", "é", "€", "%", "_", "*", "?", "[", "]", "^", "-", "a", "a"]
      let count = Int.random(in: 0...7, using: &random)
      let text = "'" + (0..<count).map { _ in alphabet.randomElement(using: &random) ?? "" }.joined() + "'"
      return [text, text, text, text, text, text, "NULL", "12", "1.5", "x'61c3a9'"].randomElement(using: &random) ?? text
    }
    for _ in 0..<40 {
      let call =
        [
          "trim(\(text()), \(text()))", "ltrim(\(text()), \(text()))", "rtrim(\(text()), \(text()))",
          "instr(\(text()), \(text()))",
          "replace(\(text()), \(text()), \(text()))", "\(text()) LIKE \(text())", "\(text()) LIKE \(text()) ESCAPE '_'",
          "\(text()) GLOB \(text())", "\(text()) NOT LIKE \(text())",
          "printf('%5.2f|%-4s|%04d|%.3c', 1.5, \(text()), 7, \(text()))",
          "format(\(text()), 1, 2)", "json_patch('{\"a\":1,\"b\":2}', '{\"a\":null,\"c\":3}')",
        ].randomElement(using: &random) ?? "1"
      let sql = "SELECT quote(\(call)) AS x"
      var statement: OpaquePointer?
      var expected: String?
      if sqlite3_prepare_v2(plain, sql, -1, &statement, nil) == SQLITE_OK, sqlite3_step(statement) == SQLITE_ROW {
        expected = String(cString: sqlite3_column_text(statement, 0))
      }
      sqlite3_finalize(statement)
      let reply = await asking.sql(sql)
      let found = reply.status == 200 ? try reply.array("rows").first?["x"]?.string : nil
      #expect(found.map { Array($0.utf8) } == expected.map { Array($0.utf8) }, "seed \(seed): \(sql): \(reply.text)")
    }
  }
}
