import Events
import TestSupport
import Testing

@testable import Query

private func events(_ seed: UInt64, count: Int) -> [Event] {
  var random = SeededGenerator(seed: seed)
  return (0..<count).map { index in
    Event(
      source: "s\(Int.random(in: 0..<6, using: &random))", type: ["up", "down", "left"].randomElement(using: &random) ?? "up",
      id: "e\(index)",
      time: Timestamp(nanoseconds: Int64(Int.random(in: 0..<100, using: &random)) * Hours.hour), sequence: UInt64(index),
      data: ["v": .int(Int64(index))])
  }
}

/// All pages' events.
private func pages(_ asking: Asking, _ parameters: [(String, String)], pagesMax: Int = 2000) async throws -> [JSONValue] {
  var result: [JSONValue] = []
  var cursor: String?
  for _ in 0..<pagesMax {
    let reply = await asking.get("/v1/events", parameters + (cursor.map { [("cursor", $0)] } ?? []))
    try #require(reply.status == 200, "\(reply.text)")
    result += try reply.array("events")
    cursor = try reply.string("next_cursor")
    if cursor == nil { return result }
  }
  Issue.record("the pages have no end")
  return result
}

@Test("events come whole, by partition and offset, with their place in the log")
func eventShape() async throws {
  let asking = Asking()
  let event = Event(
    source: "station/EWR", type: "weather", id: "1", time: Timestamp(nanoseconds: 0), subject: "s", sequence: 5, epoch: 2,
    attributes: ["trace": .string("t")], data: ["temp": .double(1.5), "site": ["a": .bool(true)]])
  asking.log.append([event])
  let partition = asking.log.partition(of: "station/EWR")
  let reply = await asking.get("/v1/events")
  let list = try reply.array("events")
  let expected: JSONValue = try JSONValue(
    parsing: """
      {"specversion":"1.0","id":"1","source":"station/EWR","type":"weather","time":"1970-01-01T00:00:00Z","subject":"s",\
      "sequence":5,"epoch":2,"trace":"t","logpartition":\(partition),"logoffset":0,"data":{"temp":1.5,"site":{"a":true}}}
      """)
  #expect(list == [expected])
  #expect(try reply.member("next_cursor") == .null)
  #expect(try reply.member("as_of")?[partition.description] == .int(1))
}

@Test("filters and pages give what a plain filter gives, in order", arguments: 1...25 as ClosedRange<UInt64>)
func eventPages(seed: UInt64) async throws {
  var random = SeededGenerator(seed: seed &* 31)
  let all = events(seed, count: 300)
  let configuration = QueryConfiguration(
    eventsScanBytesMax: Bool.random(using: &random) ? 1500 : 1 << 20,
    eventsAnswerBytesMax: Bool.random(using: &random) ? 600 : 1 << 20)
  let asking = Asking(configuration: configuration)
  asking.log.append(all, batchSize: Int.random(in: 1...40, using: &random))
  var parameters: [(String, String)] = [("limit", "\(Int.random(in: 1...60, using: &random))")]
  var expected = all
  if Bool.random(using: &random) {
    parameters.append(("source", "s2"))
    expected.removeAll { $0.source != "s2" }
  }
  if Bool.random(using: &random) {
    parameters.append(("type", "down"))
    expected.removeAll { $0.type != "down" }
  }
  if Bool.random(using: &random) {
    parameters.append(("from", Hours.text(30)))
    expected.removeAll { $0.time.nanoseconds < 30 * Hours.hour }
  }
  if Bool.random(using: &random) {
    parameters.append(("to", Hours.text(60)))
    expected.removeAll { $0.time.nanoseconds >= 60 * Hours.hour }
  }
  let found = try await pages(asking, parameters)
  let byPartition = Dictionary(grouping: expected) { asking.log.partition(of: $0.source) }.sorted { $0.key < $1.key }.flatMap(
    \.value)
  #expect(found.map { $0["id"]?.string } == byPartition.map(\.id), "seed \(seed), \(parameters)")
}

