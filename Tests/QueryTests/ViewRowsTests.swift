import Events
import Testing
import Views

@testable import Query

private let sample = [
  Seen(partition: 0, hour: 0, source: "a", site: .string("x"), values: [1, 2]),
  Seen(partition: 0, hour: 1, source: "a", site: .string("x"), values: [4]),
  Seen(partition: 1, hour: 1, source: "b", site: .string("x"), values: [8, 16]),
  Seen(partition: 1, hour: 1, source: "b", site: .null, values: [32]),
  Seen(partition: 1, hour: 5, source: "b", site: .int(7), values: [64]),
]

private func asking(_ seen: [Seen] = sample, watermarks: [Int: Int] = [0: 3, 1: 6]) throws -> Asking {
  let asking = Asking()
  asking.store.put(seen, try Hours.definition(), watermarks: watermarks)
  return asking
}

@Test("an answer has exactly the shape that was promised")
func shape() async throws {
  let reply = try await asking().get("/v1/views/hourly", [("to", "1970-01-01T01:00:00Z")])
  #expect(reply.status == 200)
  #expect(reply.contentType == "application/json")
  #expect(
    reply.text == """
      {"view":"hourly","generation":1,"as_of":{"0":10,"1":10},"columns":[{"name":"window_start","type":"timestamp"},\
      {"name":"window_end","type":"timestamp"},{"name":"final","type":"boolean"},{"name":"source","type":"string"},\
      {"name":"site","type":"any"},{"name":"n","type":"int64"},{"name":"total","type":"double"},{"name":"mean","type":"double"},\
      {"name":"low","type":"double"},{"name":"high","type":"double"}],"rows":[{"window_start":"1970-01-01T00:00:00Z",\
      "window_end":"1970-01-01T01:00:00Z","final":true,"source":"a","site":"x","n":2,"total":3.0,"mean":1.5,\
      "low":1.0,"high":2.0}],"next_cursor":null}
      """)
}

/// Hour, keys and count of each row, shortly.
private func described(_ reply: Reply) throws -> [String] {
  try reply.array("rows").map { row in
    let start = row["window_start"]?.string?.dropFirst(11).prefix(2) ?? "?"
    return ["source", "site", "n"].compactMap { row[$0].map { $0.string ?? $0.text } }.reduce(String(start)) { "\($0) \($1)" }
  }
}

@Test("from is inclusive, to exclusive, dates are their first instant")
func range() async throws {
  let asking = try asking()
  #expect(try described(await asking.get("/v1/views/hourly")) == ["00 a x 2", "01 a x 1", "01 b null 1", "01 b x 2", "05 b 7 1"])
  #expect(
    try described(await asking.get("/v1/views/hourly", [("from", "1970-01-01T01:00:00Z"), ("to", "1970-01-01T05:00:00Z")])) == [
      "01 a x 1", "01 b null 1", "01 b x 2",
    ])
  #expect(try described(await asking.get("/v1/views/hourly", [("from", "1970-01-01"), ("to", "1970-01-02")])).count == 5)
  #expect(try described(await asking.get("/v1/views/hourly", [("from", "1970-01-02")])) == [])
  // A plus that nobody encoded.
  #expect(try described(await asking.raw("/v1/views/hourly?from=1970-01-01T03:00:00+02:00")).count == 4)
}

