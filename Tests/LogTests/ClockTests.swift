import Events
import Synchronization
import Testing

@testable import Log

/// A system's clock that is set, and one that is not.
private final class JumpingClock: Sendable {
  private let state = Mutex((wall: Int64(1_700_000_000_000_000_000), steady: Int64(5)))

  var wall: Timestamp { Timestamp(nanoseconds: state.withLock { $0.wall }) }
  var steady: Int64 { state.withLock { $0.steady } }

  func pass(_ duration: Duration) {
    state.withLock {
      $0.wall += duration.nanosecondsHeld
      $0.steady += duration.nanosecondsHeld
    }
  }

  func jump(_ duration: Duration) { state.withLock { $0.wall += duration.nanosecondsHeld } }
}

@Suite("A log's time, while the system's clock jumps")
struct ClockTests {
  private static let year = Duration.seconds(365 * 86_400)

  private func open(
    _ files: FaultyFileSystem, _ clock: JumpingClock, age: Duration? = nil, window: Duration = .seconds(3600)
  ) async throws -> SegmentedLog {
    var configuration = testConfiguration(segmentBytesMax: 1200)
    configuration.retention = .init(age: age)
    configuration.dedupWindow = window
    return try await SegmentedLog.open(
      configuration, fileSystem: files, logger: quiet, now: { clock.wall }, steady: { clock.steady }, confirmation: .seconds(600))
  }

  private func fill(_ log: SegmentedLog, _ clock: JumpingClock, from first: UInt64 = 1) async throws {
    for sequence in first..<(first + 12) {
      clock.pass(.seconds(5))
      _ = try await log.append(batch(sequence...sequence, of: "a source whose name takes some room"))
      log.watchClock()
    }
  }

  @Test("a year ahead for three seconds deletes nothing that is minutes old, and what is old goes as if nothing had been")
  func aYearAheadForThreeSeconds() async throws {
    let (files, clock) = (FaultyFileSystem(), JumpingClock())
    let log = try await open(files, clock, age: .seconds(3600))
    try await fill(log, clock)
    clock.jump(Self.year)
    for _ in 0..<3 {
      #expect(try await log.enforceRetention(.nothing) == 0)
      log.watchClock()
      _ = try await log.append(batch([event(id: "\(clock.steady)")]))
      clock.pass(.seconds(1))
    }
    clock.jump(.zero - Self.year)
    log.watchClock()
    #expect(try await log.enforceRetention(.nothing) == 0)
    let start = try await log.bounds(of: PartitionID(0)).startOffset
    #expect(start == .zero)
    // An event appended meanwhile has the time that it was.
    let last = try await log.read(PartitionID(0), from: Offset(14), bytesMax: 1)[0].header.appendTime
    #expect(abs(last.nanoseconds - clock.wall.nanoseconds) < 10_000_000_000)
    clock.pass(.seconds(3700))
    log.watchClock()
    _ = try await log.enforceRetention(.nothing)
    #expect(try await log.bounds(of: PartitionID(0)).startOffset > .zero)
    await log.close()
  }

  @Test("a jump that lasts is taken in, and nothing is older by it, not even after a restart")
  func lasting() async throws {
    let (files, clock) = (FaultyFileSystem(), JumpingClock())
    let log = try await open(files, clock, age: .seconds(3600))
    try await fill(log, clock)
    clock.jump(Self.year)
    for _ in 0..<700 {
      log.watchClock()
      clock.pass(.seconds(1))
    }
    try await fill(log, clock, from: 13)
    let end = try await log.bounds(of: PartitionID(0)).highWatermark
    let last = try await log.read(PartitionID(0), from: end.advanced(by: -1), bytesMax: 1)[0].header.appendTime
    #expect(abs(last.nanoseconds - clock.wall.nanoseconds) < 10_000_000_000, "append times follow the clock again")
    #expect(try await log.enforceRetention(.nothing) == 0)
    let left = files.afterCrash(.dropAll, seed: 0)
    await log.close()
    let again = try await open(left, clock, age: .seconds(3600))
    #expect(try await again.enforceRetention(.nothing) == 0)
    clock.pass(.seconds(3700))
    again.watchClock()
    #expect(try await again.enforceRetention(.nothing) > 0)
    await again.close()
  }

