import Events
import Testing

@testable import Log

@Suite("Reads of several partitions")
struct ReadSomeTests {
  /// Reads on from `positions` until none has more, and moves them on.
  private func readOn(_ log: any EventLog, _ positions: inout OffsetVector, bytesMax: Int) async throws -> [PartitionID: [Event]]
  {
    var events: [PartitionID: [Event]] = [:]
    while true {
      var rest = positions
      var hasProgressed = false
      while !rest.offsets.isEmpty {
        let reads = await log.readSome(from: rest, bytesMax: bytesMax)
        try #require(!reads.isEmpty)
        // The first by number, without gaps between.
        #expect(reads.map(\.partition) == rest.sorted.prefix(reads.count).map(\.partition))
        for read in reads {
          for batch in try read.result.get() {
            try #require(batch.baseOffset == positions[read.partition] && batch.partition == read.partition)
            events[read.partition, default: []] += batch.events()
            positions[read.partition] = batch.endOffset
            hasProgressed = true
          }
          rest[read.partition] = nil
        }
      }
      if !hasProgressed { return events }
    }
  }

  @Test(
    "each partition is read from its offset, in order, whatever bytes are asked for at once", arguments: Engine.all,
    [0, 1000, 1 << 20])
  func each(_ engine: Engine, bytesMax: Int) async throws {
    let log = try await engine.place(testConfiguration(partitions: 5, segmentBytesMax: 4096)).open()
    var positions = OffsetVector()
    for partition in 0..<5 {
      // The third has none.
      for at in 0..<UInt64(partition == 2 ? 0 : 12) {
        _ = try await log.append(batch(at * 10 + 1...at * 10 + 10, of: "s\(partition)", partition: partition))
      }
      positions[PartitionID(partition)] = partition == 1 ? Offset(70) : .zero
    }
    let events = try await readOn(log, &positions, bytesMax: bytesMax)
    for partition in 0..<5 {
      let wanted = (1...120 as ClosedRange<UInt64>).map { event("s\(partition)", sequence: $0, value: Int64($0)) }
      let skipped = partition == 1 ? 70 : partition == 2 ? 120 : 0
      #expect(events[PartitionID(partition)] ?? [] == Array(wanted.dropFirst(skipped)), "partition \(partition)")
    }
    #expect(await log.readSome(from: OffsetVector(), bytesMax: 1).isEmpty)
    await log.close()
  }

  @Test("a partition that cannot be read says why, and the others are read", arguments: Engine.all)
  func failing(_ engine: Engine) async throws {
    let log = try await engine.place(testConfiguration(partitions: 3)).open()
    for partition in 0..<3 { _ = try await log.append(batch(1...4, partition: partition)) }
    var rest = OffsetVector([PartitionID(0): .zero, PartitionID(1): Offset(9), PartitionID(2): Offset(4)])
    var reads: [PartitionRead] = []
    while !rest.offsets.isEmpty {
      let some = await log.readSome(from: rest, bytesMax: 1 << 20)
      try #require(!some.isEmpty)
      for read in some { rest[read.partition] = nil }
      reads += some
    }
    #expect(reads.map(\.partition) == (0..<3).map { PartitionID($0) })
    #expect(try reads[0].result.get().map(\.count) == [4])
    if case .failure(let error) = reads[1].result {
      #expect(error.code == .outOfRange && error.partition == PartitionID(1))
    } else {
      Issue.record("read beyond the high watermark")
    }
    #expect(try reads[2].result.get().isEmpty)
    await log.close()
  }
}
