import Events
import Synchronization
import Testing

@testable import Wire

/// Holds up callers until it opens.
private final class Gate: Sendable {
  private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

  func pass() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOpen = state.withLock { state in
          if !state.isOpen, !Task.isCancelled { state.waiting.append(continuation) }
          return state.isOpen || Task.isCancelled
        }
        if isOpen { continuation.resume() }
      }
    } onCancel: {
      open()
    }
  }

  func open() {
    let waiting = state.withLock { state in
      state.isOpen = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for one in waiting { one.resume() }
  }
}

@Suite("Gathered reads") struct GatheredReadsTests {
  private static func positions(_ partitions: Int...) -> OffsetVector {
    OffsetVector(Dictionary(uniqueKeysWithValues: partitions.map { (PartitionID($0), Offset(Int64($0 * 10))) }))
  }

  @Test(
    "those who come before the departure are read for at once, and each gets its own; who comes too late, or asks for the same, gets none"
  )
  func together() async {
    let (departure, answer) = (Gate(), Gate())
    let gathered = GatheredReads { _ in await departure.pass() }
    let asked = Mutex<[OffsetVector]>([])
    let read: @Sendable (OffsetVector) async -> [PartitionRead] = { positions in
      asked.withLock { $0.append(positions) }
      await answer.pass()
      // There is no room for the last.
      return positions.sorted.dropLast().map { PartitionRead($0.partition, .success([])) }
    }
    let first = Task { await gathered.read(from: GatheredReadsTests.positions(0, 2), at: .now, read).map(\.partition.index) }
    #expect(await eventually { gathered.waitingCount == 1 })
    let second = Task { await gathered.read(from: GatheredReadsTests.positions(1, 3), at: .now, read).map(\.partition.index) }
    #expect(await eventually { gathered.waitingCount == 2 })
    let third = Task { await gathered.read(from: GatheredReadsTests.positions(7), at: .now, read).map(\.partition.index) }
    #expect(await eventually { gathered.waitingCount == 3 })
    #expect(await gathered.read(from: GatheredReadsTests.positions(3, 4), at: .now, read).isEmpty)
    departure.open()
    #expect(await eventually { asked.withLock { $0.count } == 1 })
    answer.open()
    #expect(await first.value == [0, 2])
    #expect(await second.value == [1, 3])
    #expect(await third.value == [])
    #expect(asked.withLock { $0 } == [GatheredReadsTests.positions(0, 1, 2, 3, 7)])
    // The next is another request.
    #expect(await gathered.read(from: GatheredReadsTests.positions(0, 1), at: .now, read).map(\.partition.index) == [0])
    #expect(asked.withLock { $0.count } == 2)
  }

  @Test("who is cancelled waits no longer; once nobody waits the read is cancelled", arguments: [false, true])
  func cancelled(hasDeparted: Bool) async {
    let (departure, answer) = (Gate(), Gate())
    let gathered = GatheredReads { _ in await departure.pass() }
    let state = Mutex((isReading: false, isCancelled: false))
    let read: @Sendable (OffsetVector) async -> [PartitionRead] = { _ in
      state.withLock { $0.isReading = true }
      await answer.pass()
      state.withLock { $0.isCancelled = Task.isCancelled }
      return []
    }
    let tasks = (0..<2).map { partition in
      Task { await gathered.read(from: GatheredReadsTests.positions(partition), at: .now, read).isEmpty }
    }
    #expect(await eventually { gathered.waitingCount == 2 })
    if hasDeparted {
      departure.open()
      #expect(await eventually { state.withLock { $0.isReading } })
    }
    for task in tasks {
      #expect(!state.withLock { $0.isCancelled })
      task.cancel()
      #expect(await task.value)
    }
    #expect(await eventually { state.withLock { $0.isCancelled } })
  }
}
