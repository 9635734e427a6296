import Events
import Expressions
import Testing
import Views

@testable import Query

private let sample = [
  Seen(partition: 0, hour: 0, source: "a", site: .string("x"), values: [1, 2]),
  Seen(partition: 0, hour: 1, source: "a", site: .string("x"), values: [4]),
  Seen(partition: 1, hour: 1, source: "b", site: .string("x"), values: [8, 16]),
  Seen(partition: 1, hour: 1, source: "b", site: .null, values: []),
  Seen(partition: 1, hour: 5, source: "b", site: .int(7), values: [64]),
]

// Long enough for a machine that has much else to do.
private func asking(_ configuration: QueryConfiguration = QueryConfiguration(sqlTimeout: .seconds(300))) throws -> Asking {
  let asking = Asking(configuration: configuration)
  asking.store.put(sample, try Hours.definition(), watermarks: [0: 3, 1: 6])
  asking.store.put(sample, try Hours.definition(name: "again"), watermarks: [0: 3, 1: 6])
  return asking
}

extension Asking {
  fileprivate func sql(_ sql: String, limit: Int? = nil, timeout: String? = nil) async -> Reply {
    var body: JSONObject = JSONObject()
    body["sql"] = .string(sql)
    body["limit"] = limit.map { .int(Int64($0)) }
    body["timeout"] = timeout.map { .string($0) }
    return await post("/v1/sql", .object(body))
  }

  /// The rows' values, without their names.
  fileprivate func values(_ sql: String) async throws -> [[JSONValue]] {
    let reply = await self.sql(sql)
    try #require(reply.status == 200, "\(sql): \(reply.text)")
    return try reply.array("rows").map { row in
      guard case .object(let members) = row else { return [] }
      return members.map(\.value)
    }
  }
}

@Test("every column of a view is a column of its table, with its type, and the answer says what it is as of")
func sqlShape() async throws {
  let reply = try await asking().sql("SELECT * FROM hourly WHERE window_start < '1970-01-01T01:00:00Z'")
  #expect(
    reply.text == """
      {"columns":[{"name":"window_start","type":"timestamp"},\
      {"name":"window_end","type":"timestamp"},{"name":"final","type":"boolean"},{"name":"source","type":"string"},\
      {"name":"site","type":"any"},{"name":"n","type":"int64"},{"name":"total","type":"double"},{"name":"mean","type":"double"},\
      {"name":"low","type":"double"},{"name":"high","type":"double"}],"rows":[{"window_start":"1970-01-01T00:00:00Z",\
      "window_end":"1970-01-01T01:00:00Z","final":true,"source":"a","site":"x","n":2,"total":3.0,"mean":1.5,\
      "low":1.0,"high":2.0}],"as_of":{"hourly":{"0":10,"1":10}},"generations":{"hourly":1},"truncated":false}
      """)
}

@Test("computed columns have the type of their values, and names that come twice are told apart")
func sqlTypes() async throws {
  let reply = try await asking().sql(
    "SELECT sum(n) AS events, avg(mean), 'x' AS t, NULL AS absent, h.n, h.n FROM hourly h GROUP BY source ORDER BY source")
  #expect(try reply.array("columns").map { $0["type"]?.string } == ["int64", "double", "string", "any", "int64", "int64"])
  #expect(try reply.array("columns").map { $0["name"]?.string } == ["events", "avg(mean)", "t", "absent", "n", "n_2"])
  #expect(try reply.array("rows").map { $0["events"]?.number } == [3, 3])
}

