import Events
import Synchronization
import TestSupport
import Testing

@testable import Log

@Suite("Segmented log")
struct SegmentedLogTests {
  @Test("real files behave as those in memory do")
  func posix() async throws {
    let directory = try temporaryDirectory()
    defer { removeRecursively(directory) }
    var configuration = testConfiguration(partitions: 3, segmentBytesMax: 4096)
    configuration.directory = directory + "/data"
    let log = try await SegmentedLog.open(configuration, logger: quiet)
    for at in 0..<60 { _ = try await log.append(batch(1...4, of: "s\(at)", partition: at % 3)) }
    await #expect(throws: LogError.self) { try await SegmentedLog.open(configuration, logger: quiet) }
    let before = try await readAll(log, 1)
    #expect(before.count == 80)
    await log.close()
    let again = try await SegmentedLog.open(configuration, logger: quiet)
    #expect(try await readAll(again, 1, bytesMax: 1) == before)
    #expect(again.reports.map(\.tornBytes) == [0, 0, 0] && again.reports.map(\.sealedSegmentsScanned) == [0, 0, 0])
    #expect(try await again.append(batch(4...5, of: "s1", partition: 1)).exceptions == [.init(row: 0, reason: .duplicate)])
    await again.close()
  }

  @Test("no segment is larger than it may be, however batches are compressed", arguments: [BatchHeader.Codec.none, .deflate])
  func sizes(_ codec: BatchHeader.Codec) async throws {
    var configuration = testConfiguration(segmentBytesMax: 3000)
    configuration.codec = codec
    let files = FaultyFileSystem()
    let log = try await openLog(files, configuration)
    for at in 0..<30 { _ = try await log.append(batch(UInt64(at * 10 + 1)...UInt64(at * 10 + 10))) }
    let sizes = files.paths.filter { $0.hasSuffix(".segment") }.map { files.contents($0)?.count ?? 0 }
    #expect(sizes.count > 1 && sizes.allSatisfy { $0 <= 3000 })
    await log.close()
  }

