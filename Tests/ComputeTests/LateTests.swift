import Compute
import Events
import Foundation
import SQLite
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

@Test("of a flood of late events all are counted and the last ones listed, in a file that does not grow with it")
func lateFlood() async throws {
  let fixture = try await ComputeFixture(partitions: 1)
  let yaml = """
    views:
      v:
        key: [source]
        window: { tumble: 1m }
        aggregates: { n: count() }
    """
  let bound = 10_000
  var service = try await fixture.start(yaml, workers: 1, lateEventsMax: bound)
  let minute: Int64 = 60_000_000_000
  func event(_ number: Int) -> Event {
    Event(source: "a", type: "t", time: Timestamp(nanoseconds: WindowTests.start + Int64(number) * 1_000_000))
  }
  _ = try await fixture.append([Event(source: "a", type: "t", time: Timestamp(nanoseconds: WindowTests.start + 1000 * minute))]) {
    1
  }
  let count = 60_000
  var end = try await fixture.append((0..<count / 2).map(event)) { 5000 }
  _ = try await fixture.rows(service, "v", after: end)
  await service.shutDown()
  service = try await fixture.start(yaml, workers: 1, lateEventsMax: bound)
  end = try await fixture.append((count / 2..<count).map(event)) { 700 }
  _ = try await fixture.rows(service, "v", after: end)
  for _ in 0..<2 {
    let late = try await service.late(LateReadRequest(view: "v", limit: count))
    #expect(late.counts == [PartitionID(0): LateCounts(counted: count, listed: bound)])
    #expect(late.events.map(\.offset.rawValue) == Array(Int64(count - bound + 1)...Int64(count)))
    #expect(late.events.map(\.time) == (count - bound..<count).map { event($0).time })
    await service.shutDown()
    service = try await fixture.start(yaml, workers: 1, lateEventsMax: bound)
  }
  await service.shutDown()
  let db = try SQLiteConnection(path: fixture.directory + "/compute/0/state.sqlite")
  let blocks = try db.first("SELECT count(*), sum(length(block)) FROM late") { (count: $0.int(0), bytes: $0.int(1)) }
  #expect(blocks.map { $0.count <= 4 && $0.bytes < 10 * (bound + 4096) } ?? false, "\(String(describing: blocks))")
  // A smaller bound holds at once.
  service = try await fixture.start(yaml, workers: 1, lateEventsMax: 7)
  #expect(try await service.late(LateReadRequest(view: "v", limit: count)).events.count == 7)
  await service.shutDown()
  try await fixture.remove()
}