@Test("conditions give what they say, however they are pushed down")
func sqlConditions() async throws {
  let asking = try asking()
  func count(_ condition: String) async throws -> Double? {
    try await asking.values("SELECT count(*) FROM hourly WHERE \(condition)").first?.first?.number
  }
  for (condition, expected) in [
    ("source = 'a'", 2), ("source = 'A'", 0), ("source = 'A' COLLATE NOCASE", 2), ("source = 'a' OR source = 'b'", 5),
    ("source IN ('a', 'c')", 2), ("source > 'a'", 3), ("site = 7", 1), ("site = '7'", 0), ("site IS NULL", 1), ("site = NULL", 0),
    ("window_start >= '1970-01-01T01:00:00Z'", 4), ("window_start > '1970-01-01T01:00:00Z'", 1),
    ("window_start = '1970-01-01T02:00:00+01:00'", 3), ("window_start <= '1970-01-01'", 1), ("window_start < '1970-01-01'", 0),
    ("window_start >= '1970-01-02' AND window_start < '1970-01-01'", 0),
    ("window_start BETWEEN '1970-01-01T00:00:00Z' AND '1970-01-01T01:00:00Z'", 4), ("'1970-01-01T05:00:00Z' = window_start", 1),
    ("window_start = (SELECT max(window_start) FROM hourly)", 1), ("window_end > '1970-01-01T02:00:00Z'", 1),
    ("window_start > '1970-01-01T04:00:00Z' OR source = 'a'", 3), ("final", 4), ("NOT final", 1), ("total IS NULL", 1),
    ("source = 5", 0), ("source LIKE 'A'", 2), ("rowid = 0", 1),
  ] {
    #expect(try await count(condition) == Double(expected), "\(condition)")
  }
}

@Test("times and keys that are constants reach the store, and nothing narrower than all scans need")
func sqlPushdown() async throws {
  let asking = try asking()
  func request(_ sql: String) async throws -> [ViewReadRequest] {
    asking.store.state.withLock { $0.requests = [] }
    _ = try await asking.values(sql)
    return asking.store.state.withLock { $0.requests }
  }
  let narrow = try await request(
    "SELECT * FROM hourly WHERE window_start >= '1970-01-01T01:00:00Z' AND window_start < '1970-01-01T03:00:00Z' AND source = 'b'"
  )
  #expect(narrow.count == 1)
  #expect(narrow.first?.from?.nanoseconds == Hours.hour)
  #expect(narrow.first?.to?.nanoseconds == 3 * Hours.hour)
  #expect(narrow.first?.keyFilter?.text == #"source == "b""#)
  let union = try await request(
    """
    SELECT * FROM hourly WHERE source = 'b' AND window_start > '1970-01-01T01:00:00Z'
    UNION ALL SELECT * FROM hourly WHERE source = 'b' AND window_start = '1970-01-01T00:00:00Z'
    """)
  #expect(union.count == 1, "one moment for both")
  #expect(union.first?.from?.nanoseconds == 0)
  #expect(union.first?.to == nil)
  #expect(union.first?.keyFilter?.text == #"source == "b""#)
  #expect(try await request("SELECT 1").isEmpty)
  #expect(try await request("SELECT * FROM hourly WHERE source = 'a' OR n = 1").first?.keyFilter == nil)
}

@Test("views are joined, by keys and windows, inner and outer")
func sqlJoins() async throws {
  let asking = try asking()
  let joined = try await asking.values(
    """
    SELECT a.source, count(*) FROM hourly a JOIN again b ON a.source = b.source AND a.window_start = b.window_start
    GROUP BY 1 ORDER BY 1
    """)
  #expect(joined.map { $0.map(\.text) } == [[#""a""#, "2"], [#""b""#, "5"]])
  let outer = try await asking.values(
    """
    SELECT a.source, b.n FROM hourly a LEFT JOIN again b ON b.source = a.source AND b.window_start = '1970-01-01T05:00:00Z'
    ORDER BY a.window_start, a.source
    """)
  #expect(outer.map { $0.map(\.text) }.prefix(2) == [[#""a""#, "null"], [#""a""#, "null"]])
  #expect(outer.count == 5)
  let reply = await asking.sql("SELECT 1 FROM hourly, again LIMIT 1")
  #expect(try reply.member("as_of")?.text == #"{"hourly":{"0":10,"1":10},"again":{"0":10,"1":10}}"#)
}

