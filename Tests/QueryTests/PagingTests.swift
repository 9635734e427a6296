import Events
import Expressions
import Serving
import TestSupport
import Testing

@testable import Query

private func random(_ seed: UInt64, count: Int) -> [Seen] {
  var random = SeededGenerator(seed: seed)
  var taken: Set<[Int]> = []
  return (0..<count).compactMap { _ in
    let (hour, source, site) = (
      Int.random(in: 0..<12, using: &random), Int.random(in: 0..<5, using: &random), Int.random(in: 0..<4, using: &random)
    )
    // A source has one partition, a store one row for a partition, window and key.
    guard taken.insert([hour, source, site]).inserted else { return nil }
    let sites: [ResultValue] = [.null, .int(1), .double(1.5), .string("s\u{0}é")]
    let values = (0..<Int.random(in: 0..<4, using: &random)).map { _ in Double(Int.random(in: -3...3, using: &random)) }
    return Seen(partition: source % 3, hour: hour - 6, source: "s\(source)", site: sites[site], values: values)
  }
}

@Test("all pages together are the whole, each row once, for any order and limit", arguments: 1...25 as ClosedRange<UInt64>)
func pages(seed: UInt64) async throws {
  var random = SeededGenerator(seed: seed &* 77)
  let asking = Asking()
  asking.store.put(QueryTests.random(seed, count: 120), try Hours.definition(), watermarks: [0: 2, 1: 4, 2: -3])
  var parameters: [(String, String)] = []
  var columns = ["window_start", "window_end", "final", "source", "site", "n", "total", "mean", "low", "high"]
  if Bool.random(using: &random) {
    let kept = [[], ["source"], ["site"], ["site", "source"]].randomElement(using: &random) ?? []
    parameters.append(("group_by", kept.joined(separator: ",")))
    columns.removeAll { ["source", "site"].contains($0) && !kept.contains($0) }
  }
  if Bool.random(using: &random) { parameters.append(("step", ["2h", "3h", "1d"].randomElement(using: &random) ?? "2h")) }
  if Bool.random(using: &random) { parameters.append(("from", Hours.text(Int.random(in: -6..<0, using: &random)))) }
  let order = columns.shuffled(using: &random).prefix(Int.random(in: 0...3, using: &random)).map {
    (Bool.random(using: &random) ? "-" : "") + $0
  }
  parameters.append(("order", order.joined(separator: ",")))
  let whole = try await asking.get("/v1/views/hourly", parameters + [("limit", "1000")]).array("rows")
  #expect(Set(whole.map(\.text)).count == whole.count)
  let limit = Int.random(in: 1...20, using: &random)
  var paged: [JSONValue] = []
  var cursor: String?
  repeat {
    let page = await asking.get(
      "/v1/views/hourly", parameters + [("limit", "\(limit)")] + (cursor.map { [("cursor", $0)] } ?? []))
    try #require(page.status == 200, "seed \(seed): \(page.text)")
    let rows = try page.array("rows")
    paged += rows
    cursor = try page.string("next_cursor")
    #expect(rows.count == limit || cursor == nil, "seed \(seed): a page that is not the last is full")
    try #require(paged.count <= whole.count, "seed \(seed), \(parameters)")
  } while cursor != nil
  #expect(paged == whole, "seed \(seed), limit \(limit), \(parameters)")
}

@Test("merging by group_by and step gives what a plain computation gives", arguments: 1...10 as ClosedRange<UInt64>)
func merging(seed: UInt64) async throws {
  let seen = random(seed, count: 150)
  let asking = Asking()
  asking.store.put(seen, try Hours.definition())
  for keys in [["source", "site"], ["source"], ["site"], []] {
    for step in [1, 2, 5, 24] {
      struct Group: Hashable {
        var start: Int
        var keys: [JSONValue]
      }
      var groups: [Group: [Double]] = [:]
      for row in seen {
        let start = Int((Double(row.hour) / Double(step)).rounded(.down)) * step
        let named = try ["source": JSONValue.string(row.source), "site": JSONValue(parsing: row.site.json)]
        groups[Group(start: start, keys: keys.compactMap { named[$0] }), default: []] += row.values
      }
      let parameters = [("group_by", keys.joined(separator: ",")), ("step", "\(step)h")]
      let rows = try await asking.get("/v1/views/hourly", parameters).array("rows")
      #expect(rows.count == groups.count, "seed \(seed), \(parameters)")
      for row in rows {
        let start = try #require(row["window_start"]?.string.flatMap { Timestamp(rfc3339: $0) }).nanoseconds / Hours.hour
        let values = try #require(
          groups[Group(start: Int(start), keys: keys.compactMap { row[$0] })], "seed \(seed): \(row.text)")
        let sum = values.reduce(0, +)
        #expect(row["n"]?.number == Double(values.count), "seed \(seed)")
        #expect(row["total"]?.number == (values.isEmpty ? nil : sum), "seed \(seed)")
        #expect(row["mean"]?.number == (values.isEmpty ? nil : sum / Double(values.count)), "seed \(seed)")
        #expect(row["low"]?.number == values.min(), "seed \(seed)")
        #expect(row["high"]?.number == values.max(), "seed \(seed)")
        #expect(row["window_end"]?.string == Hours.text(Int(start) + step))
      }
    }
  }
}

