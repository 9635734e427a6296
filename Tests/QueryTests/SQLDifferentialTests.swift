import CSQLite
import Events
import Expressions
import TestSupport
import Testing
import Views

@testable import Query

/// Two views as a service answers for them, and the same rows as plain tables of SQLite's, where nothing is pushed down.
private final class Twins {
  private let asking: Asking
  private let plain: OpaquePointer

  init(_ random: inout SeededGenerator) throws {
    asking = Asking(configuration: QueryConfiguration(sqlTimeout: .seconds(300)))
    var opened: OpaquePointer?
    try #require(sqlite3_open_v2(":memory:", &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, nil) == SQLITE_OK)
    plain = try #require(opened)
    let collation = sqlite3_create_collation_v2(
      plain, SQLTime.collation, SQLITE_UTF8, nil,
      { _, aCount, a, bCount, b in
        SQLTime.order(
          UnsafeRawBufferPointer(start: a, count: Int(aCount)), UnsafeRawBufferPointer(start: b, count: Int(bCount)))
      }, nil)
    try #require(collation == SQLITE_OK && penstock_without_bloom_filters(plain) == SQLITE_OK)
    for name in ["hourly", "again"] {
      let definition = try Hours.definition(name: name)
      let rows = Twins.rows(&random)
      asking.store.put(rows, definition, watermarks: [0: 3, 1: 6])
      try fill(definition, Hours.rows(rows, definition))
    }
  }

  /// A plain table of the rows.
  private func fill(_ definition: ViewDefinition, _ rows: PartialRows) throws {
    let table = SQLTable(definition, generation: 1)
    try run("CREATE TABLE plain_\(definition.name)(\(table.columnDeclarations))")
    let finality = Finality(definition: definition, keptKeys: nil, Finality.Partitions([:]))
    let source = SQLRows(rows, finality: finality, table: table)
    let columns = table.schema.columns.indices
    for row in 0..<rows.count {
      let values = columns.map { column -> String in
        switch source.value(row: row, column: column, keys: rows.keys(row)) {
        case .null: "NULL"
        case .bool(let value): column == 2 ? (value ? "1" : "0") : (value ? "x'31'" : "x'30'")
        case .int(let value): "\(value)"
        case .uint(let value): "\(value)"
        case .double(let value): "\(value)"
        case .string(let value): "'\(value)'"
        case .time(let value): "'\(value)'"
        }
      }
      try run("INSERT INTO plain_\(definition.name) VALUES (\(values.joined(separator: ", ")))")
    }
  }

  deinit { sqlite3_close_v2(plain) }

  private static func rows(_ random: inout SeededGenerator) -> [Seen] {
    let sources = ["a", "b", "7", "caf\u{E9}", "cafe\u{301}", "2024-01-01 12:00:00", ""]
    let sites: [ResultValue] = [.string("x"), .int(1), .bool(true), .bool(false), .string("1"), .null, .double(1.5), .int(0)]
    var seen: Set<[String]> = []
    return (0..<Int.random(in: 0...30, using: &random)).compactMap { _ in
      let hour = Int.random(in: 0...6, using: &random)
      let source = sources.randomElement(using: &random) ?? ""
      let site = sites.randomElement(using: &random) ?? .null
      // A view has a row once; texts that are equal to Swift are two keys.
      guard seen.insert(["\(hour)", "\(Array(source.utf8))", "\(site)"]).inserted else { return nil }
      let values = (0..<Int.random(in: 0...3, using: &random)).map { _ in Double(Int.random(in: 0...9, using: &random)) }
      return Seen(partition: Int.random(in: 0...1, using: &random), hour: hour, source: source, site: site, values: values)
    }
  }

  private func run(_ sql: String) throws {
    try #require(sqlite3_exec(plain, sql, nil, nil, nil) == SQLITE_OK, "\(sql): \(String(cString: sqlite3_errmsg(plain)))")
  }

  /// The rows, each as text; nil with the error where there are none.
  func plainRows(_ sql: String) -> (rows: [String]?, error: String) {
    var sql = sql
    for (ours, theirs) in [("hourly ", "plain_hourly "), ("again ", "plain_again "), ("bool(1)", "x'31'"), ("bool(0)", "x'30'")] {
      sql = sql.replacing(ours, with: theirs)
    }
    var statement: OpaquePointer?
    defer { sqlite3_finalize(statement) }
    guard sqlite3_prepare_v2(plain, sql, -1, &statement, nil) == SQLITE_OK else {
      return (nil, String(cString: sqlite3_errmsg(plain)))
    }
    var rows: [String] = []
    while sqlite3_step(statement) == SQLITE_ROW {
      rows.append((0..<sqlite3_column_count(statement)).map { text(statement, $0) }.joined(separator: "|"))
    }
    return (rows.sorted(), "")
  }

  private func text(_ statement: OpaquePointer?, _ column: Int32) -> String {
    switch sqlite3_column_type(statement, column) {
    case SQLITE_NULL: return "null"
    case SQLITE_INTEGER: return "\(sqlite3_column_int64(statement, column))"
    case SQLITE_FLOAT: return JSONValue.double(sqlite3_column_double(statement, column)).text
    case SQLITE_BLOB:
      let blob = UnsafeRawBufferPointer(
        start: sqlite3_column_blob(statement, column), count: Int(sqlite3_column_bytes(statement, column)))
      return SQLBoolean.value(blob).map { "\($0)" } ?? "blob"
    default: return JSONValue.string(String(cString: sqlite3_column_text(statement, column))).text
    }
  }

  func served(_ sql: String) async throws -> (rows: [String]?, error: String) {
    let reply = await asking.post("/v1/sql", ["sql": .string(sql), "limit": .int(100_000)])
    guard reply.status == 200 else { return (nil, reply.text) }
    let rows = try reply.array("rows").map { row in
      guard case .object(let members) = row else { return "" }
      return members.map(\.value.text).joined(separator: "|")
    }
    return (rows.sorted(), "")
  }
}