@Test(
  "what does not only read the views is refused",
  arguments: [
    "ATTACH '/tmp/x.db' AS x", "PRAGMA journal_mode", "SELECT * FROM pragma_database_list", "CREATE TABLE x (a)",
    "INSERT INTO hourly VALUES (1)", "DELETE FROM hourly", "DROP TABLE hourly", "SELECT load_extension('x')",
    "SELECT readfile('/etc/passwd')", "SELECT writefile('/tmp/x', 'y')", "BEGIN", "VACUUM", "SELECT * FROM sqlite_master",
    "SELECT 1; SELECT 2", "CREATE TEMP VIEW v AS SELECT 1", "EXPLAIN INSERT INTO hourly VALUES (1)", "DETACH main", "REINDEX",
    "ANALYZE",
    "VACUUM INTO '/tmp/x.db'", "SAVEPOINT a",
  ])
func sqlRefused(sql: String) async throws {
  let reply = try await asking().sql(sql)
  #expect(reply.status == 403, "\(reply.text)")
  #expect(try reply.string("code") == "sql_refused")
}

@Test("an error in the statement is shown with its place")
func sqlErrors() async throws {
  let asking = try asking()
  let reply = await asking.sql("SELECT n\nFROM hourly WHRE n > 1")
  #expect(reply.status == 400)
  #expect(try reply.string("code") == "invalid_sql")
  #expect(
    try reply.string("detail") == "sql: line 2, column 18: near \"n\": syntax error\nFROM hourly WHRE n > 1\n                 ^")
  #expect(try reply.member("position") == .int(26))
  for sql in [
    "", "  -- nothing", "SELECT ?", "SELECT x FROM hourly", "SELECT * FROM nothing", "SELECT abs(-9223372036854775808)",
  ] {
    #expect(try await asking.sql(sql).string("code") == "invalid_sql", "\(sql)")
  }
  for body: JSONValue in [[:], ["sql": .int(1)], ["sql": .string("SELECT 1"), "limt": .int(1)], .array([])] {
    #expect(await asking.post("/v1/sql", body).status == 400)
  }
}

@Test("a statement without end is stopped, by time or by memory")
func sqlBounds() async throws {
  let timed = try asking(QueryConfiguration(sqlTimeout: .seconds(60)))
  let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
  let reply = await timed.sql(endless, timeout: "50ms")
  #expect(reply.status == 504)
  #expect(try reply.string("code") == "sql_timeout")
  let small = try asking(QueryConfiguration(sqlTimeout: .seconds(60), sqlMemoryBytesMax: 4 << 20))
  let greedy = await small.sql("WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c) SELECT count(*) FROM c")
  #expect(greedy.status == 422, "\(greedy.text)")
  #expect(try greedy.string("code") == "sql_too_large")
  let narrow = try asking(QueryConfiguration(sqlViewRowsMax: 3))
  let wide = await narrow.sql("SELECT n FROM hourly")
  #expect(
    wide.status == 422 && wide.text.contains("more than 3 rows") && wide.text.contains("query.sql_view_rows_max"), "\(wide.text)")
  #expect(try await narrow.values("SELECT 1").count == 1, "a statement that reads no view has no rows of one")
  let brief = try asking(QueryConfiguration(sqlAnswerBytesMax: 1 << 10))
  let long = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000) SELECT x FROM c"
  let verbose = await brief.sql(long)
  #expect(verbose.status == 422 && verbose.text.contains("query.sql_answer_bytes_max"), "\(verbose.text)")
  #expect(try await brief.values("SELECT 1").count == 1)
  // The threads are free again.
  #expect(try await timed.values("SELECT 1").count == 1)
}

