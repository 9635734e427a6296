import Events
import Testing
import Views

@testable import Query

@Test("the ledger adds up, and says where it does not")
func ledger() async throws {
  let asking = Asking(received: ReceivedEvents(received: 10, appended: 6, duplicates: 3, rejected: 1))
  asking.store.put([], try Hours.definition(), watermarks: [0: 3, 2: 4])
  let reply = await asking.get("/v1/ledger")
  #expect(reply.status == 200)
  #expect(
    try reply.member("ingest")?.text
      == #"{"received":10,"appended":6,"duplicates":3,"rejected":1,"in_flight":0,"balanced":true}"#)
  let view = try #require(try reply.array("views").first)
  #expect(view["appended"] == .int(20))
  #expect(view["balanced"] == .bool(true))
  #expect(
    view["partitions"]?.text.contains(
      #"{"partition":2,"first_offset":0,"next_offset":10,"appended":10,"applied":8,"filtered":1,"late":1,"pending":0,"balanced":true}"#
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
