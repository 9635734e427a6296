import Dispatch
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

  /// Counts, by jobs of its own and in its thread's place.
  private actor Count {
    nonisolated let executor = WorkerExecutor(label: "test")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private(set) var value = 0

    func add() { value += 1 }

    /// Holds the thread until it is let go.
    func hold(_ held: DispatchSemaphore, until go: DispatchSemaphore) {
      held.signal()
      go.wait()
    }

    nonisolated func addInPlace() -> Bool { executor.whileIdle { assumeIsolated { $0.value += 1 } } != nil }
  }

  @Test("lets another thread do something in its place while it has nothing to do, and never while it has")
  func inPlace() async {
    let count = Count()
    let deadline = ContinuousClock.now + .seconds(10)
    while !count.addInPlace(), ContinuousClock.now < deadline { await Task.yield() }
    let (held, go) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let holding = Task { await count.hold(held, until: go) }
    await withCheckedContinuation { continuation in
      DispatchQueue.global().async {
        held.wait()
        #expect(!count.addInPlace())
        go.signal()
        continuation.resume()
      }
    }
    await holding.value
    #expect(await count.value == 1)
  }

  @Test("what threads do in its place, and what it does itself, never meet")
  func alone() async {
    let count = Count()
    let inPlace = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<4 {
        group.addTask {
          var done = 0
          for _ in 0..<20_000 where count.addInPlace() { done += 1 }
          return done
        }
        group.addTask {
          for _ in 0..<2000 { await count.add() }
          return 0
        }
      }
      return await group.reduce(0, +)
    }
    #expect(await count.value == inPlace + 8000)
  }
}