@Test("limit cuts the rows and says so; csv and ndjson say it in headers")
func sqlLimit() async throws {
  let asking = try asking()
  let cut = await asking.sql("SELECT n FROM hourly", limit: 2)
  #expect(try cut.array("rows").count == 2)
  #expect(try cut.member("truncated") == .bool(true))
  #expect(try await asking.sql("SELECT n FROM hourly", limit: 5).member("truncated") == .bool(false))
  let body: JSONValue = ["sql": .string("SELECT source, site, n FROM hourly ORDER BY rowid LIMIT 4")]
  let csv = await asking.post("/v1/sql", body, accept: "text/csv")
  #expect(csv.text == "source,site,n\r\na,x,2\r\na,x,1\r\nb,,0\r\nb,x,2\r\n")
  #expect(csv.headers["Penstock-As-Of"] == #"{"hourly":{"0":10,"1":10}}"#)
  #expect(csv.headers["Penstock-Truncated"] == "false")
  let lines = await asking.post("/v1/sql", body, accept: "application/x-ndjson")
  #expect(lines.text.split(separator: "\n").first == #"{"source":"a","site":"x","n":2}"#)
}

@Test("a view whose definition has changed is read by its new one")
func sqlGenerations() async throws {
  let asking = try asking()
  _ = try await asking.values("SELECT n FROM hourly")
  asking.store.put(Array(sample.prefix(1)), try Hours.definition(allowedLateness: 0), generation: 2, watermarks: [0: 3])
  let reply = await asking.sql("SELECT n FROM hourly")
  #expect(try reply.array("rows").count == 1)
  #expect(try reply.member("generations")?.text == #"{"hourly":2}"#)
}

@Test("an outer join keeps the rows of its left side, whatever its condition says of them")
func sqlOuterJoins() async throws {
  let asking = Asking(configuration: QueryConfiguration(sqlTimeout: .seconds(300)))
  let rows = (0..<6).map { Seen(partition: 0, hour: $0, source: "s", site: .null, values: [1]) }
  asking.store.put(rows, try Hours.definition(name: "a"))
  asking.store.put(rows, try Hours.definition(name: "b"))
  for (join, expected) in [
    ("a LEFT JOIN b ON b.window_start = a.window_start AND a.window_start >= '1970-01-01T04:00:00Z'", 6),
    ("a LEFT JOIN b ON b.window_start = a.window_start AND a.source = 'none'", 6),
    ("b RIGHT JOIN a ON b.window_start = a.window_start AND a.window_start >= '1970-01-01T04:00:00Z'", 6),
    ("a FULL JOIN b ON b.window_start = a.window_start AND a.window_start >= '1970-01-01T04:00:00Z'", 10),
    ("a LEFT JOIN b ON b.window_start = a.window_start AND b.window_start >= '1970-01-01T04:00:00Z'", 6),
    ("a JOIN b ON b.window_start = a.window_start AND a.window_start >= '1970-01-01T04:00:00Z'", 2),
  ] {
    let found = try await asking.values("SELECT a.window_start, b.window_start FROM \(join)")
    #expect(found.count == expected, "\(join): \(found)")
  }
  asking.store.state.withLock { $0.requests = [] }
  _ = try await asking.values(
    "SELECT 1 FROM a JOIN b ON b.window_start = a.window_start AND a.window_start >= '1970-01-01T04:00:00Z'")
  let bounded = asking.store.state.withLock { $0.requests }.first { $0.view == "a" }
  #expect(bounded?.from?.nanoseconds == 4 * Hours.hour, "what does bound a scan is still read alone")
}

@Test(
  "times compare as times, however they are written: with a space, without seconds or offset, as SQLite's functions give them")
