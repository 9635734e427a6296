import Compute
import Events
import Testing
import Views

@Test("late events are listed once each, in order, in pages of any size, before and after a checkpoint and a restart")
func lateListing() async throws {
  let fixture = try await ComputeFixture()
  let events = ComputeServiceTests.readings(seed: 5, count: 800)
  let offsets = try await fixture.append(events) { 20 }
  var before: [LateEvent] = []
  for _ in 1...2 {
    let service = try await fixture.start(ComputeServiceTests.views)
    _ = try await fixture.rows(service, "readings", after: offsets)
    let all = try await service.late(LateReadRequest(view: "readings", limit: 10_000))
    let count = try await service.views().first { $0.definition.name == "readings" }?.partitions.reduce(0) { $0 + $1.late }
    #expect(all.events.count == count)
    #expect(all.events.count > 10, "the readings have some")
    #expect(all.asOf.reaches(offsets))
    for (a, b) in zip(all.events, all.events.dropFirst()) {
      #expect((a.partition, a.offset) < (b.partition, b.offset))
    }
    if !before.isEmpty { #expect(all.events == before) }
    before = all.events
    var paged: [LateEvent] = []
    var request = LateReadRequest(view: "readings", limit: 4)
    while let page = try? await service.late(request).events, let last = page.last {
      paged += page
      request.partition = last.partition
      request.offset = last.offset.advanced(by: 1)
    }
    #expect(paged == all.events)
    let middle = all.events[all.events.count / 2].time
    let early = try await service.late(LateReadRequest(view: "readings", to: middle, limit: 10_000)).events
    let later = try await service.late(LateReadRequest(view: "readings", from: middle, limit: 10_000)).events
    #expect(early.allSatisfy { $0.time < middle } && later.allSatisfy { $0.time >= middle })
    #expect(early.count + later.count == all.events.count)
    await #expect(throws: ViewStoreError.self) { try await service.late(LateReadRequest(view: "none", limit: 1)) }
    await service.shutDown()
  }
  try await fixture.remove()
}
