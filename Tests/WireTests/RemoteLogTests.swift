import Events
import LogTestSupport
import Logging
import NIOPosix
import Serving
import Synchronization
import TestSupport
import Testing

@testable import Log
@testable import Wire

let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }

func event(_ source: String, sequence: UInt64? = nil, id: String? = nil, value: Int64 = 0) -> Event {
  Event(
    source: source, type: "t", id: id, time: Timestamp(nanoseconds: value), sequence: sequence, epoch: nil, attributes: [:],
    data: .int(value))
}

func readAll(_ log: any EventLog, _ partition: PartitionID) async throws -> [Event] {
  var next = try await log.bounds(of: partition).startOffset
  var events: [Event] = []
  while case let batches = try await log.read(partition, from: next, bytesMax: 1 << 20), !batches.isEmpty {
    for batch in batches {
      try #require(batch.baseOffset == next)
      events += batch.events()
      next = batch.endOffset
    }
  }
  return events
}

@Suite("Remote log")
struct RemoteLogTests {
  private func configuration(_ directory: TemporaryDirectory, partitions: Int = 2) -> LogConfiguration {
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = partitions
    configuration.segmentBytesMax = 16 << 10
    return configuration
  }

  @Test(
    "appends are in the log once and in order, whatever connections and logs die under them; the receipts say so",
    arguments: [1, 2, 3, 4] as [UInt64])
  func exactlyOnce(seed: UInt64) async throws {
    let directory = try TemporaryDirectory()
    let served = try await ServedLog(configuration(directory))
    let log = try await RemoteLog.connect(served.client, logger: quiet)
    let isDone = Atomic(false)
    // Cuts answers off at random, and now and then restarts the log.
    let saboteur = Task {
      var random = SeededGenerator(seed: seed)
      // A bounded number: on a slow machine every answer could be cut off for ever.
      for round in 1...40 where !isDone.load(ordering: .acquiring) {
        try? await Task.sleep(for: .milliseconds(Int.random(in: 1...20, using: &random)))
        if round % 12 == 0 { try await served.restart() } else { served.dialler.cutConnections() }
      }
    }
    // Events with neither sequence nor id: nothing but the append itself tells one that came twice.
    let batches = 300
    let receipts = Mutex<[[AppendReceipt]]>([[], []])
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let missing = Countdown(batches * 2)
      for number in 0..<batches {
        for partition in 0..<2 {
          let events = (0..<3).map { event("s\(partition)", value: Int64(number * 3 + $0)) }
          log.append(ColumnBatch(events: events, partition: PartitionID(partition))) { result in
            switch result {
            case .success(let receipt): receipts.withLock { $0[partition].append(receipt) }
            case .failure(let error): Issue.record("seed \(seed): \(error)")
            }
            if missing.isLast() { continuation.resume() }
          }
        }
      }
    }
    isDone.store(true, ordering: .releasing)
    try await saboteur.value
    for partition in 0..<2 {
      let values = try await readAll(log, PartitionID(partition)).map(\.data)
      #expect(values == (0..<batches * 3).map { JSONValue.int(Int64($0)) }, "seed \(seed) partition \(partition)")
      let wanted = (0..<batches).map { AppendReceipt(baseOffset: Offset(Int64($0 * 3)), endOffset: Offset(Int64($0 * 3 + 3))) }
      #expect(receipts.withLock { $0[partition] } == wanted, "seed \(seed) partition \(partition)")
    }
    await log.close()
    await served.stop()
  }

  @Test(
    "a batch sent again after a restart gets its first receipt: its own rows are no duplicates, others' still are",
    arguments: [false, true])
  func receiptAfterRestart(isDeflated: Bool) async throws {
    let directory = try TemporaryDirectory()
    var configuration = configuration(directory, partitions: 1)
    configuration.codec = isDeflated ? .deflate : .none
    configuration.segmentBytesMax = 4 << 10
    let appender = AppendTag.Appender.random()
    func tagged(_ number: UInt64, _ events: [Event]) -> ColumnBatch {
      var batch = ColumnBatch(events: events, partition: PartitionID(0))
      batch.setTag(AppendTag(appender: appender, number: number, rows: events.count))
      return batch
    }
    let before = tagged(1, [event("s", sequence: 1), event("s", sequence: 2)])
    let mixed = tagged(
      2, [event("s", sequence: 2), event("s", sequence: 3), event("s", id: "a"), event("s", id: "a"), event("s")])
    var log = try await SegmentedLog.open(configuration, logger: quiet)
    _ = try await log.append(before)
    let first = try await log.append(mixed)
    #expect(first.exceptions == [.init(row: 0, reason: .duplicate), .init(row: 3, reason: .duplicate)])
    for round in 0..<3 {
      #expect(try await log.append(mixed) == first, "round \(round)")
      #expect(try await log.append(before) == AppendReceipt(baseOffset: .zero, endOffset: Offset(2)), "round \(round)")
      await log.close()
      log = try await SegmentedLog.open(configuration, logger: quiet)
    }
    #expect(try await log.bounds(of: PartitionID(0)).highWatermark == Offset(5))
    // Through rolls as well: then the snapshot has it. Fewer than the window between.
    for number in 3...40 {
      _ = try await log.append(
        tagged(UInt64(number), (0..<40).map { event("r", sequence: UInt64(number * 40 + $0), id: "a long id \(number) \($0)") }))
    }
    #expect(log.status()[0].segments > 2)
    await log.close()
    log = try await SegmentedLog.open(configuration, logger: quiet)
    #expect(try await log.append(mixed) == first)
    // A number older than the window can only be a stray: it is not appended.
    for number in 41...110 { _ = try await log.append(tagged(UInt64(number), [event("t")])) }
    await #expect(throws: LogError.self) { try await log.append(mixed) }
    await log.close()
  }

  @Test("a log that is away is waited for once: whoever asks later hears so at once, and of bounds the last that were told")
  func away() async throws {
    let directory = try TemporaryDirectory()
    var configuration = LogConfiguration(directory: directory.path)
    configuration.partitions = 3
    let served = try await ServedLog(configuration)
    _ = try await served.storage.append(ColumnBatch(events: [event("a")], partition: PartitionID(1)))
    var patient = RemoteLog.Configuration(patience: .zero)
    patient.questionPatience = .seconds(1)
    let remote = RemoteLog(served.client, await served.storage.identity, partitions: 3, configuration: patient, logger: quiet)
    let known = try await remote.bounds(of: PartitionID(1))
    #expect(known.highWatermark == Offset(1))
    served.dialler.set([])
    served.dialler.cutConnections()
    let clock = ContinuousClock()
    let first = await clock.measure {
      await #expect(throws: LogError.self) { try await remote.bounds(of: PartitionID(0)) }
    }
    #expect(first >= .seconds(1))
    let rest = await clock.measure {
      for _ in 0..<20 { await #expect(throws: LogError.self) { try await remote.bounds(of: PartitionID(0)) } }
      #expect(await remote.lastBounds(of: PartitionID(1)) == KnownBounds(known, isCurrent: false))
      #expect(await remote.lastBounds(of: PartitionID(2)) == nil)
    }
    #expect(rest < patient.questionPatience * 10, "twenty questions and two took \(rest)")
    try await served.restart()
    #expect(try await remote.bounds(of: PartitionID(0)).highWatermark == .zero)
    #expect(await remote.lastBounds(of: PartitionID(2))?.isCurrent == true)
    await served.stop()
  }

  @Test("reads and waits go on over a restart of the log; without patience they fail, with the place")
  func reads() async throws {
    let directory = try TemporaryDirectory()
    let served = try await ServedLog(configuration(directory, partitions: 1))
    let log = try await RemoteLog.connect(served.client, logger: quiet)
    _ = try await log.append(ColumnBatch(events: [event("s", value: 1)], partition: PartitionID(0)))
    let waiter = Task { try await log.waitForAppend(past: OffsetVector([PartitionID(0): Offset(1)])) }
    let restarting = Task { try await served.restart() }
    #expect(try await readAll(log, PartitionID(0)).count == 1)
    try await restarting.value
    _ = try await log.append(ColumnBatch(events: [event("s", value: 2)], partition: PartitionID(0)))
    try await waiter.value
    await log.close()
    await served.stop()
    let impatient = WireClient(dialler: LoopbackDialler(service: "log", []), group: ServedLog.group)
    do {
      _ = try await RemoteLogTests.remote(impatient, patience: .zero).read(PartitionID(0), from: .zero, bytesMax: 1)
      Issue.record("read from nowhere")
    } catch {
      #expect(error.code == .unavailable && error.partition == PartitionID(0))
    }
  }

  private static func remote(_ client: WireClient, patience: Duration) -> RemoteLog {
    RemoteLog(
      client, LogIdentity(high: 1, low: 1, epoch: 1), partitions: 1, configuration: RemoteLog.Configuration(patience: patience),
      logger: quiet)
  }

  @Test("what waits is bounded: more is refused at once, and taken again when the log is back")
  func bounded() async throws {
    let directory = try TemporaryDirectory()
    let served = try await ServedLog(configuration(directory, partitions: 1))
    var settings = RemoteLog.Configuration()
    settings.pendingBatchesMax = 3
    let log = try await RemoteLog.connect(served.client, configuration: settings, logger: quiet)
    let port = served.dialler.peers()
    served.dialler.set([])
    let codes = Mutex<[LogError.Code?]>([])
    for number in 0..<5 {
      log.append(ColumnBatch(events: [event("s", value: Int64(number))], partition: PartitionID(0))) { result in
        codes.withLock { codes in
          if case .failure(let error) = result { codes.append(error.code) } else { codes.append(nil) }
        }
      }
    }
    #expect(codes.withLock { $0 } == [.unavailable, .unavailable])
    let id = try #require(port.peers.first)
    served.dialler.set([.init(id: id.id, port: try #require(Int(id.address.split(separator: ":")[1])))])
    #expect(await eventually { codes.withLock { $0.count } == 5 })
    #expect(try await readAll(log, PartitionID(0)).map(\.data) == [.int(0), .int(1), .int(2)])
    await log.close()
    await served.stop()
  }
}

final class Countdown: Sendable {
  private let missing: Atomic<Int>
  init(_ count: Int) { missing = Atomic(count) }
  func isLast() -> Bool { missing.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
}

/// Waits for a condition, a few seconds at most.
func eventually(_ condition: () async throws -> Bool) async rethrows -> Bool {
  let deadline = ContinuousClock.now + .seconds(60)
  while ContinuousClock.now < deadline {
    if try await condition() { return true }
    try? await Task.sleep(for: .milliseconds(2))
  }
  return try await condition()
}