  @Test("opened while the clock is a year ahead, it deletes nothing before that has lasted, nor after it was wrong")
  func openedAhead() async throws {
    let (files, clock) = (FaultyFileSystem(), JumpingClock())
    let log = try await open(files, clock, age: .seconds(3600))
    try await fill(log, clock)
    await log.close()
    clock.jump(Self.year)
    let ahead = try await open(files, clock, age: .seconds(3600))
    try await fill(ahead, clock, from: 13)
    #expect(try await ahead.enforceRetention(.nothing) == 0)
    clock.jump(.zero - Self.year)
    for _ in 0..<1300 {
      ahead.watchClock()
      clock.pass(.seconds(1))
    }
    #expect(try await ahead.enforceRetention(.nothing) == 0, "which of the two times was right is not known")
    clock.pass(.seconds(3600))
    ahead.watchClock()
    #expect(try await ahead.enforceRetention(.nothing) > 0)
    await ahead.close()
  }

  @Test("the time that a server was down counts, once the clock has kept for a while")
  func downtime() async throws {
    let (files, clock) = (FaultyFileSystem(), JumpingClock())
    let log = try await open(files, clock, age: .seconds(3600))
    try await fill(log, clock)
    await log.close()
    clock.pass(.seconds(86_400))
    let again = try await open(files, clock, age: .seconds(3600))
    #expect(try await again.enforceRetention(.nothing) == 0)
    clock.pass(.seconds(601))
    again.watchClock()
    #expect(try await again.enforceRetention(.nothing) > 0)
    await again.close()
  }

  @Test("a log that was first written ten years ahead ages as any other, over restarts too")
  func tenYearsAhead() async throws {
    let (files, clock) = (FaultyFileSystem(), JumpingClock())
    clock.jump(Self.year * 10)
    let log = try await open(files, clock, age: .seconds(3600))
    try await fill(log, clock)
    await log.close()
    clock.jump(.zero - Self.year * 10)
    for round in 0..<3 {
      let again = try await open(files, clock, age: .seconds(3600))
      let removed = try await again.enforceRetention(.nothing)
      #expect(removed == 0 || round > 0)
      clock.pass(.seconds(1300))
      again.watchClock()
      // Its time goes on with its appends.
      try await fill(again, clock, from: UInt64(13 + round * 12))
      await again.close()
    }
    let last = try await open(files, clock, age: .seconds(3600))
    _ = try await last.enforceRetention(.nothing)
    let bounds = try await last.bounds(of: PartitionID(0))
    #expect(bounds.startOffset > Offset(6) && bounds.startOffset < bounds.highWatermark)
    await last.close()
  }

  @Test("a dedup window of two seconds is over after two, though the clock was a day ahead before", arguments: [true, false])
  func dedup(isRestarted: Bool) async throws {
    let (files, clock) = (FaultyFileSystem(), JumpingClock())
    clock.jump(.seconds(86_400))
    var log = try await open(files, clock, window: .seconds(2))
    func again() async throws -> Bool { try await !log.append(batch([event("s", id: "once")])).exceptions.isEmpty }
    #expect(try await !again())
    #expect(try await again(), "it is known still")
    clock.jump(.seconds(-86_400))
    log.watchClock()
    if isRestarted {
      await log.close()
      log = try await open(files, clock, window: .seconds(2))
    }
    clock.pass(.seconds(1))
    #expect(try await again(), "one second has passed")
    clock.pass(.milliseconds(1100))
    #expect(try await !again(), "more than two have passed")
    await log.close()
  }

  @Test("a clock that is set right little by little, or back by less than a second, is followed without a word")
  func slewed() async throws {
    let (files, clock) = (FaultyFileSystem(), JumpingClock())
    let log = try await open(files, clock)
    var last = Timestamp(nanoseconds: 0)
    for at in 0..<200 {
      clock.pass(.seconds(1))
      clock.jump(at % 3 == 0 ? .milliseconds(-400) : .milliseconds(300))
      log.watchClock()
      let receipt = try await log.append(batch([event(id: "\(at)")]))
      let time = try await log.read(PartitionID(0), from: receipt.baseOffset, bytesMax: 1)[0].header.appendTime
      try #require(time > last && abs(time.nanoseconds - clock.wall.nanoseconds) < 1_000_000_000)
      last = time
    }
    await log.close()
  }
}
