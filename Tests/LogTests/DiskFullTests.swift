import Events
import Synchronization
import Testing

@testable import Log

@Suite("A full disk")
struct DiskFullTests {
  private func configuration(reserve: Int = 0, sync: LogConfiguration.SyncPolicy = .always) -> LogConfiguration {
    var configuration = testConfiguration(segmentBytesMax: 3000)
    configuration.diskReserveBytes = reserve
    configuration.diskRoomInterval = .milliseconds(1)
    configuration.sync = sync
    return configuration
  }

  @Test("appends are refused before the reserve is used, and taken again once there is room")
  func reserve() async throws {
    let files = FaultyFileSystem()
    let reserve = 4 << 20
    files.setDiskBytes(reserve + (2 << 20))
    let log = try await openLog(files, configuration(reserve: reserve))
    _ = try await log.append(batch(1...2))
    files.setDiskBytes(reserve + 1000)
    // The disk is asked once a second; until then what it last said counts.
    var sequence: UInt64 = 3
    let refusal = try await firstRefusal(log, &sequence)
    #expect(refusal.code == .diskFull)
    #expect(files.usedBytes < 2 << 20)
    guard case .refusing(let error) = log.status()[0].state else { Issue.record("not refusing"); return }
    #expect(error.code == .diskFull)
    #expect(try await readAll(log).count == sequence - 1)
    files.setDiskBytes(reserve + (8 << 20))
    #expect(await eventually { log.status()[0].state == .open })
    _ = try await log.append(batch(sequence...sequence))
    #expect(try await readAll(log).count == sequence)
    await log.close()
  }

  @Test("a batch that would fit is not taken behind one that did not: sent again, the one before would pass for a duplicate")
  func order() async throws {
    let files = FaultyFileSystem()
    let reserve = 4 << 20
    files.setDiskBytes(reserve + (8 << 10))
    var configuration = configuration(reserve: reserve)
    configuration.groupBytesMax = 1
    let scheduler = SimulatedScheduler(seed: 1)
    let log = try await SegmentedLog.open(
      configuration, fileSystem: files, logger: quiet, scheduler: scheduler, now: { Timestamp.systemNow() })
    let results = Mutex<[Bool]>([])
    func offer(_ batch: ColumnBatch) {
      log.append(batch) { result in
        results.withLock { $0.append((try? result.get()) != nil) }
      }
    }
    offer(batch(1...2))
    offer(batch(3...6000))
    offer(batch(6001...6001))
    scheduler.run()
    #expect(results.withLock { $0 } == [true, false, false])
    files.setDiskBytes(reserve + (64 << 20))
    scheduler.advance(configuration.diskRoomInterval)
    offer(batch(3...6000))
    offer(batch(6001...6001))
    scheduler.run()
    #expect(results.withLock { $0 } == [true, false, false, true, true])
    #expect(try await readAll(log).count == 6001)
    await log.close()
  }

  private func firstRefusal(_ log: SegmentedLog, _ sequence: inout UInt64) async throws -> LogError {
    let deadline = ContinuousClock.now + .seconds(10)
    while ContinuousClock.now < deadline {
      do throws(LogError) {
        _ = try await log.append(batch(sequence...sequence))
        sequence += 1
      } catch {
        return error
      }
    }
    throw LogError(.unavailable, "never refused")
  }

  @Test(
    "a write that finds the disk full is cut off, the same events are taken once there is room, and nothing acknowledged is lost",
    arguments: [LogConfiguration.SyncPolicy.always, .interval(.milliseconds(1)), .never], 0..<12)
  func cutOff(sync: LogConfiguration.SyncPolicy, seed: Int) async throws {
    let files = FaultyFileSystem(seed: UInt64(seed))
    let configuration = configuration(sync: sync)
    let log = try await openLog(files, configuration)
    var acknowledged: UInt64 = 0
    for at in 0..<20 {
      files.setDiskBytes(files.usedBytes + 40 + seed * 97 + at * 31)
      let first = acknowledged + 1
      let sequences = first...first + 9
      do throws(LogError) {
        _ = try await log.append(batch(sequences))
      } catch {
        try #require(error.code == .diskFull, "\(error)")
        files.setDiskBytes(nil)
        try #require(await eventually { log.status()[0].state == .open })
        let receipt = try await log.append(batch(sequences))
        try #require(
          receipt.exceptions.isEmpty && receipt.baseOffset.rawValue == acknowledged, "what was cut off is taken for known")
      }
      acknowledged = sequences.upperBound
      files.setDiskBytes(nil)
      try #require(try await log.append(batch(sequences)).exceptions.count == 10)
    }
    let expected = (1...acknowledged).map { $0 }
    let left = files.afterCrash(.kill, seed: UInt64(seed))
    await log.close()
    let again = try await openLog(left, configuration)
    #expect(try await readAll(again).compactMap(\.sequence) == expected)
    await again.close()
    #expect(try StoredLog(directory: "/data", fileSystem: left).verify(PartitionID(0)).findings == [])
  }

  @Test("remains of a cut-off write never come back among later ones, whatever a power loss keeps", arguments: 0..<60)
  func powerLoss(seed: Int) async throws {
    let files = FaultyFileSystem(seed: UInt64(seed))
    let log = try await openLog(files, configuration())
    _ = try await log.append(batch(1...2))
    files.setDiskBytes(files.usedBytes + 200 + seed * 41)
    _ = await appendAll(log, [batch(3...30), batch(31...60)])
    files.setDiskBytes(nil)
    #expect(await eventually { log.status()[0].state == .open })
    let known = try await readAll(log).count
    files.inject(.stop, after: 2)
    _ = await appendAll(log, [batch(UInt64(known + 1)...UInt64(known + 5))])
    let left = files.afterCrash(.arbitrary, seed: UInt64(seed))
    await log.close()
    let again = try await openLog(left, configuration())
    try #require(again.status()[0].state == .open)
    let found = try await readAll(again).compactMap(\.sequence)
    #expect(found.count >= known && found == (1...UInt64(found.count)).map { $0 })
    await again.close()
  }
}