@Test(
  "where chooses by keys",
  arguments: [
    (#"source == "b""#, ["01 b null 1", "01 b x 2", "05 b 7 1"]), (#"site == 7"#, ["05 b 7 1"]),
    (#"site == null"#, ["01 b null 1"]),
    (#"source in ["a", "c"] && site == "x""#, ["00 a x 2", "01 a x 1"]), (#"source.startsWith("z")"#, []),
    (#"site > 5 || source == "a""#, ["00 a x 2", "01 a x 1", "05 b 7 1"]),
  ])
func filter(expression: String, expected: [String]) async throws {
  let asking = try asking()
  #expect(try described(await asking.get("/v1/views/hourly", [("where", expression)])) == expected)
  #expect(asking.store.state.withLock { $0.requests.last?.keyFilter?.text } == expression)
}

@Test("group_by keeps keys in the order named, none when empty, and step merges windows")
func grouping() async throws {
  let asking = try asking()
  #expect(
    try described(await asking.get("/v1/views/hourly", [("group_by", "source")])) == ["00 a 2", "01 a 1", "01 b 3", "05 b 1"])
  #expect(try described(await asking.get("/v1/views/hourly", [("group_by", "")])) == ["00 2", "01 4", "05 1"])
  #expect(try described(await asking.raw("/v1/views/hourly?group_by")) == ["00 2", "01 4", "05 1"])
  #expect(try described(await asking.get("/v1/views/hourly", [("group_by", ""), ("step", "4h")])) == ["00 6", "04 1"])
  #expect(try described(await asking.get("/v1/views/hourly", [("step", "1h")])).count == 5)
  let swapped = await asking.get("/v1/views/hourly", [("group_by", "site,source"), ("format", "csv")])
  #expect(swapped.text.hasPrefix("window_start,window_end,final,site,source,n,"))
  let ends = try await asking.get("/v1/views/hourly", [("group_by", ""), ("step", "1d")]).array("rows")
  #expect(ends.map { $0["window_end"]?.string } == ["1970-01-02T00:00:00Z"])
  #expect(ends.map { $0["mean"]?.number } == [127 / 7])
}

@Test("rows are sorted by any columns, up or down, with ties in the order of window and keys")
func ordering() async throws {
  let asking = try asking()
  func sorted(_ order: String) async throws -> [String] {
    try described(await asking.get("/v1/views/hourly", [("order", order)]))
  }
  #expect(try await sorted("-n") == ["00 a x 2", "01 b x 2", "01 a x 1", "01 b null 1", "05 b 7 1"])
  #expect(try await sorted("-high") == ["05 b 7 1", "01 b null 1", "01 b x 2", "01 a x 1", "00 a x 2"])
  #expect(try await sorted("site,-window_start") == ["01 b null 1", "05 b 7 1", "01 a x 1", "01 b x 2", "00 a x 2"])
  #expect(try await sorted("-window_start") == ["05 b 7 1", "01 a x 1", "01 b null 1", "01 b x 2", "00 a x 2"])
  #expect(try await sorted("final,-n") == ["05 b 7 1", "00 a x 2", "01 b x 2", "01 a x 1", "01 b null 1"])
  #expect(try await sorted("") == ["00 a x 2", "01 a x 1", "01 b null 1", "01 b x 2", "05 b 7 1"])
}

@Test(
  "what is wrong is refused, with a code and a hint",
  arguments: [
    ("form=2013-01-01", "unknown_parameter", "form: there is no such parameter here: did you mean from?"),
    ("qqqqqqqq=1", "unknown_parameter", "known are from, to, where"),
    ("limit=1&limit=2", "duplicate_parameter", "limit: given twice"),
    ("from=yesterday", "invalid_parameter", "from: expected a time"),
    ("to=2013-13-01", "invalid_parameter", "to: expected a time"),
    ("from=2013-01-02&to=2013-01-02", "invalid_parameter", "from: it is not before 'to'"),
    ("from=2013-01-03&to=2013-01-02", "invalid_parameter", "from: it is not before 'to'"),
    ("where=source%20=%20%22a%22", "invalid_expression", "^"), ("where=", "invalid_expression", "where"),
    ("where=sorce%20==%20%22a%22", "invalid_expression", "did you mean source?"),
    (
      "where=n%20%3E%203", "invalid_expression", "where is over key columns, here source, site; 'n' is an aggregate\n  n > 3\n  ^"
    ),
    ("where=final", "invalid_expression", "'final' is the window's"),
    ("where=source", "invalid_expression", "expected a condition"),
    ("group_by=town", "invalid_parameter", "there is no key 'town': the view's are source, site"),
    ("group_by=source,source", "invalid_parameter", "named twice"), ("group_by=,", "invalid_parameter", "there is no key ''"),
    ("step=90m", "invalid_parameter", "step: 1h30m is not a multiple of the view's window, 1h"),
    ("step=0s", "invalid_parameter", "not a multiple"), ("step=4000d", "invalid_parameter", "up to 3650d"),
    ("step=day", "invalid_parameter", "expected a duration"),
    ("order=hihg", "invalid_parameter", "did you mean high?"), ("order=n,-n", "invalid_parameter", "named twice"),
    ("order=site&group_by=source", "invalid_parameter", "the result has no column 'site'"),
    ("limit=0", "invalid_parameter", "1 to 100000"), ("limit=100001", "invalid_parameter", "1 to 100000"),
    ("limit=ten", "invalid_parameter", "found 'ten'"),
    ("after=7", "invalid_parameter", "after: expected a JSON object"),
    ("after=%7B%224%22:1%7D", "invalid_parameter", "there is no partition 4: the log has 4"),
    ("timeout=61s", "invalid_parameter", "at most 1m"), ("timeout=5", "invalid_parameter", "expected a duration"),
    ("format=xml", "invalid_parameter", "expected one of json, csv, ndjson"), ("cursor=abc", "invalid_cursor", "no cursor"),
    ("cursor=%21", "invalid_cursor", "no cursor"), ("from=%zz", "invalid_parameter", "percent-encoded"),
    ("%ff=1", "invalid_parameter", "percent-encoded"),
  ])
func refusals(query: String, code: String, detail: String) async throws {
  let reply = try await asking().raw("/v1/views/hourly?" + query)
  #expect(reply.status == 400)
  #expect(reply.contentType == "application/problem+json")
  #expect(try reply.string("code") == code)
  let text = try reply.string("detail") ?? ""
  #expect(text.contains(detail), "\(text)")
}

@Test("Accept decides where format does not")
func formats() async throws {
  let asking = try asking([sample[0]])
  for (format, accept, type) in [
    (nil, nil, "application/json"), (nil, "*/*", "application/json"),
    (nil, "text/csv", "text/csv; charset=utf-8; header=present"),
    (nil, "application/x-ndjson", "application/x-ndjson"), ("csv", "application/json", "text/csv; charset=utf-8; header=present"),
    (nil, "text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
    (nil, "application/json;q=0.1, Text/CSV ; q=0.9", "text/csv; charset=utf-8; header=present"),
    ("json", "text/csv", "application/json"),
  ] as [(String?, String?, String)] {
    let reply = await asking.get("/v1/views/hourly", format.map { [("format", $0)] } ?? [], accept: accept)
    #expect(reply.contentType == type, "\(format ?? "-") \(accept ?? "-")")
  }
  let refused = await asking.get("/v1/views/hourly", accept: "image/png, text/csv;q=0")
  #expect(refused.status == 406)
  #expect(try refused.string("code") == "not_acceptable")
}

@Test("CSV quotes what must be quoted, NDJSON has a row a line, and headers carry the rest")
func csv() async throws {
  let odd = [
    Seen(partition: 0, hour: 0, source: "a,\"b\"\r\n", site: .string(""), values: [1]),
    Seen(partition: 0, hour: 0, source: "é", site: .null, values: [0.1]),
    Seen(partition: 0, hour: 0, source: "z", site: .bool(true), values: []),
  ]
  let asking = try asking(odd, watermarks: [0: 0])
  let csv = await asking.get("/v1/views/hourly", [("format", "csv")])
  let hour = "1970-01-01T00:00:00Z,1970-01-01T01:00:00Z,false,"
  #expect(
    csv.text == "window_start,window_end,final,source,site,n,total,mean,low,high\r\n" + hour
      + "\"a,\"\"b\"\"\r\n\",\"\",1,1.0,1.0,1.0,1.0\r\n" + hour + "z,true,0,,,,\r\n" + hour + "é,,1,0.1,0.1,0.1,0.1\r\n")
  #expect(csv.headers == ["Penstock-As-Of": #"{"0":10}"#])
  let lines = await asking.get("/v1/views/hourly", [("format", "ndjson"), ("limit", "2")])
  let rows = lines.text.split(separator: "\n")
  #expect(lines.text.hasSuffix("}\n") && rows.count == 2)
  #expect(try JSONValue(parsing: String(rows[1]))["source"] == .string("z"))
  #expect(try JSONValue(parsing: String(rows[1]))["total"] == .null)
  #expect(lines.headers["Penstock-Next-Cursor"] != nil)
}

@Test(
  "a store's errors become problems",
  arguments: [
    (ViewStoreError.timeout(reached: OffsetVector([PartitionID(0): Offset(7)])), 504, "timeout"),
    (.missingPartitions([PartitionID(2)]), 503, "missing_partitions"),
    (.unavailable("stopping"), 503, "unavailable"), (.failed("disk"), 500, "failed"),
    (.unknownView("hourly", known: []), 404, "unknown_view"),
  ])
func storeErrors(error: ViewStoreError, status: Int, code: String) async throws {
  let asking = try asking()
  asking.store.state.withLock { $0.readError = error }
  let reply = await asking.get("/v1/views/hourly")
  #expect(reply.status == status)
  #expect(try reply.string("code") == code)
  #expect(reply.headers["Retry-After"] == (status == 503 ? "1" : nil))
  if status == 504 { #expect(try reply.member("reached")?.text == #"{"0":7}"#) }
  if code == "missing_partitions" { #expect(try reply.member("partitions")?.text == "[2]") }
  asking.store.state.withLock { $0.viewsError = error }
  #expect(await asking.get("/v1/views").status == status)
}

@Test("after and timeout reach the store")
func waiting() async throws {
  let asking = try asking()
  #expect(await asking.get("/v1/views/hourly", [("after", #"{"0":10}"#), ("timeout", "250ms")]).status == 200)
  let request = asking.store.state.withLock { $0.requests.last }
  #expect(request?.after == OffsetVector([PartitionID(0): Offset(10)]))
  #expect(request?.timeout == .milliseconds(250))
  let late = await asking.get("/v1/views/hourly", [("after", #"{"0":11}"#)])
  #expect(late.status == 504)
  #expect(try late.member("reached")?.text == #"{"0":10,"1":10}"#)
  #expect(asking.store.state.withLock { $0.requests.last?.timeout } == .seconds(5))
}

@Test("an unknown view is a 404 that names the nearest")
func unknownView() async throws {
  let asking = try asking()
  let reply = await asking.get("/v1/views/hurly")
  #expect(reply.status == 404)
  #expect(try reply.string("detail")?.contains("did you mean hourly?") == true)
  #expect(await asking.get("/v1/views/%68ourly").status == 200)
}

@Test("a definition that changed is noticed, whichever way")
func changedDefinition() async throws {
  let asking = try asking()
  #expect(await asking.get("/v1/views/hourly").status == 200)
  asking.store.put(sample, try Hours.definition(keysOnSource: false), generation: 2)
  let reply = await asking.get("/v1/views/hourly", [("group_by", "site")])
  #expect(try reply.member("generation") == .int(2))
  // A query that is wrong for the definition known here may be right for the present one.
  let narrow = ViewDefinition(
    name: "hourly", keys: [KeyColumn(name: "town", path: .data(["town"]))], window: .tumble(size: Hours.hour),
    aggregates: [AggregateColumn(name: "n", function: .countRows)])
  asking.store.put([], narrow, generation: 3)
  let town = await asking.get("/v1/views/hourly", [("where", #"town == "x""#)])
  #expect(town.status == 200)
  #expect(await asking.get("/v1/views/hourly", [("where", #"city == "x""#)]).status == 400)
}
