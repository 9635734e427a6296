import Events
import Synchronization
import Testing

@testable import Log

@Suite("Waiting for appends")
struct WaitingTests {
  static func vector(_ offsets: Int64...) -> OffsetVector {
    OffsetVector(Dictionary(uniqueKeysWithValues: offsets.enumerated().map { (PartitionID($0.offset), Offset($0.element)) }))
  }

  @Test("a waiter wakes when one of its partitions passes its offset, and not before", arguments: Engine.all)
  func wakes(_ engine: Engine) async throws {
    let log = try await engine.place(testConfiguration(partitions: 2)).open()
    // Passed already: returns at once.
    _ = try await log.append(batch(1...2))
    try await log.waitForAppend(past: WaitingTests.vector(1))
    let isDone = Atomic(false)
    let waiter = Task {
      try await log.waitForAppend(past: WaitingTests.vector(2, 3))
      isDone.store(true, ordering: .releasing)
    }
    _ = try await log.append(batch(1...3, partition: 1))
    for _ in 0..<100 { await Task.yield() }
    let early = isDone.load(ordering: .acquiring)
    #expect(!early)
    _ = try await log.append(batch(4...4, partition: 1))
    try await waiter.value
    await log.close()
  }

  @Test("a cancelled waiter returns, before or after it began to wait", arguments: Engine.all)
  func cancels(_ engine: Engine) async throws {
    let log = try await engine.place().open()
    for round in 0..<200 {
      let waiter = Task { try await log.waitForAppend(past: WaitingTests.vector(0)) }
      for _ in 0..<round % 5 { await Task.yield() }
      waiter.cancel()
      try await waiter.value
    }
    await log.close()
  }

  @Test("closing wakes all who wait, with an error")
  func closes() async throws {
    let log = try await openLog(FaultyFileSystem())
    let waiters = (0..<10).map { _ in
      Task { try await log.waitForAppend(past: WaitingTests.vector(0)) }
    }
    for _ in 0..<20 { await Task.yield() }
    await log.close()
    for waiter in waiters { await #expect(throws: LogError.self) { try await waiter.value } }
  }

  @Test("no wake-up is lost between many readers and a writer", arguments: Engine.all)
  func manyReaders(_ engine: Engine) async throws {
    let log = try await engine.place(testConfiguration(partitions: 2)).open()
    let readers = (0..<8).map { reader in
      Task {
        var next = Offset.zero
        let partition = PartitionID(reader % 2)
        while next.rawValue < 200 {
          try await log.waitForAppend(past: OffsetVector([partition: next]))
          for batch in try await log.read(partition, from: next, bytesMax: 1 << 20) { next = batch.endOffset }
        }
      }
    }
    for at in 1...200 {
      for partition in 0..<2 { _ = try await log.append(batch(UInt64(at)...UInt64(at), partition: partition)) }
    }
    for reader in readers { try await reader.value }
    await log.close()
  }
}