@Test("a cursor goes with its query only")
func foreignCursors() async throws {
  let asking = Asking()
  asking.store.put(random(1, count: 50), try Hours.definition())
  let cursor = try #require(try await asking.get("/v1/views/hourly", [("limit", "3"), ("order", "-n")]).string("next_cursor"))
  for other in [
    [], [("order", "n")], [("order", "-n"), ("from", "1969-12-31")], [("order", "-n"), ("group_by", "source")],
    [("order", "-n"), ("where", "true")], [("order", "-n"), ("step", "2h")],
  ] {
    let reply = await asking.get("/v1/views/hourly", other + [("cursor", cursor)])
    #expect(reply.status == 400)
    #expect(try reply.string("code") == "invalid_cursor", "\(other)")
  }
  #expect(
    await asking.get("/v1/views/hourly", [("order", "-n"), ("limit", "9"), ("format", "csv"), ("cursor", cursor)]).status == 200)
  // Nor with another view.
  asking.store.put(random(1, count: 50), try Hours.definition(name: "other"))
  #expect(try await asking.get("/v1/views/other", [("order", "-n"), ("cursor", cursor)]).string("code") == "invalid_cursor")
}

@Test("a damaged cursor is refused or pages on, and never traps", arguments: ["-n,site", "window_start", "-window_start"])
func damagedCursors(order: String) async throws {
  let asking = Asking()
  asking.store.put(random(2, count: 50), try Hours.definition())
  let query = [("order", order), ("from", Hours.text(-4)), ("to", Hours.text(5)), ("step", "2h")]
  let cursor = Array(
    try #require(try await asking.get("/v1/views/hourly", [("limit", "3")] + query).string("next_cursor")))
  for index in cursor.indices {
    for damaged in [Array(cursor[..<index]), cursor[..<index] + [cursor[index] == "A" ? "B" : "A"] + cursor[(index + 1)...]] {
      let reply = await asking.get("/v1/views/hourly", query + [("cursor", String(damaged))])
      #expect([200, 400, 410].contains(reply.status), "byte \(index)")
    }
  }
}

@Test("all pages are of the moment of the first, whatever comes between them", arguments: ["", "-n", "-window_start,total"])
func pinned(order: String) async throws {
  let asking = Asking()
  asking.store.put(random(3, count: 100), try Hours.definition())
  let query = [("limit", "13"), ("order", order)]
  let whole = try await asking.get("/v1/views/hourly", [("order", order)]).array("rows")
  var page = await asking.get("/v1/views/hourly", query)
  let asOf = try page.member("as_of")
  var rows = try page.array("rows")
  var generation = 1
  while let cursor = try page.string("next_cursor") {
    // Other rows, other offsets, and in the end another generation.
    generation = rows.count > 50 ? 2 : 1
    asking.store.put(random(UInt64(rows.count), count: 80), try Hours.definition(), generation: generation)
    asking.store.advance("hourly")
    page = await asking.get("/v1/views/hourly", query + [("cursor", cursor)])
    #expect(try page.member("as_of") == asOf)
    #expect(try page.member("generation") == .int(1))
    rows += try page.array("rows")
  }
  #expect(rows == whole)
  #expect(generation == 2)
}

@Test("a cursor whose result was let go works while nothing was counted since, and then says that it has expired")
func expired() async throws {
  let asking = Asking(configuration: QueryConfiguration(pinnedLifetime: .zero))
  asking.store.put(random(3, count: 100), try Hours.definition())
  let cursor = try #require(try await asking.get("/v1/views/hourly", [("limit", "13")]).string("next_cursor"))
  #expect(try await asking.get("/v1/views/hourly", [("limit", "3"), ("cursor", cursor)]).array("rows").count == 3)
  asking.store.advance("hourly")
  let reply = await asking.get("/v1/views/hourly", [("limit", "3"), ("cursor", cursor)])
  #expect(reply.status == 410)
  #expect(try reply.string("code") == "cursor_expired")
}

@Test("results are kept up to a number of bytes, the latest used")
func pinsAreBounded() throws {
  let definition = try Hours.definition()
  func pin(_ seed: UInt64) -> KeptResults.Pin {
    let query = ViewQuery(everyRowOf: definition, generation: 1)
    let finality = Finality(definition: definition, keptKeys: nil, Finality.Partitions([:]))
    return KeptResults.Pin(
      result: ViewResult(
        query: query, asOf: OffsetVector([PartitionID(0): Offset(Int64(seed))]),
        rows: Hours.rows(random(seed, count: 50), definition),
        finality: finality))
  }
  let bytes = pin(1).result.rows.approximateBytes
  let pins = KeptResults(bytesMax: bytes * 5 / 2, lifetime: .seconds(60))
  let start = ContinuousClock.now
  for number in 1...2 { pins.keep(pin(UInt64(number)), as: "\(number)", now: start + .seconds(number)) }
  #expect(pins.find("1", now: start + .seconds(3)) != nil)
  pins.keep(pin(3), as: "3", now: start + .seconds(4))
  #expect(pins.find("2", now: start + .seconds(4)) == nil)
  #expect(pins.find("1", now: start + .seconds(4)) != nil)
  #expect(pins.find("1", now: start + .seconds(65)) == nil)
}

@Test("large answers come in pieces that make one whole")
func pieces() async throws {
  let asking = Asking()
  let seen = (0..<2000).map {
    Seen(partition: 0, hour: $0, source: "s", site: .string(String(repeating: "x", count: $0 % 90)), values: [Double($0)])
  }
  asking.store.put(seen, try Hours.definition())
  for format in ["json", "ndjson", "csv"] {
    let answer = await asking.answer(HTTPRequest(.GET, "/v1/views/hourly?limit=100000&format=\(format)"))
    guard case .pieces(let first, var rest) = answer.body else {
      Issue.record("\(format): in one piece")
      continue
    }
    var bytes = first
    while let piece = try await rest.next() {
      #expect(piece.count < PageWriter.pieceBytes + 1024)
      bytes += piece
    }
    let text = String(decoding: bytes, as: UTF8.self)
    switch format {
    case "json":
      guard case .array(let rows)? = try JSONValue(parsing: text)["rows"] else {
        Issue.record("no rows")
        continue
      }
      #expect(rows.map { $0["high"]?.number } == (0..<2000).map { Double($0) })
    case "csv": #expect(text.split(separator: "\r\n").count == 2001)
    default: #expect(text.split(separator: "\n").count == 2000)
    }
  }
}

@Test("rows that merging would leave as they are, are known as such, and no others", arguments: 1...20 as ClosedRange<UInt64>)
func merged(seed: UInt64) throws {
  let definition = try Hours.definition()
  let rows = Hours.rows(random(seed, count: 3), definition)
  let merged = rows.merged(layout: definition.layout)
  #expect(merged.isMerged)
  #expect(rows.isMerged == (rows.keyBytes == merged.keyBytes && rows.windowStarts == merged.windowStarts), "seed \(seed)")
  var twice = merged
  twice.append(contentsOf: merged)
  #expect(!twice.isMerged)
}

@Test("limit is bounded by the configuration, by default too")
func rowsMax() async throws {
  let asking = Asking(configuration: QueryConfiguration(rowsMax: 5))
  asking.store.put(random(4, count: 50), try Hours.definition())
  #expect(try await asking.get("/v1/views/hourly").array("rows").count == 5)
  #expect(await asking.get("/v1/views/hourly", [("limit", "5")]).status == 200)
  #expect(try await asking.get("/v1/views/hourly", [("limit", "6")]).string("detail")?.contains("1 to 5") == true)
  #expect(await asking.get("/v1/events", [("limit", "6")]).status == 400)
}
