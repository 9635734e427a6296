import Aggregates
import Events
import Expressions
import Foundation
import Log
import TestSupport
import Testing
import Views

@testable import Compute

/// Keys beyond memory: whatever the bound, the same rows, to the last bit.
@Suite("Volume")
struct VolumeTests {
  private static func hash(_ result: PartialResult) -> StateHash { StateHash(result.rows) }

  private static func read(
    _ service: ComputeService, after: OffsetVector? = nil, asOf: OffsetVector? = nil
  ) async throws -> PartialResult {
    try await service.read(ViewReadRequest(view: "v", after: after, timeout: .seconds(120), asOf: asOf))
  }

  private static func memory(_ service: ComputeService) async -> Int {
    var bytes = 0
    for worker in service.workers { bytes += await worker.memoryBytes }
    return bytes
  }

  @Test(
    "with any bound on memory the states are those without one, also while events come and after a restart",
    arguments: WindowTests.Kind.allCases, [UInt64(1), 2, 3])
  func bounds(kind: WindowTests.Kind, seed: UInt64) async throws {
    let fixture = try await ComputeFixture()
    var random = SeededGenerator(seed: seed)
    let yaml = WindowTests.views(kind)
    let events = WindowTests.events(seed: seed, count: 900)
    // Nothing stays; some rows stay; the bound of one worker is another's.
    let bounds = [0, 40_000, Int.random(in: 1...200_000, using: &random)]
    let free = try await fixture.start(yaml, folder: "free")
    var bounded: [ComputeService] = []
    func start(_ index: Int) async throws -> ComputeService {
      try await fixture.start(
        yaml, workers: 1 + index % 2, changedRowsMax: Int.random(in: 5...500, using: &random), memoryBytesMax: bounds[index],
        folder: "bounded-\(index)")
    }
    for index in bounds.indices { bounded.append(try await start(index)) }
    let filter = try Expression(parsing: #"source == "device/3""#)
    let one = ViewReadRequest(view: "v", keyFilter: filter, key: try #require(filter.pointKey(["source"])).key)
    var rest = events[...]
    var end = OffsetVector()
    while !rest.isEmpty {
      let part = rest.prefix(Int.random(in: 50...250, using: &random))
      rest = rest.dropFirst(part.count)
      end.formMaximum(try await fixture.append(Array(part)) { Int.random(in: 1...40, using: &random) })
      for (index, service) in bounded.enumerated() {
        // Read while it counts: the rows are those of the offsets it says.
        let now = try await Self.read(service)
        let past = try await Self.read(free, asOf: now.asOf)
        try #require(Self.hash(now) == Self.hash(past), "\(kind), seed \(seed), bound \(bounds[index]), as of \(now.asOf)")
      }
      let whole = try await Self.read(free, after: end)
      for (index, service) in bounded.enumerated() {
        let result = try await Self.read(service, after: end)
        try #require(result.asOf == whole.asOf)
        try #require(Self.hash(result) == Self.hash(whole), "\(kind), seed \(seed), bound \(bounds[index]), as of \(end)")
        // One key at once, where it can be had: whatever is in memory only, or in the file too.
        if let now = service.readAtOnce(one) {
          var request = one
          request.asOf = now.asOf
          let past = try await free.read(request)
          try #require(Self.hash(now) == Self.hash(past), "\(kind), seed \(seed), bound \(bounds[index]), as of \(now.asOf)")
        }
        if !rest.isEmpty, Int.random(in: 0..<3, using: &random) == 0 {
          await service.shutDown()
          bounded[index] = try await start(index)
        }
      }
    }
    for (index, service) in bounded.enumerated() {
      let statuses = try await (service.views(), free.views())
      #expect(statuses.0.map { $0.partitions.map(\.late) } == statuses.1.map { $0.partitions.map(\.late) })
      #expect(try await service.verify("v", generation: nil, timeout: .seconds(60)).isSame, "bound \(bounds[index])")
      // One key alone, which takes another way.
      #expect(Self.hash(try await service.read(one)) == Self.hash(try await free.read(one)))
    }
    #expect(await Self.memory(free) > 0)
    await bounded[0].shutDown()
    #expect(await Self.memory(bounded[0]) == 0, "nothing may stay, and all is stored")
    for service in bounded.dropFirst() + [free] { await service.shutDown() }
    try await fixture.remove()
  }

  @Test("a replay beyond memory, cut short by a restart, gives the same states", arguments: [WindowTests.Kind.tumble, .session])
  func replay(kind: WindowTests.Kind) async throws {
    let fixture = try await ComputeFixture()
    let end = try await fixture.append(WindowTests.events(seed: 9, count: 1500)) { 20 }
    var service = try await fixture.start(WindowTests.views(kind), changedRowsMax: 50, memoryBytesMax: 0)
    let live = try await Self.read(service, after: end)
    _ = try await service.replay(ReplayRequest(view: "v"))
    await service.shutDown()
    service = try await fixture.start(WindowTests.views(kind), changedRowsMax: 50, memoryBytesMax: 0)
    let deadline = ContinuousClock.now + .seconds(60)
    while try await service.generations(of: "v").contains(where: { $0.state == .building }), ContinuousClock.now < deadline {
      try await Task.sleep(for: .milliseconds(5))
    }
    let replayed = try await service.read(ViewReadRequest(view: "v", generation: 2, after: end, timeout: .seconds(60)))
    #expect(Self.hash(replayed) == Self.hash(live) && replayed.rows.count > 0)
    await service.shutDown()
    try await fixture.remove()
  }
}
