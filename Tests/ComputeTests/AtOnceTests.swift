import Aggregates
import Events
import Expressions
import TestSupport
import Testing
import Views

@testable import Compute

@Suite("One key at once", .timeLimit(.minutes(2)))
struct AtOnceTests {
  private static func request(_ source: String, from: Timestamp? = nil, after: OffsetVector? = nil) throws -> ViewReadRequest {
    let filter = try Expression(parsing: "source == \"\(source)\"")
    return ViewReadRequest(
      view: "v", from: from, after: after, keyFilter: filter, key: try #require(filter.pointKey(["source"])).key)
  }

  private static func minute(_ number: Int) -> Timestamp {
    Timestamp(nanoseconds: 1_699_999_980_000_000_000 + Int64(number) * 60_000_000_000)
  }

  /// Tries until the workers have nothing else to do.
  private static func read(_ service: ComputeService, _ request: ViewReadRequest) async -> PartialResult? {
    let deadline = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < deadline {
      if let result = service.readAtOnce(request) { return result }
      await Task.yield()
    }
    return nil
  }

  @Test("while events come, counts those before the offsets it says, each once", arguments: [UInt64(1), 2])
  func counts(seed: UInt64) async throws {
    let fixture = try await ComputeFixture()
    let service = try await fixture.start(
      "views: { v: { key: [source], window: { tumble: 1m }, allowed_lateness: 1h, aggregates: { n: count() } } }")
    var random = SeededGenerator(seed: seed)
    let sources = (0..<6).map { "device/\($0)" }
    let batches = (0..<300).map { _ in
      (0..<Int.random(in: 1...30, using: &random)).map { _ in
        Event(
          source: sources.randomElement(using: &random) ?? "", type: "reading",
          time: Timestamp(nanoseconds: 1_700_000_000_000_000_000 + Int64.random(in: 0..<600_000_000_000, using: &random)))
      }
    }
    let reading = sources.map { source in
      Task {
        var results: [PartialResult] = []
        while !Task.isCancelled {
          if let result = service.readAtOnce(try Self.request(source)) { results.append(result) }
          await Task.yield()
        }
        return results
      }
    }
    var end = OffsetVector()
    // The events of each partition, in the order of their offsets.
    var appended: [PartitionID: [String]] = [:]
    for batch in batches {
      end.formMaximum(try await fixture.append(batch) { 10 })
      for event in batch { appended[fixture.log.partition(of: event.source), default: []].append(event.source) }
    }
    _ = try await fixture.rows(service, "v", after: end)
    var seen = 0
    for (source, task) in zip(sources, reading) {
      let last = try #require(await Self.read(service, try Self.request(source, after: end)), "seed \(seed)")
      task.cancel()
      let partition = fixture.log.partition(of: source)
      for result in try await task.value + [last] {
        let counted = (0..<result.rows.count).reduce(into: Int64(0)) { sum, row in
          #expect(result.rows.partitions[row] == partition)
          if case .int(let n) = result.rows.withState(row, { result.definition.layout.value(of: 0, in: $0) }) { sum += n }
        }
        let offset = try #require(result.asOf[partition]).rawValue
        let expected = appended[partition, default: []].prefix(Int(offset)).count { $0 == source }
        try #require(counted == Int64(expected), "\(source) as of \(result.asOf), seed \(seed)")
        seen += 1
      }
      #expect(last.asOf == end)
    }
    #expect(seen > sources.count, "some were read while events came")
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("closed windows are had at once when they have been read before, and are those of the file")
  func settled() async throws {
    let fixture = try await ComputeFixture()
    let yaml = "views: { v: { key: [source], window: { tumble: 1m }, allowed_lateness: 0s, aggregates: { n: count() } } }"
    let service = try await fixture.start(yaml)
    let sources = (0..<9).map { "device/\($0)" }
    let events = (0..<900).map { Event(source: sources[$0 % 9], type: "reading", time: Self.minute($0 / 9)) }
    let end = try await fixture.append(events) { 50 }
    _ = try await fixture.rows(service, "v", after: end)
    for source in sources {
      var request = try Self.request(source)
      request.to = Self.minute(40)
      // Let go of by memory only when a checkpoint has them.
      let deadline = ContinuousClock.now + .seconds(20)
      var waited = try await service.read(request)
      while service.workers.allSatisfy({ $0.store.settled.count == 0 }), ContinuousClock.now < deadline {
        waited = try await service.read(request)
      }
      let atOnce = try #require(await Self.read(service, request))
      #expect(atOnce.rows.count == 40)
      #expect(StateHash(atOnce.rows) == StateHash(waited.rows))
      #expect(atOnce.asOf == waited.asOf)
    }
    #expect(service.workers.contains { $0.store.settled.count > 0 })
    await service.shutDown()
    try await fixture.remove()
  }

  @Test("is not had where it takes waiting, or another answer")
  func refusals() async throws {
    let fixture = try await ComputeFixture()
    let yaml = "views: { v: { key: [source], window: { tumble: 1m }, allowed_lateness: 1h, aggregates: { n: count() } } }"
    var service = try await fixture.start(yaml)
    let events = (0..<300).map { index in
      Event(source: "device/1", type: "reading", time: Self.minute(index))
    }
    let end = try await fixture.append(events) { 100 }
    _ = try await fixture.rows(service, "v", after: end)
    let whole = try Self.request("device/1")
    #expect(try await service.read(whole).rows.count == 300)
    #expect(service.readAtOnce(whole) == nil, "more rows than an event loop should write")
    let recent = try Self.request("device/1", from: Self.minute(250))
    #expect(await Self.read(service, recent) != nil)
    var other = recent
    other.key = nil
    #expect(service.readAtOnce(other) == nil, "of one key only")
    other = recent
    other.view = "none"
    #expect(service.readAtOnce(other) == nil, "there is no such view")
    other = recent
    other.generation = 7
    #expect(service.readAtOnce(other) == nil, "there is no such generation")
    other = recent
    other.asOf = end
    #expect(service.readAtOnce(other) == nil, "the past is read from the log")
    other = recent
    var later = end
    for partition in end.offsets.keys { later[partition] = end[partition]?.advanced(by: 1) }
    other.after = later
    #expect(service.readAtOnce(other) == nil, "that is to be waited for")
    await service.release([PartitionID(0)])
    #expect(service.readAtOnce(recent) == nil, "partition 0 is not here")
    await service.shutDown()
    // Nothing may stay in memory: it is in the file, which an event loop does not read.
    service = try await fixture.start(yaml, memoryBytesMax: 0)
    _ = try await fixture.rows(service, "v", after: end)
    let deadline = ContinuousClock.now + .seconds(20)
    while service.readAtOnce(recent) != nil, ContinuousClock.now < deadline { await Task.yield() }
    #expect(service.readAtOnce(recent) == nil)
    await service.shutDown()
    try await fixture.remove()
  }
}
