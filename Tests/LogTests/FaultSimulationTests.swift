import Events
import Synchronization
import TestSupport
import Testing

@testable import Log

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A whole log under every fault of `FaultyFileSystem`'s model, on one thread, in an order that the seed decides.
///
/// On top of that model: EIO, ENOSPC or EDQUOT of any call, a full disk, a machine that stops at any call, power lost or the
/// process killed at any moment, also while starting, and one bit flipped in any file while nobody has the log open. After each
/// the invariants hold, or the partition refuses and says why:
/// - I1 what is acknowledged is read by every later reader, in order, once; with policies other than `always`, unless power is
///   lost
/// - I2 offsets are dense · I3 no (source, epoch, sequence) is there twice, whatever retention has removed
/// - I4 each batch's events = appended + duplicates + fenced
/// - I5, I6, I7 as a reader with a checkpoint sees them: what it has folded up to its offset is the fold of the log up to there,
///   and folding once more from the start gives the same
@Suite("A log under faults")
struct FaultSimulationTests {
  /// `PENSTOCK_FAULT_SEEDS=10000` for as many as one likes; `PENSTOCK_FAULT_FIRST` for where to begin.
  static let first = number("PENSTOCK_FAULT_FIRST") ?? 0
  static let seeds = first..<first + (number("PENSTOCK_FAULT_SEEDS") ?? 40)

  private static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

  @Test("the invariants hold, or it refuses loudly", arguments: seeds)
  func simulate(seed: UInt64) async throws {
    var run = try await Simulation(seed: seed)
    for _ in 0..<60 { try await run.step() }
    try await run.restart(.kill)
  }

  @Test("the same seed makes the same calls", arguments: [3, 4] as [UInt64])
  func deterministic(seed: UInt64) async throws {
    var traces: [[String]] = []
    for _ in 0..<2 {
      var run = try await Simulation(seed: seed)
      for _ in 0..<40 { try await run.step() }
      traces.append(run.steps + ["\(run.files.calls) calls, \(run.files.usedBytes) bytes"])
    }
    #expect(traces[0] == traces[1])
  }
}

/// One partition's events as they must be, and a reader with a checkpoint.
private struct PartitionExpectation {
  /// From offset 0 on, those that retention has removed among them.
  var model = PartitionModel()
  /// Acknowledged: the first so many of `model`.
  var start = 0
  /// The events of batches that failed since the last start: they may turn up after a restart, or not.
  var uncertain: [[Event]] = []
  var isBroken = false
  var checkpoint = Fold()

  struct Fold: Equatable {
    var next = 0
    var sum: Int64 = 0

    mutating func take(_ event: Event) {
      next += 1
      if case .int(let value) = event.data { sum = sum &* 31 &+ value }
    }
  }
}

private struct Simulation {
  let seed: UInt64
  var random: SeededGenerator
  var files: FaultyFileSystem
  var scheduler: SimulatedScheduler
  var configuration: LogConfiguration
  let clock = TestClock()
  var log: SegmentedLog
  var partitions: [PartitionExpectation]
  var counter: Int64 = 0
  var steps: [String] = []

  init(seed: UInt64) async throws {
    self.seed = seed
    random = SeededGenerator(seed: seed)
    files = FaultyFileSystem(seed: seed)
    scheduler = SimulatedScheduler(seed: seed)
    configuration = testConfiguration(partitions: Int(seed % 3) + 1, segmentBytesMax: [1500, 4000, 20_000][Int(seed / 3 % 3)])
    configuration.sync = seed % 5 == 3 ? .interval(.milliseconds(5)) : seed % 5 == 4 ? .never : .always
    configuration.codec = seed % 7 == 6 ? .deflate : .none
    configuration.recentBytesMax = seed % 2 == 0 ? 0 : 1500
    configuration.groupBytesMax = seed % 4 == 0 ? 1500 : 1 << 20
    configuration.retention = .init(age: .seconds(60), bytes: 12_000)
    configuration.dedupWindow = .seconds(1_000_000)
    partitions = Array(repeating: PartitionExpectation(), count: configuration.partitions)
    log = try await SegmentedLog.open(
      configuration, fileSystem: files, logger: quiet, scheduler: scheduler, now: { [clock] in clock.now })
  }

  // MARK: steps

