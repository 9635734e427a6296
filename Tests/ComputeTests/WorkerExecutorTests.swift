import Testing

@testable import Compute

@Suite("A worker's thread", .timeLimit(.minutes(1)))
struct WorkerExecutorTests {
  /// Works in steps, and is asked things meanwhile.
  private actor Worker {
    nonisolated let executor = WorkerExecutor(label: "test", niceness: 5)
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private(set) var steps = 0
    private var isAsked = false

    func ask() -> Int {
      isAsked = true
      return steps
    }

    /// Ends when it was asked, which can be between two steps only.
    func work() async -> Int {
      while !isAsked {
        steps += 1
        await executor.letOthersGo()
      }
      return steps
    }
  }

  @Test("lets who waits go between two steps, and then goes on")
  func givingWay() async {
    let worker = Worker()
    let working = Task { await worker.work() }
    while await worker.steps == 0 { await Task.yield() }
    let seen = await worker.ask()
    let steps = await working.value
    #expect(seen > 0)
    #expect(steps >= seen)
  }

}