  @Test("one group of appends is one write and one sync")
  func groupCommit() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files)
    let calls = Mutex<(atHold: Int, release: Bool)>((0, false))
    // The first completion holds the writer until the others wait.
    let others = (UInt64(1)...50).map { (at: UInt64) -> ColumnBatch in batch(at * 10...at * 10 + 3) }
    let done = Atomic<Int>(0)
    log.append(batch(1...1)) { _ in
      while !calls.withLock({ $0.release }) {}
      done.add(1, ordering: .relaxed)
    }
    for other in others { log.append(other) { _ in done.add(1, ordering: .relaxed) } }
    let before = files.calls
    let syncs = files.syncs
    calls.withLock { $0.release = true }
    #expect(await eventually { done.load(ordering: .relaxed) == 51 })
    // At most the first group's and the others': on a busy machine the first may still have been on its way.
    #expect(files.calls - before <= 6)
    #expect(files.syncs - syncs <= 2)
    await log.close()
  }

  @Test("start-up reads at most one segment a partition, and nothing but the indexes' first bytes of the others")
  func startUpReads() async throws {
    let files = FaultyFileSystem()
    let configuration = testConfiguration(segmentBytesMax: 4000)
    let log = try await openLog(files, configuration)
    for at in 0..<200 { _ = try await log.append(batch(UInt64(at * 5 + 1)...UInt64(at * 5 + 5), of: "s\(at % 9)")) }
    #expect(log.status()[0].segments > 10)
    await log.close()
    files.resetAccounting()
    let again = try await openLog(files, configuration)
    #expect(files.bytesRead(suffix: ".segment") <= 4000)
    #expect(files.bytesRead(suffix: ".index") == 64 * (again.status()[0].segments - 1))
    #expect(again.reports[0].sealedSegmentsScanned == 0)
    await again.close()
  }

  @Test("a second writer is refused until the first has closed")
  func lock() async throws {
    let files = FaultyFileSystem()
    let log = try await openLog(files)
    do {
      _ = try await openLog(files)
      Issue.record("opened twice")
    } catch { #expect(error.code == .locked) }
    await log.close()
    await (try openLog(files)).close()
  }

  @Test("another partition count is refused, with what to do")
  func partitionCount() async throws {
    let files = FaultyFileSystem()
    await (try openLog(files, testConfiguration(partitions: 4))).close()
    do {
      _ = try await openLog(files, testConfiguration(partitions: 8))
      Issue.record("opened")
    } catch {
      #expect(error.code == .incompatible)
      #expect(error.detail.contains("set log.partitions to 4"))
    }
    await (try openLog(files, testConfiguration(partitions: 4))).close()
  }

  @Test("a log of a later format version is refused")
  func laterVersion() async throws {
    let files = FaultyFileSystem()
    await (try openLog(files)).close()
    var record = try #require(files.contents("/data/log/meta"))
    record[4] = 2
    let sum = record.withUnsafeBytes { checksum(UnsafeRawBufferPointer(rebasing: $0[0..<60])) }
    record.replaceSubrange(60..<64, with: withUnsafeBytes(of: sum.littleEndian) { Array($0) })
    files.set("/data/log/meta", record)
    do {
      _ = try await openLog(files)
      Issue.record("opened")
    } catch { #expect(error.code == .incompatible) }
  }

  @Test("a full queue refuses, and takes again once it is drained")
  func backpressure() async throws {
    var configuration = testConfiguration()
    configuration.pendingBatchesMax = 3
    let log = try await openLog(FaultyFileSystem(), configuration)
    let isHeld = Atomic(true)
    let isHolding = Atomic(false)
    log.append(batch(1...1)) { _ in
      isHolding.store(true, ordering: .releasing)
      while isHeld.load(ordering: .acquiring) {}
    }
    #expect(await eventually { isHolding.load(ordering: .acquiring) })
    let codes = Mutex<[LogError.Code?]>([])
    for at in 2...7 {
      log.append(batch(UInt64(at)...UInt64(at))) { result in
        codes.withLock { codes in
          if case .failure(let error) = result { codes.append(error.code) } else { codes.append(nil) }
        }
      }
    }
    #expect(codes.withLock { $0 } == [.unavailable, .unavailable, .unavailable])
    isHeld.store(false, ordering: .releasing)
    #expect(await eventually { codes.withLock { $0.count } == 6 })
    #expect(codes.withLock { $0.suffix(3) } == [nil, nil, nil])
    _ = try await log.append(batch(9...9))
    await log.close()
  }

  @Test("append times rise from group to group, whatever the clock does")
  func appendTimes() async throws {
    let clock = TestClock()
    let files = FaultyFileSystem()
    var log = try await openLog(files, clock: clock)
    var last = Timestamp(nanoseconds: 0)
    for at in 1...6 {
      if at == 4 {
        await log.close()
        log = try await openLog(files, clock: clock)
      }
      let receipt = try await log.append(batch(UInt64(at)...UInt64(at)))
      let read = try await log.read(PartitionID(0), from: receipt.baseOffset, bytesMax: 1)
      let time = try #require(read.first).header.appendTime
      #expect(time > last)
      last = time
      clock.advance(.seconds(at % 2 == 0 ? -10 : 3))
    }
    await log.close()
  }

  @Test("sync: interval shows only what is synced, and keeps that through a power loss", arguments: 0..<20)
  func interval(seed: Int) async throws {
    let files = FaultyFileSystem(seed: UInt64(seed))
    var configuration = testConfiguration(segmentBytesMax: 3000)
    configuration.sync = .interval(.milliseconds(1))
    let log = try await openLog(files, configuration)
    for at in 1...30 { _ = try await log.append(batch(UInt64(at * 3)...UInt64(at * 3 + 2))) }
    let seen = try await readAll(log)
    let after = files.afterCrash(.arbitrary, seed: UInt64(seed))
    await log.close()
    let again = try await openLog(after, configuration)
    try #require(again.status()[0].state == .open, "seed \(seed): \(again.status()[0].state)")
    let kept = try await readAll(again)
    #expect(kept.count >= seen.count && Array(kept.prefix(seen.count)) == seen)
    #expect(kept.map(\.sequence) == (3..<3 + UInt64(kept.count)).map { $0 })
    await again.close()
  }

  @Test(
    "sync: interval and never write everything on close",
    arguments: [LogConfiguration.SyncPolicy.interval(.seconds(60)), .never])
  func relaxedClose(_ sync: LogConfiguration.SyncPolicy) async throws {
    let files = FaultyFileSystem()
    var configuration = testConfiguration()
    configuration.sync = sync
    let log = try await openLog(files, configuration)
    _ = try await log.append(batch(1...5))
    #expect(try await log.bounds(of: PartitionID(0)).highWatermark == Offset(sync == .never ? 5 : 0))
    await log.close()
    let again = try await openLog(files.afterCrash(.dropAll, seed: 1), configuration)
    #expect(try await readAll(again).count == 5)
    await again.close()
  }

  @Test("retention removes whole segments by bytes and age, and never what is still to be read")
  func retention() async throws {
    let clock = TestClock()
    let files = FaultyFileSystem()
    var configuration = testConfiguration(segmentBytesMax: 2000)
    configuration.retention = .init(age: .seconds(100), bytes: 8000)
    let log = try await openLog(files, configuration, clock: clock)
    for at in 0..<100 {
      clock.advance(.seconds(1))
      _ = try await log.append(batch(UInt64(at * 3 + 1)...UInt64(at * 3 + 3)))
    }
    let all = try await readAll(log)
    let segments = log.status()[0].segments
    #expect(try await log.enforceRetention(.from(OffsetVector([PartitionID(0): Offset(0)]))) == 0)
    let removed = try await log.enforceRetention(.from(OffsetVector([PartitionID(0): Offset(290)])))
    #expect(removed > 0 && log.status()[0].segments == segments - removed && log.status()[0].bytes <= 8000)
    let start = try await log.bounds(of: PartitionID(0)).startOffset
    #expect(start > .zero && start <= Offset(290))
    #expect(try await readAll(log) == Array(all[Int(start.rawValue)...]))
    do {
      _ = try await log.read(PartitionID(0), from: .zero, bytesMax: 1)
      Issue.record("read what is gone")
    } catch { #expect(error.code == .outOfRange) }
    await log.close()
    let again = try await openLog(files.afterCrash(.dropAll, seed: 0), configuration, clock: clock)
    #expect(try await again.bounds(of: PartitionID(0)).startOffset == start)
    #expect(try await again.append(batch(1...3)).exceptions.count == 3)
    clock.advance(.seconds(1000))
    _ = try await again.enforceRetention(.nothing)
    #expect(again.status()[0].segments == 1)
    await again.close()
  }
}