  mutating func step() async throws {
    scheduler.settle()
    switch Int.random(in: 0..<24, using: &random) {
    case 0..<9: try await append()
    case 9..<12: try await read()
    case 12..<14: try await fold()
    case 14: try await retain()
    case 15: files.makeFlaky()
    case 16: try await fillDisk()
    case 17..<20: try await failSomething()
    case 20: try await restart(nil)
    case 21: try await restart([.kill, .dropAll, .arbitrary].randomElement(using: &random))
    default: try await flipBit()
    }
    clock.advance(.milliseconds(Int.random(in: -5...20, using: &random)))
    scheduler.advance(.milliseconds(Int.random(in: 0...4, using: &random)))
  }

  private mutating func makeEvents(_ partition: Int) -> [Event] {
    (0..<Int.random(in: 1...5, using: &random)).map { _ in
      counter += 1
      let source = "source/\(Int.random(in: 0..<4, using: &random))"
      switch Int.random(in: 0..<8, using: &random) {
      case 0: return event(source, id: "id \(Int.random(in: 0..<40, using: &random))", value: counter)
      case 1: return event(source, value: counter, text: String(repeating: "x", count: Int.random(in: 0...900, using: &random)))
      default:
        let last = partitions[partition].model.positions[source] ?? ProducerPosition(epoch: 0, sequence: 0)
        let epoch =
          Int.random(in: 0..<20, using: &random) == 0 ? UInt64.random(in: 0...(last.epoch + 1), using: &random) : last.epoch
        let back = min(last.sequence, UInt64.random(in: 0..<3, using: &random))
        return event(
          source, sequence: last.sequence - back + UInt64.random(in: 0..<6, using: &random), epoch: epoch == 0 ? nil : epoch,
          value: counter)
      }
    }
  }

  /// Gives several batches to several partitions, and lets the writers run.
  private mutating func append() async throws {
    let batches = (0..<Int.random(in: 1...5, using: &random)).map { _ in
      let partition = Int.random(in: 0..<partitions.count, using: &random)
      return (partition: partition, events: makeEvents(partition))
    }
    steps.append("append \(batches.map { "\($0.events.count) to \($0.partition)" })")
    let results = Results()
    for (index, one) in batches.enumerated() {
      log.append(batch(one.events, partition: one.partition)) { results.put($0, at: index) }
      if Bool.random(using: &random) { scheduler.run() }
    }
    scheduler.run()
    for (index, one) in batches.enumerated() {
      let result = try #require(results[index], note("batch \(index) is not answered for"))
      try settle(result, one.events, one.partition)
    }
  }

  private mutating func settle(_ result: Result<AppendReceipt, LogError>, _ events: [Event], _ partition: Int) throws {
    switch result {
    case .success(let receipt):
      try #require(!partitions[partition].isBroken, note("acknowledged after a failure"))
      try #require(receipt.unjudged == partitions[partition].model.append(events), note("receipt \(receipt)"))
      let appended = receipt.baseOffset.distance(to: receipt.endOffset)
      try #require(appended + receipt.exceptions.count == events.count, note("not all answered for"))
    case .failure(let error):
      if error.code == .diskFull { return }
      try #require([.io, .poisoned, .corrupt].contains(error.code), note("\(error)"))
      partitions[partition].isBroken = true
      partitions[partition].uncertain.append(events)
    }
  }

  private mutating func read() async throws {
    guard !files.isStopped else { return }
    for partition in partitions.indices {
      let events = try await contents(partition)
      let expected = partitions[partition]
      // With a policy other than `always`, what is acknowledged may not be shown yet.
      let shown = expected.start + events.count
      if configuration.sync == .always { try #require(shown == expected.model.events.count, note("\(shown) shown")) }
      try #require(events == Array(expected.model.events[expected.start..<shown]), note("read something else"))
    }
  }

  private func contents(_ partition: Int) async throws -> [Event] {
    let bounds = try await log.bounds(of: PartitionID(partition))
    try #require(bounds.startOffset.rawValue == partitions[partition].start, note("start offset"))
    return try await readAll(log, partition)
  }

  /// The reader goes on from its checkpoint; what it has then is a fold of the log, and it never has what the log loses.
  private mutating func fold() async throws {
    guard !files.isStopped else { return }
    for partition in partitions.indices where configuration.sync != .never {
      var fold = partitions[partition].checkpoint
      let bounds = try await log.bounds(of: PartitionID(partition))
      try #require(fold.next <= bounds.highWatermark.rawValue, note("the reader is ahead of the log"))
      try #require(fold.next >= bounds.startOffset.rawValue, note("retention has overtaken the reader"))
      let from = fold.next
      var next = Offset(Int64(from))
      while case let batches = try await log.read(PartitionID(partition), from: next, bytesMax: 2000), !batches.isEmpty {
        for batch in batches {
          for event in batch.events().dropFirst(batch.baseOffset.distance(to: next)) { fold.take(event) }
          next = batch.endOffset
        }
      }
      var again = PartitionExpectation.Fold()
      for event in partitions[partition].model.events.prefix(fold.next) { again.take(event) }
      try #require(fold == again, note("folded something else"))
      partitions[partition].checkpoint = fold
    }
  }

  private mutating func retain() async throws {
    guard !files.isStopped else { return }
    clock.advance(.seconds(Int.random(in: 0...40, using: &random)))
    var needed = OffsetVector()
    for partition in partitions.indices {
      let next = configuration.sync == .never ? partitions[partition].model.events.count : partitions[partition].checkpoint.next
      needed[PartitionID(partition)] = Offset(Int64(next))
    }
    steps.append("retain from \(needed)")
    do throws(LogError) {
      _ = try await log.enforceRetention(.from(needed))
    } catch {
      try #require([.io, .poisoned, .diskFull].contains(error.code), note("\(error)"))
    }
    for partition in partitions.indices {
      let start = Int(try await log.bounds(of: PartitionID(partition)).startOffset.rawValue)
      try #require(
        start >= partitions[partition].start && start <= needed[PartitionID(partition)]?.rawValue ?? 0, note("kept too little"))
      partitions[partition].start = start
    }
    noteBroken()
  }

