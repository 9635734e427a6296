import Events
import Testing

@testable import Log

@Suite("Repairing a partition")
struct RepairTests {
  /// Damages a log of several segments in one place.
  private func damaged(_ segment: Int, at position: Int) async throws -> (FaultyFileSystem, LogConfiguration, [Event], [String]) {
    let (files, configuration, events) = try await DamageTests.segmented()
    let segments = files.paths.filter { $0.hasSuffix(".segment") }.sorted()
    var bytes = try #require(files.contents(segments[segment]))
    bytes[position < 0 ? bytes.count + position : position] ^= 4
    files.set(segments[segment], bytes)
    return (files, configuration, events, segments)
  }

  @Test(
    "keeps what lies before the damage, puts the originals aside, and the log goes on from there", arguments: 0..<4, [70, -1])
  func before(segment: Int, position: Int) async throws {
    let (files, configuration, events, segments) = try await damaged(segment, at: position)
    let stored = try StoredLog(directory: "/data", fileSystem: files)
    let originals = files.paths.filter { $0.hasPrefix("/data/log/0/") }.compactMap { files.contents($0) }
    let repair = try LogRepair(stored)
    let plan = try #require(try repair.plan(PartitionID(0)))
    let unchanged = files.paths.filter { $0.hasPrefix("/data/log/0/") }.compactMap { files.contents($0) }
    #expect(unchanged == originals, "a plan changes nothing")
    let aside = try repair.apply(plan, name: "test")
    #expect(try repair.plan(PartitionID(0)) == nil, "nothing is left to repair")
    for path in segments[segment...] {
      #expect(files.contents(path.replacing("/data/log/0", with: aside)) != nil, "\(path) is not kept")
    }
    await #expect(throws: LogError.self, "the lock is held") { try await openLog(files, configuration) }
    _ = consume repair

    let log = try await openLog(files.afterCrash(.dropAll, seed: 0), configuration)
    try #require(log.status()[0].state == .open)
    let kept = try await readAll(log)
    #expect(kept == Array(events.prefix(kept.count)) && kept.count == plan.endOffset.rawValue)
    // Sent again, what was cut is taken, and what was kept is known.
    for at in 0..<12 { _ = try await log.append(batch(1...5, of: "source/\(at)")) }
    let all = try await readAll(log).filter { $0.sequence != nil }
    #expect(all.count == 60 && Set(all.map { "\($0.source) \($0.sequence ?? 0)" }).count == 60)
    await log.close()
  }

  @Test("keeps what lies behind the damage when told to", arguments: [0, 1])
  func after(segment: Int) async throws {
    let (files, configuration, events, _) = try await damaged(segment, at: 70)
    let stored = try StoredLog(directory: "/data", fileSystem: files)
    do {
      let repair = try LogRepair(stored)
      let plan = try #require(try repair.plan(PartitionID(0), keeping: .after))
      _ = try repair.apply(plan, name: "test")
    }
    let log = try await openLog(files, configuration)
    let start = try await log.bounds(of: PartitionID(0)).startOffset
    let kept = try await readAll(log)
    #expect(start > .zero && kept == Array(events[Int(start.rawValue)...]))
    // Who sent what is gone is still known.
    try await DamageTests.checkExactlyOnce(log, "after")
    await log.close()
    #expect(try stored.verify(PartitionID(0)).findings == [])
  }

  @Test("a missing segment is repaired on either side", arguments: RepairPlan.Side.allCases)
  func missing(side: RepairPlan.Side) async throws {
    let (files, configuration, events) = try await DamageTests.segmented()
    let segments = files.paths.filter { $0.hasSuffix(".segment") }.sorted()
    files.delete(segments[1])
    do {
      let repair = try LogRepair(try StoredLog(directory: "/data", fileSystem: files))
      _ = try repair.apply(try #require(try repair.plan(PartitionID(0), keeping: side)), name: "test")
    }
    let log = try await openLog(files, configuration)
    try #require(log.status()[0].state == .open)
    let bounds = try await log.bounds(of: PartitionID(0))
    let kept = try await readAll(log)
    #expect(!kept.isEmpty && kept == Array(events[Int(bounds.startOffset.rawValue)..<Int(bounds.highWatermark.rawValue)]))
    await log.close()
  }

  /// Nil when the partition does not open, or cannot be read whole.
  private func readable(_ log: SegmentedLog) async -> [Event]? {
    do { return try await readAll(log) } catch { return nil }
  }

  @Test("cut off at any call, the partition refuses or is repaired, and can be repaired again")
  func interrupted() async throws {
    let (damaged, configuration, events, _) = try await damaged(1, at: 70)
    for call in 1...80 {
      let files = damaged.afterCrash(.kill, seed: 0)
      let stored = try StoredLog(directory: "/data", fileSystem: files)
      let plan: RepairPlan
      do {
        let repair = try LogRepair(stored)
        plan = try #require(try repair.plan(PartitionID(0)))
        files.inject(.stop, after: call)
        _ = try? repair.apply(plan, name: "test")
      }
      let isWhole = !files.isStopped
      let left = files.afterCrash(.arbitrary, seed: UInt64(call))
      let log = try await openLog(left, configuration)
      let kept = await readable(log)
      await log.close()
      if let kept {
        try #require(kept == Array(events.prefix(kept.count)) && kept.count == plan.endOffset.rawValue, "call \(call)")
      } else {
        let again = try LogRepair(try StoredLog(directory: "/data", fileSystem: left))
        _ = try again.apply(try #require(try again.plan(PartitionID(0))), name: "again")
        #expect(try again.plan(PartitionID(0)) == nil)
      }
      if isWhole { return }
    }
    Issue.record("a repair of more than 80 calls")
  }

  @Test("a whole log has nothing to repair, and a running one is refused")
  func nothing() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files)
    _ = try await log.append(batch(1...3))
    let stored = try StoredLog(directory: "/data", fileSystem: files)
    let error = #expect(throws: LogError.self) { try LogRepair(stored) }
    #expect(error?.code == .locked)
    await log.close()
    #expect(try LogRepair(stored).plan(PartitionID(0)) == nil)
  }
}