@Test("pages end where the log ended when the first was asked for; following goes on")
func pinnedAndFollowing() async throws {
  let asking = Asking()
  asking.log.append(events(1, count: 50))
  let first = await asking.get("/v1/events", [("limit", "10")])
  let following = await asking.get("/v1/events", [("limit", "10000"), ("follow", "true")])
  #expect(try following.array("events").count == 50)
  asking.log.append(events(2, count: 30))
  var cursor = try #require(try first.string("next_cursor"))
  var count = 10
  while true {
    let reply = await asking.get("/v1/events", [("limit", "10"), ("cursor", cursor)])
    count += try reply.array("events").count
    guard let next = try reply.string("next_cursor") else { break }
    cursor = next
  }
  #expect(count == 50)
  let more = await asking.get(
    "/v1/events", [("limit", "10000"), ("follow", "true"), ("cursor", try #require(try following.string("next_cursor")))])
  #expect(try more.array("events").count == 30)
  let none = await asking.get("/v1/events", [("follow", "true"), ("cursor", try #require(try more.string("next_cursor")))])
  #expect(try none.array("events") == [])
  #expect(try none.string("next_cursor") != nil)
}

@Test("an offset vector begins where it says, and leaves other partitions out until something comes")
func fromOffsets() async throws {
  let asking = Asking()
  asking.log.append(events(3, count: 100))
  let all = try await pages(asking, [])
  let first = asking.log.partition(of: "s0")
  let from = ("from", "{\"\(first)\":3}")
  let wanted = all.filter { $0["logpartition"] == .int(Int64(first.rawValue)) && ($0["logoffset"]?.number ?? 0) >= 3 }
  #expect(try await pages(asking, [from, ("limit", "4")]) == wanted && !wanted.isEmpty)
  #expect(try await pages(asking, [("from", "{\"\(first)\":1000000}")]) == [])

  let following = await asking.get("/v1/events", [from, ("follow", "true"), ("limit", "10000")])
  #expect(try following.array("events") == wanted)
  asking.log.append(events(4, count: 40))
  let cursor = ("cursor", try #require(try following.string("next_cursor")))
  #expect(try await asking.get("/v1/events", [from, ("follow", "true"), ("limit", "10000"), cursor]).array("events").count == 40)

  for wrong in ["{\"99\":1}", "{\"0\":-1}", "{"] {
    let reply = await asking.get("/v1/events", [("from", wrong)])
    #expect(reply.status == 400)
    #expect(try reply.string("parameter") == "from")
  }
  let foreign = await asking.get("/v1/events", [("from", "{\"0\":0}"), ("follow", "true"), cursor])
  #expect(try foreign.string("code") == "invalid_cursor")
}

@Test("following waits for the first event that is wanted, and no longer than it was told")
func followingWaits() async throws {
  let asking = Asking()
  asking.log.append(events(8, count: 20))
  let first = await asking.get("/v1/events", [("follow", "true"), ("limit", "100"), ("type", "new")])
  let cursor = ("cursor", try #require(try first.string("next_cursor")))
  let parameters = [("follow", "true"), ("type", "new"), cursor]
  let none = await asking.get("/v1/events", parameters + [("timeout", "20ms")])
  #expect(none.status == 200)
  #expect(try none.array("events") == [])
  let waiting = Task { await asking.get("/v1/events", parameters + [("timeout", "60s")]) }
  // Not wanted: it waits on.
  asking.log.append(events(9, count: 5))
  let before = asking.log.waits.withLock { $0 }
  let deadline = ContinuousClock.now + .seconds(10)
  while asking.log.waits.withLock({ $0 }) == before, ContinuousClock.now < deadline { await Task.yield() }
  asking.log.append([Event(source: "s1", type: "new", id: "wanted", time: Timestamp(nanoseconds: 0))])
  #expect(try await waiting.value.array("events").map { $0["id"]?.string } == ["wanted"])
  #expect(await asking.get("/v1/events", [("timeout", "1s")]).status == 400)
  #expect(await asking.get("/v1/events", [("timeout", "61s"), ("follow", "true")]).status == 400)
}

@Test("following in small pages sees every event once, in order by partition, and no partition waits for another to end")
func followingIsFair() async throws {
  let asking = Asking()
  let all = events(3, count: 200)
  asking.log.append(all)
  var seen: [JSONValue] = []
  var cursor: String?
  var partitionsAtFirst: Set<JSONValue> = []
  for page in 0..<300 {
    let reply = await asking.get("/v1/events", [("limit", "3"), ("follow", "true")] + (cursor.map { [("cursor", $0)] } ?? []))
    let events = try reply.array("events")
    seen += events
    if page < 8 { partitionsAtFirst.formUnion(events.compactMap { $0["logpartition"] }) }
    cursor = try reply.string("next_cursor")
    if events.isEmpty { break }
  }
  let used = Set(all.map { asking.log.partition(of: $0.source) })
  #expect(partitionsAtFirst.count == used.count)
  #expect(Set(seen.compactMap { $0["id"]?.string }) == Set(all.compactMap(\.id)))
  #expect(seen.count == all.count)
  for (_, events) in Dictionary(grouping: seen, by: { $0["logpartition"] }) {
    let offsets = events.compactMap { $0["logoffset"]?.number }
    #expect(offsets == offsets.sorted())
  }
}

@Test("NDJSON has an event a line, CSV there is none")
func eventFormats() async throws {
  let asking = Asking()
  asking.log.append(events(4, count: 20))
  let reply = await asking.get("/v1/events", [("limit", "5")], accept: "application/x-ndjson")
  #expect(reply.contentType == "application/x-ndjson")
  #expect(reply.text.split(separator: "\n").count == 5)
  for line in reply.text.split(separator: "\n") { _ = try JSONValue(parsing: String(line)) }
  #expect(reply.headers["Penstock-Next-Cursor"] != nil)
  #expect(reply.headers["Penstock-As-Of"] != nil)
  #expect(await asking.get("/v1/events", [("format", "csv")]).status == 400)
  #expect(await asking.get("/v1/events", accept: "text/csv").status == 406)
}

@Test("what retention took between two pages is passed over")
func trimmed() async throws {
  let asking = Asking(log: FakeLog(partitionCount: 1))
  asking.log.append(events(5, count: 30))
  let cursor = try #require(try await asking.get("/v1/events", [("limit", "3")]).string("next_cursor"))
  asking.log.partitions.withLock { partitions in
    partitions[0].batches.removeFirst(2)
    partitions[0].start = partitions[0].batches[0].baseOffset
  }
  let reply = await asking.get("/v1/events", [("limit", "10000"), ("cursor", cursor)])
  let offsets = try reply.array("events").compactMap { $0["logoffset"]?.number }
  #expect(offsets == (14..<30).map { Double($0) })
}

@Test("damage is an error that names its place, and only for those who read there")
func corruptPartition() async throws {
  let asking = Asking()
  asking.log.append(events(6, count: 60))
  let partition = asking.log.partition(of: "s0")
  asking.log.partitions.withLock {
    $0[partition.index].error = LogError(.corrupt, partition: partition, place: "segment 0, byte 4711", "bad checksum")
  }
  let reply = await asking.get("/v1/events", [("source", "s0")])
  #expect(reply.status == 500)
  #expect(try reply.string("code") == "log_corrupt")
  #expect(try reply.string("detail")?.contains("partition \(partition), segment 0, byte 4711") == true)
  #expect(await asking.get("/v1/events").status == 500)
  let healthy = try #require((0..<6).map { "s\($0)" }.first { asking.log.partition(of: $0) != partition })
  #expect(await asking.get("/v1/events", [("source", healthy)]).status == 200)
  asking.log.partitions.withLock { $0[partition.index].error = LogError(.unavailable, partition: partition, "stopping") }
  let busy = await asking.get("/v1/events", [("source", "s0")])
  #expect(busy.status == 503)
  #expect(busy.headers["Retry-After"] == "1")
}

@Test(
  "what is wrong with a query for events is refused",
  arguments: [
    ("limit=0", "invalid_parameter"), ("limit=10001", "invalid_parameter"), ("from=x", "invalid_parameter"),
    ("follow=yes", "invalid_parameter"),
    ("sourse=a", "unknown_parameter"), ("where=true", "unknown_parameter"), ("type=a&type=b", "duplicate_parameter"),
    ("cursor=AAAA", "invalid_cursor"),
    ("from=2020-01-02&to=2020-01-01", "invalid_parameter"),
  ])
func eventRefusals(query: String, code: String) async throws {
  let reply = await Asking().raw("/v1/events?" + query)
  #expect(reply.status == 400)
  #expect(try reply.string("code") == code)
}

@Test("a cursor for events goes with its query only, and damage to it never traps")
func eventCursors() async throws {
  let asking = Asking()
  asking.log.append(events(7, count: 60))
  let cursor = try #require(try await asking.get("/v1/events", [("limit", "3"), ("type", "up")]).string("next_cursor"))
  for other in [
    [], [("type", "down")], [("type", "up"), ("source", "s1")], [("type", "up"), ("follow", "true")],
    [("type", "up"), ("to", "2020-01-01")],
  ] {
    #expect(try await asking.get("/v1/events", other + [("cursor", cursor)]).string("code") == "invalid_cursor", "\(other)")
  }
  let characters = Array(cursor)
  for index in characters.indices {
    for damaged in [Array(characters[..<index]), characters[..<index] + ["A"] + characters[(index + 1)...]] {
      let reply = await asking.get("/v1/events", [("type", "up"), ("cursor", String(damaged))])
      #expect([200, 400, 503].contains(reply.status), "byte \(index): \(reply.text)")
    }
  }
}