func sqlTimesAsWritten() async throws {
  let asking = try asking()
  func count(_ condition: String) async throws -> Double? {
    try await asking.values("SELECT count(*) FROM hourly WHERE \(condition)").first?.first?.number
  }
  for (condition, expected) in [
    ("window_start = '1970-01-01 01:00:00'", 3), ("window_start >= '1970-01-01 01:00:00'", 4),
    ("window_start > '1970-01-01 01:00'", 1),
    ("window_start = '1970-01-01T01:00:00'", 3), ("window_start = '1970-01-01 02:00:00.000+01:00'", 3),
    ("window_start = '1970-01-01 01:00:00Z'", 3), ("window_start = datetime('1970-01-01 00:30:00', '+30 minutes')", 3),
    ("window_start < datetime('now')", 5), ("window_start < current_timestamp", 5), ("window_start >= date('1970-01-01')", 5),
    ("window_start BETWEEN '1970-01-01 00:30:00' AND '1970-01-01 01:00:00'", 3),
    ("window_start IN ('1970-01-01 01:00:00', '1970-01-01 05:00:00', '1971-01-01')", 4),
    ("window_end = '1970-01-01 06:00:00'", 1),
    ("window_start = strftime('%Y-%m-%d %H:%M:%S', 3600, 'unixepoch')", 3), ("window_start >= '1970-01'", 5),
    ("window_start >= '1971'", 0),
    ("(SELECT max(window_start) FROM hourly) = '1970-01-01 05:00:00' COLLATE time", 5),
    ("source = '1970-01-01 01:00:00'", 0), ("datetime(window_start) = '1970-01-01 01:00:00'", 3),
    ("substr(window_start, 1, 10) = '1970-01-01'", 5), ("window_start LIKE '1970-01-01T01%'", 3),
  ] {
    #expect(try await count(condition) == Double(expected), "\(condition)")
  }
  let joined = try await asking.values(
    "SELECT count(*) FROM hourly h JOIN (SELECT '1970-01-01 01:00:00' AS t UNION SELECT datetime('1970-01-01 05:00:00')) x ON h.window_start = x.t"
  )
  #expect(joined.first?.first?.number == 4)
  // Tables of the statement's own are joined by an index with a filter before it, which must not go by the texts' lengths.
  let kept = try await asking.values(
    """
    WITH t AS MATERIALIZED (SELECT window_start AS w, source FROM hourly), u AS MATERIALIZED (SELECT '1970-01-01 01:00' AS w)
    SELECT count(*) FROM u LEFT JOIN t ON t.w = u.w WHERE t.source IS NOT NULL
    """)
  #expect(kept.first?.first?.number == 3)
  let ordered = try await asking.values("SELECT DISTINCT window_start FROM hourly ORDER BY window_start DESC")
  #expect(ordered.map { $0.first?.string } == [5, 1, 0].map { Hours.text($0) })
}

@Test(
  "a comparison that would take a time for text is refused, with what to write",
  arguments: [
    ("SELECT source FROM hourly GROUP BY source HAVING max(window_start) >= '1970-01-01 04:00:00'", "COLLATE time"),
    ("SELECT 1 FROM hourly WHERE (SELECT max(window_start) FROM hourly) < '1970-01-01 04:00:00'", "COLLATE time"),
    (
      "WITH t AS (SELECT source, max(window_start) AS m FROM hourly GROUP BY source) SELECT * FROM t WHERE m > datetime('now')",
      "COLLATE time"
    ),
    ("SELECT max(window_start) IN ('1970-01-01 04:00:00', 'x', 'y', 'z') FROM hourly", "COLLATE time"),
    ("SELECT 1 FROM hourly WHERE window_start > 1372636800", "is none"),
    ("SELECT 1 FROM hourly WHERE window_start > unixepoch('now')", "is none"),
    ("SELECT 1 FROM hourly WHERE window_start >= '01.07.2013'", "is none"),
    ("SELECT 1 FROM hourly WHERE window_start >= '2013-07-01 00:00:00 UTC'", "is none"),
  ])
func sqlTimesRefused(sql: String, advice: String) async throws {
  let reply = try await asking().sql(sql)
  #expect(reply.status == 400 && reply.text.contains(advice), "\(sql): \(reply.text)")
}

