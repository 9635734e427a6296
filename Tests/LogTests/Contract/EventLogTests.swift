import Events
import TestSupport
import Testing

@testable import Log

@Suite("An event log, whatever keeps it")
struct EventLogTests {
  @Test("what is appended is read back, in order, with dense offsets, and again after a restart", arguments: Engine.all)
  func roundTrip(_ engine: Engine) async throws {
    let place = engine.place()
    let log = try await place.open()
    let first = try await log.append(batch(1...3))
    let second = try await log.append(batch(4...5))
    #expect(first == AppendReceipt(baseOffset: Offset(0), endOffset: Offset(3)))
    #expect(second == AppendReceipt(baseOffset: Offset(3), endOffset: Offset(5)))
    let expected = (1...5).map { event(sequence: UInt64($0), value: Int64($0)) }
    #expect(try await readAll(log) == expected)
    await log.close()
    let again = try await place.open()
    #expect(try await readAll(again) == expected)
    #expect(try await again.append(batch(6...6)).baseOffset == Offset(5))
    await again.close()
  }

  @Test(
    "sequences, epochs and ids: duplicates and fenced rows are left out, the rest is kept", arguments: [false, true],
    Engine.all)
  func exactlyOnce(isRestarted: Bool, _ engine: Engine) async throws {
    let place = engine.place()
    var log = try await place.open()
    func restart() async throws {
      guard isRestarted else { return }
      await log.close()
      log = try await place.open()
    }
    _ = try await log.append(batch([event(sequence: 5), event(sequence: 7, epoch: 0), event("other", sequence: 1, epoch: 3)]))
    try await restart()
    let receipt = try await log.append(
      batch([
        event(sequence: 7), event(sequence: 8), event(sequence: 8), event("other", sequence: 9, epoch: 2),
        event("other", sequence: 1, epoch: 4), event(id: "a"), event(id: "a"), event("other", id: "a"), event(), event(),
      ]))
    #expect(receipt.baseOffset == Offset(3) && receipt.endOffset == Offset(9))
    #expect(
      receipt.exceptions == [
        .init(row: 0, reason: .duplicate), .init(row: 2, reason: .duplicate), .init(row: 3, reason: .fenced(currentEpoch: 3)),
        .init(row: 6, reason: .duplicate),
      ])
    try await restart()
    let nothing = try await log.append(batch([event(sequence: 1), event(id: "a")]))
    #expect(nothing.baseOffset == Offset(9) && nothing.endOffset == Offset(9) && nothing.exceptions.count == 2)
    #expect(
      try await log.producerPositions(of: ["s", "other", "none"]) == [
        "s": ProducerPosition(epoch: 0, sequence: 8), "other": ProducerPosition(epoch: 4, sequence: 1),
      ])
    #expect(try await readAll(log).map(\.sequence) == [5, 7, 1, 8, 1, nil, nil, nil, nil])
    await log.close()
  }

  @Test("ids are forgotten after the dedup window, by append time, also across a restart", arguments: Engine.all)
  func dedupWindow(_ engine: Engine) async throws {
    let clock = TestClock()
    var configuration = testConfiguration(segmentBytesMax: 2000)
    configuration.dedupWindow = .seconds(60)
    let place = engine.place(configuration, clock: clock)
    var log = try await place.open()
    func append(_ id: String) async throws -> Bool { try await log.append(batch([event(id: id)])).exceptions.isEmpty }
    for at in 0..<20 { #expect(try await append("id \(at)")) }
    clock.advance(.seconds(30))
    #expect(try await append("late"))
    clock.advance(.seconds(29))
    #expect(try await append("id 3") == false)
    await log.close()
    log = try await place.open()
    #expect(log.status()[0].segments > 1)
    #expect(try await append("id 19") == false)
    clock.advance(.seconds(2))
    #expect(try await append("id 3"))
    #expect(try await append("late") == false)
    await log.close()
  }

  @Test(
    "segments roll, and a read may begin in the middle of any batch", arguments: [BatchHeader.Codec.none, .deflate],
    Engine.all.flatMap { [($0, 0), ($0, 1 << 20)] })
  func rolling(_ codec: BatchHeader.Codec, _ reading: (engine: Engine, recentBytesMax: Int)) async throws {
    let (engine, recentBytesMax) = reading
    var configuration = testConfiguration(segmentBytesMax: 3000)
    configuration.codec = codec
    configuration.recentBytesMax = recentBytesMax
    let place = engine.place(configuration)
    let log = try await place.open()
    let events = (0..<300).map { event("source/\($0 % 7)", sequence: UInt64($0), seconds: Int64($0), value: Int64($0)) }
    for at in stride(from: 0, to: events.count, by: 10) { _ = try await log.append(batch(Array(events[at..<at + 10]))) }
    #expect(log.status()[0].segments > (codec == .none ? 3 : 2))
    // Over the wire each read is a request: a start in every batch, at another place each.
    for start in stride(from: 0, through: 300, by: engine.isRemote ? 12 : 1) {
      for bytesMax in [1, 1000, 1 << 20] {
        let batches = try await log.read(PartitionID(0), from: Offset(Int64(start)), bytesMax: bytesMax)
        if start == 300 {
          #expect(batches.isEmpty)
        } else {
          let first = try #require(batches.first)
          let base = first.baseOffset
          try #require(base.rawValue <= start && base.rawValue > start - 10)
          try #require(batches.count == 1 || batches.reduce(0) { $0 + $1.encoded.count } <= bytesMax)
          let found = batches.flatMap { $0.events() }
          try #require(found == Array(events[Int(base.rawValue)..<Int(base.rawValue) + found.count]))
        }
      }
      for time in [min(start, 299), 0] {
        let offset = try await log.firstOffset(of: PartitionID(0), atOrAfter: Timestamp(nanoseconds: Int64(time) * 1_000_000_000))
        let found = try #require(offset)
        try #require(found.rawValue <= time)
      }
    }
    await log.close()
    let again = try await place.open()
    #expect(try await readAll(again) == events)
    await again.close()
  }

  @Test(
    "an offset below the first kept or above the high watermark is out of range; an unknown partition is said to be so",
    arguments: Engine.all)
  func outOfRange(_ engine: Engine) async throws {
    let log = try await engine.place().open()
    _ = try await log.append(batch(1...3))
    for offset in [-1, 4, Int64.max] {
      do {
        _ = try await log.read(PartitionID(0), from: Offset(offset), bytesMax: 1)
        Issue.record("read from \(offset)")
      } catch { #expect(error.code == .outOfRange) }
    }
    do {
      _ = try await log.append(batch(1...1, partition: 1))
      Issue.record("appended")
    } catch { #expect(error.code == .unknownPartition) }
    await log.close()
  }

  @Test("firstOffset never passes over an event that late, however events are ordered", arguments: Engine.all)
  func firstOffset(_ engine: Engine) async throws {
    var random = SeededGenerator(seed: 3)
    let log = try await engine.place(testConfiguration(segmentBytesMax: 2500)).open()
    var times: [Int64] = []
    for at in 0..<60 {
      let group = (0..<3).map { _ in Int64(at * 10) + Int64.random(in: -80...80, using: &random) }
      times += group
      _ = try await log.append(batch(group.map { event(seconds: $0) }))
    }
    for time in Int64(-100)...700 {
      let first = times.firstIndex { $0 >= time }
      let offset = try await log.firstOffset(of: PartitionID(0), atOrAfter: Timestamp(nanoseconds: time * 1_000_000_000))
      if let first {
        let found = try #require(offset)
        try #require(found.rawValue <= first, "time \(time)")
      } else {
        try #require(offset == nil)
      }
    }
    await log.close()
  }
}
