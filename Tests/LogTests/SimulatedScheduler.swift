import Glibc
import Synchronization
import TestSupport

@testable import Log

/// Runs a log's work on the test's own thread, in an order that a seed decides: between writers as chance has it, each writer's
/// in its order. Time is the test's: delayed work comes when `advance` has passed its due time.
///
/// Work that a task awaits runs, with all that is ready, as soon as it is asked for, on the thread that asks. The task may go on,
/// on another thread, before that thread is through with the rest: whatever comes from another thread waits until it is, so that
/// one acts at a time.
final class SimulatedScheduler: LogScheduler {
  private struct State {
    var queues: [[@Sendable () -> Void]] = []
    var timers: [(due: Duration, queue: Int, work: @Sendable () -> Void)] = []
    var now = Duration.zero
    var running: Int?
    /// The thread within `run`.
    var owner: pthread_t?
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

  /// Waits until no other thread runs work.
  func settle() {
    while state.withLock({ $0.owner != nil && $0.owner != pthread_self() }) { sched_yield() }
  }

  /// Runs what is ready, and what that makes ready; within work that runs, nothing.
  func run() {
    while true {
      let isOurs = state.withLock { state -> Bool? in
        guard let owner = state.owner else {
          state.owner = pthread_self()
          return true
        }
        return owner == pthread_self() ? false : nil
      }
      if isOurs == false { return }
      if isOurs == true { break }
      sched_yield()
    }
    while true {
      let next = state.withLock { state -> (@Sendable () -> Void)? in
        let ready = state.queues.indices.filter { !state.queues[$0].isEmpty }
        guard let queue = ready.randomElement(using: &state.random) else {
          state.owner = nil
          return nil
        }
        state.running = queue
        return state.queues[queue].removeFirst()
      }
      guard let next else { return }
      next()
      state.withLock { $0.running = nil }
    }
  }

  func advance(_ duration: Duration) {
    settle()
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

    func async(_ work: @escaping @Sendable () -> Void) {
      scheduler.settle()
      scheduler.state.withLock { $0.queues[number].append(work) }
    }

    func async(after delay: Duration, _ work: @escaping @Sendable () -> Void) {
      scheduler.settle()
      scheduler.state.withLock { $0.timers.append((due: $0.now + delay, queue: number, work: work)) }
    }

    func resume(_ work: @escaping @Sendable () -> Void) {
      async(work)
      scheduler.run()
    }

    func checkIsolated() { precondition(scheduler.state.withLock { $0.running } == number, "not on this queue") }
  }
}