  private mutating func noteBroken() {
    for status in log.status() {
      if case .refusing(let error) = status.state, error.code == .poisoned { partitions[status.partition.index].isBroken = true }
    }
  }

  private mutating func fillDisk() async throws {
    let room = Int.random(in: 0...3000, using: &random)
    steps.append("disk full after \(room)")
    files.setDiskBytes(files.usedBytes + room)
    for _ in 0..<4 { try await append() }
    files.setDiskBytes(nil)
    // It looks again by itself.
    scheduler.advance(.seconds(1))
    for status in log.status() where !partitions[status.partition.index].isBroken && !files.isStopped {
      try #require(status.state == .open, note("does not go on: \(status.state)"))
    }
  }

  private mutating func failSomething() async throws {
    let stop = Bool.random(using: &random)
    let calls = Int.random(in: 1...(Bool.random(using: &random) ? 4 : 25), using: &random)
    let code = [EIO, ENOSPC, EDQUOT].randomElement(using: &random) ?? EIO
    steps.append(stop ? "stop after \(calls)" : "errno \(code) after \(calls)")
    files.inject(stop ? .stop : .fail(code), after: calls)
    for _ in 0..<4 { try await append() }
    if Bool.random(using: &random) { try await retain() }
    files.clearFaults()
    scheduler.advance(.seconds(1))
    if files.isStopped { try await restart(.arbitrary) }
  }

  // MARK: restarts

  /// - Parameter crash: Nil closes the log as it should be.
  mutating func restart(_ crash: FaultyFileSystem.Crash?) async throws {
    steps.append("restart \(crash.map { "\($0)" } ?? "closed")")
    var hasLostPower = crash != nil && crash != .kill
    if crash == nil, !files.isStopped {
      await log.close()
    } else {
      let crash = files.isStopped && crash == nil ? .arbitrary : crash ?? .kill
      hasLostPower = hasLostPower || crash != .kill
      files = files.afterCrash(crash, seed: random.next())
      await log.close()
    }
    files.setDiskBytes(nil)
    while Int.random(in: 0..<4, using: &random) == 0 {
      let stop = Bool.random(using: &random)
      files.inject(stop ? .stop : .fail(EIO), after: Int.random(in: 1...40, using: &random))
      scheduler = SimulatedScheduler(seed: random.next())
      if let half = try? await open() { await half.close() }
      files.clearFaults()
      if files.isStopped || Bool.random(using: &random) {
        files = files.afterCrash(.arbitrary, seed: random.next())
        hasLostPower = true
      }
    }
    scheduler = SimulatedScheduler(seed: random.next())
    log = try await open()
    try await checkAfterStart(hasLostPower: hasLostPower)
  }

  private func open() async throws(LogError) -> SegmentedLog {
    try await SegmentedLog.open(
      configuration, fileSystem: files, logger: quiet, scheduler: scheduler, now: { [clock] in clock.now })
  }

