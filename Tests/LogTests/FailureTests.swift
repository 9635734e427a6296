import Events
import Testing

@testable import Log

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

@Suite("Failing calls")
struct FailureTests {
  /// The calls of one group: write, sync, marker.
  @Test("after a failed write or sync nothing is acknowledged any more, reads go on, and a restart recovers", arguments: [1, 2])
  func poisoned(call: Int) async throws {
    let files = FaultyFileSystem(seed: 1)
    let log = try await openLog(files)
    _ = try await log.append(batch(1...2))
    files.inject(.fail(EIO), after: call)
    await #expect(throws: LogError.self) { try await log.append(batch(3...4)) }
    let later = await appendAll(log, [batch(5...6), batch(7...8)])
    for result in later {
      #expect(throws: LogError.self) { try result.get() }
      if case .failure(let error) = result { #expect(error.code == .poisoned) }
    }
    guard case .refusing(let error) = log.status()[0].state else { Issue.record("not refusing"); return }
    #expect(error.code == .poisoned && error.place == "segment 0, errno \(EIO)")
    #expect(try await readAll(log).count == 2)
    await #expect(throws: LogError.self) { try await log.producerPositions(of: ["s"]) }
    await log.close()

    let again = try await openLog(files)
    // The batch that failed may have arrived or not; what was refused later was never written.
    let recovered = try await readAll(again).count
    #expect(recovered == 2 || recovered == 4)
    _ = try await again.append(batch(3...4))
    #expect(try await readAll(again).map(\.sequence) == [1, 2, 3, 4])
  }

  @Test("bytes that a failed sync left in the cache only are written once more before they count", arguments: 0..<40)
  func failedSyncThenPowerLoss(seed: Int) async throws {
    let files = FaultyFileSystem(seed: UInt64(seed))
    let log = try await openLog(files)
    _ = try await log.append(batch(1...2))
    files.inject(.fail(EIO), after: 2)
    _ = await appendAll(log, [batch(3...200)])
    #expect(log.status()[0].state != .open)
    await log.close()
    // The process restarts, the machine does not: the cache still has all, and takes it for clean.
    let second = try await openLog(files)
    let count = try await readAll(second).count
    #expect(count == 200)
    _ = try await second.append(batch(201...210))
    let after = files.afterCrash(.dropAll, seed: UInt64(seed))
    let third = try await openLog(after)
    #expect(third.status()[0].state == .open)
    #expect(try await readAll(third).map(\.sequence) == (1...210).map(UInt64.init))
  }
}
