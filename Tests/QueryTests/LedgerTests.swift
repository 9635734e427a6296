import Events
import Testing
import Views

@testable import Query

@Test("the ledger adds up, and says where it does not")
func ledger() async throws {
  let asking = Asking(received: ReceivedEvents(received: 10, appended: 6, duplicates: 3, rejected: 1))
  asking.store.put([], try Hours.definition(), watermarks: [0: 3, 2: 4])
  asking.log.append((0..<6).map { Event(source: "s", type: "t", time: Timestamp(nanoseconds: $0)) })
  let reply = await asking.get("/v1/ledger")
  #expect(reply.status == 200)
  #expect(
    try reply.member("ingest")?.text
      == #"{"received":10,"appended":6,"duplicates":3,"rejected":1,"suspect_duplicates":0,"in_flight":0,"balanced":true}"#)
  let view = try #require(try reply.array("views").first)
  #expect(view["appended"] == .int(20))
  #expect(view["balanced"] == .bool(true))
  #expect(
    view["partitions"]?.text.contains(
      #"{"partition":2,"first_offset":0,"next_offset":10,"appended":10,"applied":8,"amended":0,"filtered":1,"late":1,"pending":0,"gone":0,"balanced":true}"#
    )
      == true)
  #expect(try reply.member("balanced") == .bool(true))
  asking.store.state.withLock { state in
    // One too many here is not made good by one too few there.
    state.statuses[0].partitions[0].applied += 1
    state.statuses[0].partitions[1].applied -= 1
  }
  #expect(try await asking.get("/v1/ledger").member("balanced") == .bool(false))
  #expect(try await Asking().get("/v1/ledger").member("ingest") == .null)
}

@Test("amended events are a part of the applied ones, of each partition and of all; more of them balance nowhere")
func ledgerOfAmended() async throws {
  let asking = Asking()
  asking.store.put([], try Hours.definition(), watermarks: [0: 3, 2: 4])
  func amend(_ first: Int, _ second: Int) {
    asking.store.state.withLock { state in
      state.statuses[0].partitions[0].amended = first
      state.statuses[0].partitions[1].amended = second
    }
  }
  amend(2, 8)
  let reply = await asking.get("/v1/ledger")
  let view = try #require(try reply.array("views").first)
  #expect(view["applied"] == .int(16) && view["amended"] == .int(10) && view["balanced"] == .bool(true))
  guard case .array(let partitions)? = view["partitions"] else {
    Issue.record("no partitions")
    return
  }
  #expect(partitions.map { $0["amended"]?.number } == [2, 8])
  let overview = await asking.get("/v1/overview")
  #expect(try overview.member("amended") == .int(10) && overview.array("views").first?["amended"] == .int(10))
  #expect(try await asking.get("/v1/views").array("views").first?["counts"]?["amended"] == .int(10))
  amend(9, 0)
  let wrong = await asking.get("/v1/ledger")
  #expect(try wrong.member("balanced") == .bool(false))
  let difference = try #require(try wrong.array("differences").first)
  #expect(difference["partition"] == .int(0) && difference["expected"] == .int(8) && difference["found"] == .int(9))
}

@Test(
  "what ingest has had appended and what a view has counted must be in the log: else the ledger says so, whatever else adds up")
func ledgerOfAnotherLog() async throws {
  let asking = Asking(received: ReceivedEvents(received: 10, appended: 10, duplicates: 0, rejected: 0))
  asking.store.put([], try Hours.definition(), watermarks: [0: 3])
  asking.log.append((0..<4).map { Event(source: "s", type: "t", time: Timestamp(nanoseconds: $0)) })
  let short = await asking.get("/v1/ledger")
  #expect(try short.member("balanced") == .bool(false))
  #expect(try short.member("problems")?.text.contains("10 events appended") == true)
  asking.log.append((0..<6).map { Event(source: "t", type: "t", time: Timestamp(nanoseconds: $0)) })
  #expect(try await asking.get("/v1/ledger").member("balanced") == .bool(true))
  asking.store.state.withLock { $0.statuses[0].partitions[0].highWatermark = Offset(4) }
  let behind = await asking.get("/v1/ledger")
  #expect(try behind.member("balanced") == .bool(false))
  #expect(try behind.array("views").first?["balanced"] == .bool(false))
  #expect(try behind.member("problems")?.text.contains("up to offset 10, and the log ends at 4") == true)
}

@Test("what retention took before a view had counted it is gone, not pending, and balances nowhere")
func ledgerOfWhatIsGone() async throws {
  let asking = Asking()
  asking.store.put([], try Hours.definition(), watermarks: [0: 3, 2: 4])
  asking.store.state.withLock { $0.statuses[0].partitions[1].highWatermark = Offset(30) }
  func row(_ reply: Reply) throws -> (counts: [Double?], balanced: JSONValue?) {
    let view = try #require(try reply.array("views").first)
    return (["appended", "pending", "gone"].map { view[$0]?.number }, view["balanced"])
  }
  #expect(try row(await asking.get("/v1/ledger")) == ([40, 20, 0], .bool(true)))
  asking.log.partitions.withLock { $0[2].start = Offset(10) }
  #expect(try row(await asking.get("/v1/ledger")) == ([40, 20, 0], .bool(true)), "up to there it has counted")
  asking.log.partitions.withLock { $0[2].start = Offset(25) }
  let reply = await asking.get("/v1/ledger")
  #expect(try row(reply) == ([40, 5, 15], .bool(false)))
  #expect(try reply.member("balanced") == .bool(false))
  let overview = try #require(try await asking.get("/v1/overview").array("views").first)
  #expect(["appended", "pending", "gone"].map { overview[$0]?.number } == [40, 5, 15])
}

@Test("rows that do not count what was applied balance nowhere, and the ledger says which")
func ledgerOfRows() async throws {
  let asking = Asking()
  asking.store.put([], try Hours.definition(), watermarks: [0: 3, 2: 4])
  func tally(_ partition: Int, inRows: Int) -> RowTally {
    RowTally(partition: PartitionID(partition), nextOffset: Offset(10), applied: 8, inRows: inRows, dropped: 3)
  }
  let generation = try #require(asking.store.state.withLock { $0.statuses.first?.generation })
  func put(_ second: RowTally) {
    asking.store.state.withLock {
      $0.tallies = [ViewTally(view: "hourly", generation: generation, partitions: [tally(0, inRows: 5), second])]
    }
  }
  put(tally(2, inRows: 5))
  var reply = await asking.get("/v1/ledger")
  #expect(try reply.member("balanced") == .bool(true))
  #expect(try reply.array("differences").isEmpty)
  #expect(
    try reply.array("views").first?["rows"]?.text
      == #"{"as_of":{"0":10,"2":10},"applied":16,"in_rows":10,"dropped":6,"balanced":true}"#)
  put(tally(2, inRows: 20))
  reply = await asking.get("/v1/ledger")
  #expect(try reply.member("balanced") == .bool(false))
  let difference = try #require(try reply.array("differences").first)
  #expect(difference["view"] == .string("hourly") && difference["partition"] == .int(2))
  #expect(difference["expected"] == .int(8) && difference["found"] == .int(23) && difference["as_of"] == .int(10))
}