@Test(
  "a comparison of computed times that is right is not refused",
  arguments: [
    "SELECT source FROM hourly GROUP BY source HAVING max(window_start) >= '1970-01-01T04:00:00Z'",
    "SELECT source FROM hourly GROUP BY source HAVING max(window_start) >= '1970-01-01 04:00:00' COLLATE time",
    "SELECT source FROM hourly GROUP BY source HAVING max(window_end) > min(window_start) AND source = 'b' AND count(*) > 1 AND max(n) >= 1 AND min(window_start) > '1970-01-01T00:00:00Z'",
    "SELECT source FROM (SELECT source, window_start AS w FROM hourly) WHERE w >= '1970-01-01 04:00:00' AND source <> 'a' GROUP BY source",
  ])
func sqlTimesComputed(sql: String) async throws {
  #expect(try await asking().values(sql) == [[.string("b")]])
}

@Test("true and 1 are two keys in SQL as in the view: alone, grouped, joined, in conditions")
func sqlBooleans() async throws {
  let asking = Asking(configuration: QueryConfiguration(sqlTimeout: .seconds(300)))
  let sites: [ResultValue] = [.bool(true), .int(1), .bool(false), .int(0), .string("true"), .string("1")]
  let rows = sites.map { Seen(partition: 0, hour: 0, source: "s", site: $0, values: [1]) }
  asking.store.put(rows, try Hours.definition())
  asking.store.put(rows, try Hours.definition(name: "again"))
  #expect(try await asking.values("SELECT site, count(*) FROM hourly GROUP BY site").count == 6)
  #expect(try await asking.values("SELECT DISTINCT site FROM hourly").count == 6)
  #expect(try await asking.values("SELECT 1 FROM hourly h JOIN again a ON h.site = a.site").count == 6)
  #expect(try await asking.values("SELECT site FROM hourly WHERE site = bool(true)") == [[.bool(true)]])
  #expect(try await asking.values("SELECT site FROM hourly WHERE site = 1") == [[.int(1)]])
  #expect(try await asking.values("SELECT max(site) FROM hourly") == [[.bool(true)]], "computed, too")
  #expect(try await asking.values("SELECT typeof(final), final FROM hourly LIMIT 1") == [[.string("integer"), .bool(false)]])
  #expect(
    Set(try await asking.values("SELECT site FROM hourly WHERE site IS TRUE").map { $0[0].text }) == ["true", "1", "\"1\""])
}

@Test("a key that is named like a word of the language is asked for in backticks, and pushed down")
func reservedNames() async throws {
  let asking = Asking(configuration: QueryConfiguration(sqlTimeout: .seconds(300)))
  let definition = ViewDefinition(
    name: "odd",
    keys: [KeyColumn(name: "in", path: .attribute("source")), KeyColumn(name: "true", path: .data(["site"]))],
    window: .tumble(size: Hours.hour), watermarkDelay: 0, allowedLateness: 0,
    aggregates: [AggregateColumn(name: "n", function: .countRows)])
  asking.store.put(
    [
      Seen(partition: 0, hour: 0, source: "a", site: .string("x"), values: []),
      Seen(partition: 0, hour: 0, source: "b", site: .string("y"), values: []),
    ], definition)
  for (condition, expected) in [
    ("`in` == \"a\"", 1), ("`true` == \"y\"", 1), ("`in` == \"a\" && `true` == \"y\"", 0), ("`in` in [\"a\", \"b\"]", 2),
  ] {
    let reply = await asking.get("/v1/views/odd", [("where", condition)])
    #expect(reply.status == 200, "\(reply.text)")
    #expect(try reply.array("rows").count == expected, "\(condition)")
  }
  let reply = await asking.get("/v1/views/odd", [("where", "in == \"a\"")])
  #expect(reply.status == 400 && reply.text.contains("`in`"), "\(reply.text)")
  asking.store.state.withLock { $0.requests = [] }
  #expect(try await asking.values("SELECT n FROM odd WHERE \"in\" = 'a'").count == 1)
  #expect(asking.store.state.withLock { $0.requests.first?.keyFilter?.text } == "`in` == \"a\"")
}
