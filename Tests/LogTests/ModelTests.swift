import Events
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

/// The behaviour of a partition, told as simply as possible.
struct PartitionModel {
  var events: [Event] = []
  var positions: [String: ProducerPosition] = [:]
  var identities: Set<[String]> = []

  /// Admits a batch's events, and says what the receipt must be.
  mutating func append(_ batch: [Event]) -> AppendReceipt {
    var receipt = AppendReceipt(baseOffset: Offset(Int64(events.count)), endOffset: .zero)
    for (row, event) in batch.enumerated() {
      if let sequence = event.sequence {
        let epoch = event.epoch ?? 0
        if let last = positions[event.source] {
          if epoch < last.epoch {
            receipt.exceptions.append(.init(row: row, reason: .fenced(currentEpoch: last.epoch)))
            continue
          }
          if epoch == last.epoch, sequence <= last.sequence {
            receipt.exceptions.append(.init(row: row, reason: .duplicate))
            continue
          }
        }
        positions[event.source] = ProducerPosition(epoch: epoch, sequence: sequence)
      } else if let id = event.id {
        guard identities.insert([event.source, id]).inserted else {
          receipt.exceptions.append(.init(row: row, reason: .duplicate))
          continue
        }
      }
      events.append(event)
    }
    receipt.endOffset = Offset(Int64(events.count))
    return receipt
  }
}

/// Random appends, reads, restarts, kills, power losses and failing calls, against the model.
///
/// Holds throughout: acknowledged means readable, in order, once, after whatever happens (I1); offsets are dense (I2); no
/// (source, epoch, sequence) is there twice (I3); crashes and failing calls alone never make a partition refuse to open.
@Suite("Partition log against a model")
struct ModelTests {
  struct Plan: Sendable, CustomTestStringConvertible {
    var seed: UInt64
    var codec = BatchHeader.Codec.none
    var testDescription: String { "seed \(seed), \(codec)" }
  }

  /// `PENSTOCK_MODEL_SEEDS=5000` for as many as one likes.
  static let seeds = getenv("PENSTOCK_MODEL_SEEDS").flatMap { UInt64(String(cString: $0)) } ?? 24
  static let plans = (0..<seeds).map { Plan(seed: $0, codec: $0 % 5 == 4 ? .deflate : .none) }

  @Test("what is acknowledged is there, in order, once, whatever crashes or fails", arguments: plans)
  func randomOperations(_ plan: Plan) async throws {
    var run = try await ModelRun(plan)
    for _ in 0..<50 { try await run.step() }
    try await run.restart(.kill)
  }
}

struct ModelRun {
  let plan: ModelTests.Plan
  var random: SeededGenerator
  var files: FaultyFileSystem
  let configuration: LogConfiguration
  let clock = TestClock()
  var log: SegmentedLog
  var model = PartitionModel()
  /// Batches that were refused or cut off since the last start: they may turn up after a restart, or not.
  var uncertain: [[Event]] = []
  var isBroken = false
  var counter: Int64 = 0
  var steps: [String] = []

  init(_ plan: ModelTests.Plan) async throws {
    self.plan = plan
    random = SeededGenerator(seed: plan.seed)
    files = FaultyFileSystem(seed: plan.seed)
    var configuration = testConfiguration(segmentBytesMax: [2048, 5000, 20_000][Int(plan.seed % 3)])
    configuration.codec = plan.codec
    configuration.recentBytesMax = plan.seed % 2 == 0 ? 0 : 1500
    configuration.diskRoomInterval = .milliseconds(1)
    configuration.groupBytesMax = plan.seed % 4 == 0 ? 1500 : 1 << 20
    self.configuration = configuration
    log = try await openLog(files, configuration, clock: clock)
  }

  mutating func step() async throws {
    switch Int.random(in: 0..<20, using: &random) {
    case 0..<9: try await append()
    case 9..<13: try await read()
    case 13:
      steps.append("flaky")
      files.makeFlaky()
    case 14..<16:
      guard !isBroken else { return }
      let stop = Bool.random(using: &random)
      // Most often one of the next group's calls, sometimes one of a roll.
      let calls = Int.random(in: 1...(Bool.random(using: &random) ? 3 : 20), using: &random)
      steps.append(stop ? "stop after \(calls)" : "fail after \(calls)")
      files.inject(stop ? .stop : .fail([5, 28, 122].randomElement(using: &random) ?? 5), after: calls)
      for _ in 0..<8 where !isBroken { try await append() }
      files.clearFaults()
    case 16: try await restart(nil)
    case 17: try await restart(.kill)
    case 18: try await restart(.dropAll)
    default: try await restart(.arbitrary)
    }
    clock.advance(.milliseconds(Int.random(in: -5...20, using: &random)))
  }

