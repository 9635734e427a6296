import Events
import Testing

@testable import Log

@Suite("Retention")
struct RetentionTests {
  private let partition = PartitionID(0)

  /// Each source in a segment or two of its own, so that retention takes all that some have sent.
  private func filled(_ files: FaultyFileSystem, _ configuration: LogConfiguration, _ clock: TestClock) async throws
    -> SegmentedLog
  {
    let log = try await openLog(files, configuration, clock: clock)
    for at in 0..<30 {
      clock.advance(.seconds(10))
      _ = try await log.append(batch(1...5, of: "source/\(at)"))
    }
    return log
  }

  private func configuration(age: Duration? = nil, bytes: Int? = nil) -> LogConfiguration {
    var configuration = testConfiguration(segmentBytesMax: 1200)
    configuration.retention = .init(age: age, bytes: bytes)
    return configuration
  }

  @Test(
    "while nothing is known of who reads, or not of this partition, all is kept",
    arguments: [RetentionHold.everything, .from(OffsetVector())])
  func unknown(hold: RetentionHold) async throws {
    let clock = TestClock()
    let log = try await filled(FaultyFileSystem(), configuration(bytes: 1200), clock)
    #expect(try await log.enforceRetention(hold) == 0)
    #expect(try await log.bounds(of: partition).startOffset == .zero)
    await log.close()
  }

  @Test(
    "sources whose events are all gone are known still, after every kind of restart", arguments: FaultyFileSystem.Crash.allCases)
  func gone(crash: FaultyFileSystem.Crash) async throws {
    let (clock, files) = (TestClock(), FaultyFileSystem())
    let configuration = configuration(bytes: 1200)
    let log = try await filled(files, configuration, clock)
    #expect(try await log.enforceRetention(.nothing) > 5)
    let start = try await log.bounds(of: partition).startOffset
    #expect(start > Offset(100))
    let error = await #expect(throws: LogError.self) { try await log.read(partition, from: .zero, bytesMax: 1) }
    #expect(error?.code == .outOfRange && error?.detail.contains("holds \(start) up to 150") == true)

    let left = files.afterCrash(crash, seed: 5)
    await log.close()
    let again = try await openLog(left, configuration, clock: clock)
    #expect(try await again.bounds(of: partition) == PartitionBounds(startOffset: start, highWatermark: Offset(150)))
    for at in 0..<30 {
      let receipt = try await again.append(batch(3...6, of: "source/\(at)"))
      try #require(receipt.exceptions.map(\.row) == [0, 1, 2] && receipt.endOffset == receipt.baseOffset.advanced(by: 1))
    }
    #expect(try StoredLog(directory: "/data", fileSystem: left).verify(partition).findings == [])
    await again.close()
  }

  @Test("an active segment begun too long ago is sealed, so that few events are old, however few come")
  func age() async throws {
    let (clock, files) = (TestClock(), FaultyFileSystem())
    var configuration = testConfiguration()
    configuration.retention = .init(age: .seconds(100))
    let log = try await openLog(files, configuration, clock: clock)
    for at in 0..<50 {
      clock.advance(.seconds(10))
      _ = try await log.append(batch(UInt64(at + 1)...UInt64(at + 1)))
      _ = try await log.enforceRetention(.nothing)
    }
    let bounds = try await log.bounds(of: partition)
    #expect((10...23).contains(bounds.startOffset.distance(to: bounds.highWatermark)))
    clock.advance(.seconds(1000))
    _ = try await log.enforceRetention(.nothing)
    #expect(try await log.bounds(of: partition).startOffset == Offset(50))
    #expect(try await log.append(batch(50...50)).exceptions.count == 1)
    await log.close()
  }

  @Test("a damaged producer snapshot is written anew before segments go, and refused where they have gone")
  func snapshots() async throws {
    let (clock, files) = (TestClock(), FaultyFileSystem())
    let configuration = configuration(bytes: 1200)
    let log = try await filled(files, configuration, clock)
    for path in files.paths where path.hasSuffix(".producers") { files.set(path, [1, 2, 3]) }
    #expect(try await log.enforceRetention(.nothing) > 0)
    let whole = try await openLog(files.afterCrash(.kill, seed: 0), configuration, clock: clock)
    #expect(try await whole.append(batch(1...5, of: "source/0")).exceptions.count == 5)
    await whole.close()
    for path in files.paths where path.hasSuffix(".producers") { files.set(path, [1, 2, 3]) }
    let refused = try await openLog(files.afterCrash(.kill, seed: 0), configuration, clock: clock)
    guard case .failed(let error) = refused.status()[0].state else {
      Issue.record("opened without knowing who had sent what")
      return
    }
    #expect(error.code == .corrupt)
    await log.close()
  }

  @Test("the command's rule is the server's")
  func trim() async throws {
    let (clock, files) = (TestClock(), FaultyFileSystem())
    let configuration = configuration(age: .seconds(100), bytes: 4000)
    let log = try await filled(files, configuration, clock)
    await log.close()
    let stored = try StoredLog(directory: "/data", fileSystem: files)
    let surplus = try stored.partition(partition).surplus(configuration.retention, at: clock.now)
    #expect(!surplus.isEmpty)
    let (copy, left) = (files.afterCrash(.kill, seed: 0), files.afterCrash(.kill, seed: 0))
    try LogTrim(try StoredLog(directory: "/data", fileSystem: copy)).remove(surplus, of: partition)
    let (trimmed, served) = (
      try await openLog(copy, configuration, clock: clock), try await openLog(left, configuration, clock: clock)
    )
    _ = try await served.enforceRetention(.nothing)
    #expect(try await trimmed.bounds(of: partition).startOffset == surplus.last?.end)
    #expect(try await readAll(trimmed).suffix(try await readAll(served).count) == (try await readAll(served))[...])
    await trimmed.close()
    await served.close()
  }
}