  private mutating func checkAfterStart(hasLostPower: Bool) async throws {
    for status in log.status() { try #require(status.state == .open, note("\(status.state)")) }
    for partition in partitions.indices {
      // The removal of a segment may have been under way.
      let start = Int(try await log.bounds(of: PartitionID(partition)).startOffset.rawValue)
      var expected = partitions[partition]
      try #require(
        start >= 0 && start <= max(expected.start, expected.checkpoint.next, configuration.sync == .never ? .max : 0),
        note("start \(start)"))
      expected.start = start
      let found = try await readAll(log, partition)
      let known = Array(expected.model.events.dropFirst(start))
      if found.count < known.count, hasLostPower, configuration.sync != .always {
        // Under `interval`, batches acknowledged and not synced may be lost, from the end on, but none that a reader was shown.
        var model = PartitionModel()
        for event in expected.model.events.prefix(start + found.count) { _ = model.append([event]) }
        expected.model = model
        if configuration.sync != .never {
          try #require(expected.checkpoint.next <= model.events.count, note("lost what was shown"))
        }
      } else {
        try #require(Array(found.prefix(known.count)) == known, note("lost: \(found.count) of \(known.count)"))
      }
      // Whole batches that were never acknowledged may have arrived, in order, and not one behind one that has not.
      for events in expected.uncertain where expected.model.events.count < start + found.count {
        let before = expected.model
        _ = expected.model.append(events)
        let isThere =
          expected.model.events.count <= start + found.count
          && Array(found.prefix(expected.model.events.count - start)) == Array(expected.model.events.dropFirst(start))
        if !isThere { expected.model = before }
      }
      try #require(found == Array(expected.model.events.dropFirst(start)), note("found what was never sent, or in another order"))
      expected.uncertain = []
      expected.isBroken = false
      partitions[partition] = expected
      let verified = try StoredLog(directory: "/data", fileSystem: files).verify(PartitionID(partition))
      try #require(verified.findings == [], note("verify: \(verified.findings)"))
      for source in 0..<4 {
        let name = "source/\(source)"
        let position = try await positions(of: name, in: partition)
        try #require(position == expected.model.positions[name], note("position of \(name)"))
      }
    }
  }

  /// A probe, for a partition that the source's hash does not lead to: what is not above its last is a duplicate.
  private func positions(of source: String, in partition: Int) async throws -> ProducerPosition? {
    guard log.partition(of: source).index == partition else { return partitions[partition].model.positions[source] }
    return try await log.producerPositions(of: [source])[UTF8Text(source)]
  }

  /// Closes the log, flips one bit of one file, and opens it: it is refused where that matters, and right where it opens.
  private mutating func flipBit() async throws {
    guard !files.isStopped, !partitions.contains(where: \.isBroken) else { return }
    try await restart(nil)
    await log.close()
    let paths = files.paths.filter { $0.hasPrefix("/data/log/") && files.contents($0)?.isEmpty == false }
    guard let path = paths.randomElement(using: &random), let original = files.contents(path) else { return }
    let position = Int.random(in: 0..<original.count, using: &random)
    let bit = UInt8(1) << UInt8.random(in: 0..<8, using: &random)
    steps.append("flip bit \(bit) of byte \(position) of \(path)")
    var bytes = original
    bytes[position] ^= bit
    let copy = files.afterCrash(.kill, seed: 0)
    copy.set(path, bytes)
    let intact = files.afterCrash(.kill, seed: random.next())
    files = copy
    scheduler = SimulatedScheduler(seed: random.next())
    do {
      log = try await open()
      for status in log.status() {
        let partition = status.partition.index
        if case .failed(let error) = status.state {
          try #require(error.code == .corrupt && path.hasPrefix("/data/log/\(partition)/"), note("\(error)"))
          continue
        }
        do {
          let events = try await readAll(log, partition)
          try #require(
            events == Array(partitions[partition].model.events.dropFirst(partitions[partition].start)), note("a wrong event"))
        } catch let error as LogError {
          try #require(error.code == .corrupt && path.hasPrefix("/data/log/\(partition)/"), note("\(error)"))
        }
      }
      await log.close()
    } catch let error as LogError {
      try #require(error.code == .corrupt && path == "/data/log/meta", note("\(error)"))
    }
    files = intact
    scheduler = SimulatedScheduler(seed: random.next())
    log = try await open()
    try await checkAfterStart(hasLostPower: false)
  }

  func note(_ what: String) -> Comment {
    "PENSTOCK_FAULT_FIRST=\(seed) PENSTOCK_FAULT_SEEDS=1: \(what), after \(steps.suffix(12).joined(separator: "; "))"
  }
}

/// The results of the batches of one step.
private final class Results: Sendable {
  private let values = Mutex<[Int: Result<AppendReceipt, LogError>]>([:])
  func put(_ result: Result<AppendReceipt, LogError>, at index: Int) { values.withLock { $0[index] = result } }
  subscript(_ index: Int) -> Result<AppendReceipt, LogError>? { values.withLock { $0[index] } }
}