/// Random statements over `hourly` and `again`: joins of all kinds, conditions in ON and WHERE, subqueries, unions.
private struct Statements {
  var random: SeededGenerator

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
  mutating func pick(_ texts: [String]) -> String { texts.randomElement(using: &random) ?? "" }

  mutating func time() -> String {
    let hour = Int.random(in: 0...7, using: &random)
    return pick([
      "'1970-01-01T0\(hour):00:00Z'", "'1970-01-01 0\(hour):00:00'", "'1970-01-01 0\(hour):00'",
      "'1970-01-01T0\(hour):30:00+00:30'", "'1970-01-01'",
      "datetime('1970-01-01 0\(hour):00:00')", "'1970-01-01 0\(hour):00:00.000'", "'1970'",
    ])
  }

  mutating func source() -> String {
    pick(["'a'", "'b'", "'7'", "'caf\u{E9}'", "'cafe\u{301}'", "'2024-01-01 12:00:00'", "''", "7"])
  }
  mutating func site() -> String { pick(["'x'", "1", "'1'", "1.5", "bool(1)", "bool(0)", "0"]) }
  mutating func comparison() -> String { pick(["=", "=", "<", "<=", ">", ">=", "<>"]) }

  mutating func condition(_ tables: [String], depth: Int = 2) -> String {
    if depth > 0, chance(45) {
      let a = condition(tables, depth: depth - 1), b = condition(tables, depth: depth - 1)
      return pick(["(\(a) AND \(b))", "(\(a) AND \(b))", "(\(a) OR \(b))", "NOT (\(a))"])
    }
    let table = pick(tables), other = pick(tables)
    switch Int.random(in: 0..<14, using: &random) {
    case 0, 1, 2: return "\(table).window_start \(comparison()) \(time())"
    case 3: return "\(table).window_start BETWEEN \(time()) AND \(time())"
    case 4: return "\(table).window_start IN (\(time()), \(time()), \(time()))"
    case 5: return "\(table).source = \(source())"
    case 6: return "\(table).source IN (\(source()), \(source()))"
    case 7: return "\(table).site \(comparison()) \(site())"
    case 8: return "\(table).window_start \(comparison()) \(other).window_start"
    case 9: return "\(table).source = \(other).source"
    case 10: return "\(table).site = \(other).site"
    case 11:
      return pick(["\(table).site IS NULL", "\(table).n > 1", "\(table).total IS NOT NULL", "\(table).source IS \(source())"])
    case 12: return "\(time()) \(comparison()) \(table).window_start"
    default:
      let name = pick(["hourly", "again"])
      return pick([
        "EXISTS (SELECT 1 FROM \(name) s WHERE s.source = \(table).source AND s.window_start \(comparison()) \(time()))",
        "\(table).source IN (SELECT s.source FROM \(name) s WHERE s.window_start \(comparison()) \(table).window_start)",
        "\(table).window_start = (SELECT max(s.window_start) FROM \(name) s WHERE s.source = \(source()))",
        "\(table).window_start NOT IN (SELECT s.window_start FROM \(name) s WHERE s.source = \(source()))",
      ])
    }
  }

  mutating func select() -> String {
    let names = ["t", "u", "v"].prefix(Int.random(in: 1...3, using: &random))
    var from = ""
    var tables: [String] = []
    for name in names {
      tables.append(name)
      let table = pick(["hourly", "again", "(SELECT * FROM hourly WHERE window_start \(comparison()) \(time()))"])
      guard tables.count > 1 else {
        from = "\(table) \(name)"
        continue
      }
      let join = pick(["JOIN", "LEFT JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
      from += " \(join) \(table) \(name) ON \(condition(tables, depth: 2))"
    }
    let filter = chance(60) ? " WHERE \(condition(tables))" : ""
    if chance(25) {
      let group = pick(["t.source", "t.site", "t.window_start", "t.site, t.source"])
      let having = chance(30) ? " HAVING count(*) > 1" : ""
      return "SELECT \(group), count(*), sum(t.n), max(t.window_start) FROM \(from)\(filter) GROUP BY \(group)\(having)"
    }
    let columns = tables.map { "\($0).window_start, \($0).source, \($0).site, \($0).n" }.joined(separator: ", ")
    return "SELECT \(chance(10) ? "DISTINCT " : "")\(columns) FROM \(from)\(filter)"
  }

  mutating func next() -> String {
    let first = select()
    guard chance(10) else { return first }
    return "SELECT t.source, t.window_start FROM hourly t WHERE \(condition(["t"])) "
      + pick(["UNION ALL", "UNION", "EXCEPT", "INTERSECT"])
      + " SELECT t.source, t.window_start FROM again t WHERE \(condition(["t"]))"
  }
}

@Suite("SQL, differential: views against plain tables of the same rows")
struct SQLDifferentialTests {
  private static let statementsPerSeed = 20

  @Test(
    "any statement gives the rows that it gives over plain tables, whatever of it is pushed down",
    arguments: DifferentialSeeds.range(20))
  func sameRows(seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let twins = try Twins(&random)
    var statements = Statements(random: random)
    for _ in 0..<SQLDifferentialTests.statementsPerSeed {
      let sql = statements.next()
      let expected = twins.plainRows(sql)
      let found = try await twins.served(sql)
      if expected.rows == nil || found.rows == nil {
        #expect(expected.rows == nil && found.rows == nil, "seed \(seed): \(sql): \(expected.error) \(found.error)")
      } else {
        #expect(found.rows == expected.rows, "seed \(seed): \(sql)")
      }
    }
  }
}
