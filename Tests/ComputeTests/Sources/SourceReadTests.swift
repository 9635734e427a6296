import Events
import Foundation
import Log
import TestSupport
import Testing
import Views

@testable import Compute

/// Sources as the workers list them, beside a plain count of the events that were appended.
@Suite("The list of sources", .timeLimit(.minutes(2))) struct SourceReadTests {
  private static let yaml = """
    views:
      v: { key: [source], window: { tumble: 1h }, aggregates: { n: count() } }
    """
  private static let minute: Int64 = 60_000_000_000

  /// A plain count, by the batches of the log.
  private static func plain(_ fixture: ComputeFixture) async throws -> [SourceStatus] {
    var known: [UTF8Text: SourceStatus] = [:]
    for number in 0..<fixture.log.partitionCount {
      let partition = PartitionID(number)
      let end = try await fixture.log.bounds(of: partition).highWatermark
      var next = Offset.zero
      while next < end {
        for batch in try await fixture.log.read(partition, from: next, bytesMax: 1 << 20) {
          let appended = batch.header.appendTime.nanoseconds
          for event in batch.events(at: Array(0..<batch.count)) {
            let name = UTF8Text(event.source), time = event.time.nanoseconds
            var status =
              known[name]
              ?? SourceStatus(
                source: name, partition: partition, last: nil, largestEventTime: Timestamp(nanoseconds: .min),
                eventTime: Timestamp(nanoseconds: .min), lastAppendTime: Timestamp(nanoseconds: .min), events: 0)
            status.largestEventTime = max(status.largestEventTime, event.time)
            status.eventTime = max(status.eventTime, Timestamp(nanoseconds: min(time, appended + minute)))
            status.lastAppendTime = max(status.lastAppendTime, batch.header.appendTime)
            status.events += 1
            if let sequence = event.sequence { status.last = ProducerPosition(epoch: event.epoch ?? 0, sequence: sequence) }
            known[name] = status
          }
          next = batch.endOffset
        }
      }
    }
    return known.values.sorted { $0.source < $1.source }
  }

  private static func pages(_ service: ComputeService, _ request: SourceReadRequest) async throws -> [SourceStatus] {
    var request = request
    var listed: [SourceStatus] = []
    for _ in 0..<10_000 {
      let page = try await service.reads.sources(request)
      listed += page.sources
      guard let next = page.next else { return listed }
      request.after = next
    }
    Issue.record("the pages do not end")
    return listed
  }

  /// Events of many sources, some with sequences, some a year ahead, some a year behind.
  private static func events(_ count: Int, sources: Int, using random: inout SeededGenerator) -> [Event] {
    let now = Int64(Date().timeIntervalSince1970) * 1_000_000_000
    return (0..<count).map { number in
      let source = Int.random(in: 0..<sources, using: &random)
      let skew: Int64 = source % 10 == 3 ? 525_600 : source % 10 == 4 ? -525_600 : 0
      var event = Event(
        source: ["device/", "caf\u{E9}/", "cafe\u{301}/"][source % 3] + String(source), type: "t",
        time: Timestamp(nanoseconds: now + skew * minute - Int64.random(in: 0...30, using: &random) * minute))
      if source % 4 == 0 {
        event.sequence = UInt64(number) + 1
        if source % 8 == 0 { event.epoch = 7 }
      }
      return event
    }
  }

  @Test(
    "every source is listed once with its times, events and sequence, in any order, from memory or from the file, also after a restart",
    arguments: [1 << 30, 1 << 20])
  func listed(memoryBytesMax: Int) async throws {
    let fixture = try await ComputeFixture(partitions: 3)
    var random = SeededGenerator(seed: 15)
    for _ in 1...2 {
      let service = try await fixture.start(Self.yaml, workers: 2, memoryBytesMax: memoryBytesMax)
      var end = OffsetVector()
      for _ in 1...3 {
        let more = try await fixture.append(Self.events(4000, sources: 9000, using: &random)) { 100 }
        end.offsets.merge(more.offsets) { $1 }
        _ = try await fixture.rows(service, "v", after: more)
      }
      let expected = try await Self.plain(fixture)
      #expect(expected.contains(where: \.isAhead) && expected.contains { $0.last?.epoch == 7 })
      let first = try await service.reads.sources(SourceReadRequest(limit: 1))
      #expect(first.asOf.reaches(end) && first.asOf.offsets.count == 3)
      for order in SourceOrder.Column.allCases.flatMap({ [SourceOrder($0), SourceOrder($0, isDescending: true)] }) {
        let sorted = expected.sorted { order.isBefore(order.place(of: $0), order.place(of: $1)) }
        for limit in [4001, 10_000] {
          #expect(
            try await Self.pages(service, SourceReadRequest(order: order, limit: limit)) == sorted, "\(order), pages of \(limit)")
        }
      }
      let middle = expected[expected.count / 2]
      #expect(try await service.reads.sources(SourceReadRequest(source: middle.source, limit: 9)).sources == [middle])
      #expect(try await service.reads.sources(SourceReadRequest(source: "nobody", limit: 9)).sources == [])
      let prefixed = try await Self.pages(service, SourceReadRequest(prefix: "cafe\u{301}/1", limit: 100))
      #expect(prefixed == expected.filter { $0.source.string.utf8.starts(with: "cafe\u{301}/1".utf8) } && prefixed.count > 100)
      let ahead = try await Self.pages(service, SourceReadRequest(isAheadOnly: true, limit: 100))
      #expect(ahead == expected.filter(\.isAhead))
      let idle = SourceReadRequest(lastAppendedBy: middle.lastAppendTime, limit: 1000)
      #expect(try await Self.pages(service, idle) == expected.filter { $0.lastAppendTime <= middle.lastAppendTime })
      await service.shutDown()
    }
    try await fixture.remove()
  }

  @Test("partitions that are not here are named, or left out where that is allowed")
  func missing() async throws {
    let fixture = try await ComputeFixture(partitions: 3)
    var random = SeededGenerator(seed: 16)
    let service = try await fixture.start(Self.yaml)
    _ = try await fixture.rows(service, "v", after: fixture.append(Self.events(300, sources: 90, using: &random)) { 50 })
    await service.partitions.release([PartitionID(1)])
    do throws(ViewStoreError) {
      _ = try await service.reads.sources(SourceReadRequest(limit: 1))
      Issue.record("answered without a partition")
    } catch {
      #expect(error == .missingPartitions([PartitionID(1)]))
    }
    let rest = try await service.reads.sources(SourceReadRequest(limit: 1000, allowsPartial: true))
    let expected = try await Self.plain(fixture).filter { $0.partition != PartitionID(1) }
    #expect(rest.sources == expected && rest.asOf.offsets.count == 2)
    await service.shutDown()
    try await fixture.remove()
  }
}