  mutating func makeEvents() -> [Event] {
    (0..<Int.random(in: 1...6, using: &random)).map { _ in
      counter += 1
      let source = "source/\(Int.random(in: 0..<4, using: &random))"
      switch Int.random(in: 0..<10, using: &random) {
      case 0: return event(source, id: "id \(Int.random(in: 0..<40, using: &random))", value: counter)
      case 1: return event(source, value: counter)
      case 2:
        // Long enough to fill sectors of its own.
        return event(source, value: counter, text: String(repeating: "x", count: Int.random(in: 0...1500, using: &random)))
      default:
        let last = model.positions[source] ?? ProducerPosition(epoch: 0, sequence: 0)
        let isOtherEpoch = Int.random(in: 0..<20, using: &random) == 0
        let epoch = isOtherEpoch ? UInt64.random(in: 0...(last.epoch + 1), using: &random) : last.epoch
        let back = min(last.sequence, UInt64.random(in: 0..<3, using: &random))
        let sequence = last.sequence - back + UInt64.random(in: 0..<8, using: &random)
        return event(source, sequence: sequence, epoch: epoch == 0 ? nil : epoch, value: counter)
      }
    }
  }

  mutating func append() async throws {
    let batches = (0..<Int.random(in: 1...6, using: &random)).map { _ in makeEvents() }
    steps.append("append \(batches.map(\.count))")
    let results = await appendAll(log, batches.map { batch($0) })
    for (events, result) in zip(batches, results) {
      switch result {
      case .success(let receipt):
        try #require(!isBroken, note("acknowledged after a failure"))
        let expected = model.append(events)
        try #require(receipt.unjudged == expected, note("receipt"))
      case .failure(let error):
        // A disk that was full has taken nothing for good; whatever else failed may turn up after a restart, or not.
        if error.code == .diskFull { continue }
        try #require([.io, .poisoned].contains(error.code), note("\(error)"))
        isBroken = true
        uncertain.append(events)
      }
    }
    if isBroken { try #require(files.calls > 0) }
    // The writer looks for room by itself, and goes on.
    let isOpen = isBroken ? true : await eventually { log.status()[0].state == .open }
    try #require(isOpen, note("does not go on after the disk was full"))
  }

  mutating func read() async throws {
    // A poisoned log still reads; a stopped machine does not.
    guard !files.isStopped else { return }
    let bounds = try await log.bounds(of: PartitionID(0))
    try #require(bounds.startOffset == .zero && bounds.highWatermark.rawValue == model.events.count, note("bounds"))
    let start = Int.random(in: 0...model.events.count, using: &random)
    let bytesMax = [1, 700, 1 << 20].randomElement(using: &random) ?? 1
    steps.append("read from \(start)")
    var next = start
    while next < model.events.count {
      let batches = try await log.read(PartitionID(0), from: Offset(Int64(next)), bytesMax: bytesMax)
      try #require(!batches.isEmpty, note("nothing read at \(next)"))
      for batch in batches {
        let base = Int(batch.baseOffset.rawValue)
        try #require(base <= next && base + batch.count > next, note("read \(base) for \(next)"))
        try #require(batch.events() == Array(model.events[base..<base + batch.count]), note("events at \(base)"))
        next = base + batch.count
      }
    }
    try #require(try await log.read(PartitionID(0), from: Offset(Int64(next)), bytesMax: bytesMax).isEmpty)
    for source in 0..<4 where !isBroken {
      let name = "source/\(source)"
      let positions = try await log.producerPositions(of: [name])
      try #require(positions[UTF8Text(name)] == model.positions[name], note("position of \(name)"))
    }
  }

  /// - Parameter crash: Nil for an orderly restart.
  mutating func restart(_ crash: FaultyFileSystem.Crash?) async throws {
    steps.append("restart \(crash.map { "\($0)" } ?? "orderly")")
    files.clearFaults()
    // A machine that stopped loses power; one that goes on may be restarted in order.
    if crash == nil, !files.isStopped {
      await log.close()
    } else {
      let crash = files.isStopped && crash == nil ? .arbitrary : crash ?? .kill
      files = files.afterCrash(crash, seed: random.next())
      await log.close()
    }
    // Starting may fail too, at any call, and is tried again: after the failure, or after another crash.
    while Int.random(in: 0..<4, using: &random) == 0 {
      let stop = Bool.random(using: &random)
      files.inject(stop ? .stop : .fail(5), after: Int.random(in: 1...30, using: &random))
      if let half = try? await openLog(files, configuration, clock: clock) { await half.close() }
      files.clearFaults()
      if files.isStopped || Bool.random(using: &random) { files = files.afterCrash(.arbitrary, seed: random.next()) }
    }
    log = try await openLog(files, configuration, clock: clock)
    for status in log.status() { try #require(status.state == .open, note("\(status.state)")) }
    isBroken = false
    let found = try await readAll(log)
    try #require(found.count >= model.events.count && Array(found.prefix(model.events.count)) == model.events, note("lost"))
    // Whole batches that were never acknowledged may have arrived, in order, and not one behind one that has not.
    for events in uncertain where model.events.count < found.count {
      let before = model
      _ = model.append(events)
      if model.events.count > found.count || Array(found.prefix(model.events.count)) != model.events { model = before }
    }
    uncertain = []
    try #require(found == model.events, note("found what was never sent, or in another order"))
    var seen: Set<[String]> = []
    for event in found where event.sequence != nil {
      try #require(
        seen.insert([event.source, "\(event.epoch ?? 0)", "\(event.sequence ?? 0)"]).inserted, note("twice: \(event)"))
    }
  }

  func note(_ what: String) -> Comment {
    "seed \(plan.seed): \(what) after \(steps.suffix(12).joined(separator: "; "))"
  }
}
