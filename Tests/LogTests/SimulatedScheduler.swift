import Synchronization
import TestSupport

@testable import Log

/// Runs a log's work on the test's own thread, in an order that a seed decides: between writers as chance has it, each writer's in its order.
/// Time is the test's: delayed work comes when `advance` has passed its due time.
///
/// One thread only. Work that a task awaits runs, with all that is ready, as soon as it is asked for.
final class SimulatedScheduler: LogScheduler {
  private struct State {
    var queues: [[@Sendable () -> Void]] = []
    var timers: [(due: Duration, queue: Int, work: @Sendable () -> Void)] = []
    var now = Duration.zero
    var running: Int?
    var random: SeededGenerator
  }

  private let state: Mutex<State>

  init(seed: UInt64) { state = Mutex(State(random: SeededGenerator(seed: seed))) }

  func makeQueue(label: String) -> any SerialQueue {
    let number = state.withLock { state in
      state.queues.append([])
      return state.queues.count - 1
    }
    return Queue(scheduler: self, number: number)
  }

  func perform(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) async {
    for index in 0..<count { body(index) }
  }

  /// Runs what is ready, and what that makes ready.
  func run() {
    while true {
      let next = state.withLock { state -> (@Sendable () -> Void)? in
        guard state.running == nil else { return nil }
        let ready = state.queues.indices.filter { !state.queues[$0].isEmpty }
        guard let queue = ready.randomElement(using: &state.random) else { return nil }
        state.running = queue
        return state.queues[queue].removeFirst()
      }
      guard let next else { return }
      next()
      state.withLock { $0.running = nil }
    }
  }

  func advance(_ duration: Duration) {
    state.withLock { state in
      state.now += duration
      let due = state.timers.filter { $0.due <= state.now }.sorted { $0.due < $1.due }
      state.timers.removeAll { $0.due <= state.now }
      for timer in due { state.queues[timer.queue].append(timer.work) }
    }
    run()
  }

  private struct Queue: SerialQueue {
    let scheduler: SimulatedScheduler
    let number: Int

    func async(_ work: @escaping @Sendable () -> Void) { scheduler.state.withLock { $0.queues[number].append(work) } }

    func async(after delay: Duration, _ work: @escaping @Sendable () -> Void) {
      scheduler.state.withLock { $0.timers.append((due: $0.now + delay, queue: number, work: work)) }
    }

    func resume(_ work: @escaping @Sendable () -> Void) {
      async(work)
      scheduler.run()
    }

    func checkIsolated() { precondition(scheduler.state.withLock { $0.running } == number, "not on this queue") }
  }
}
