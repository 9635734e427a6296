import Dispatch
import Synchronization

/// Threads for computing answers: an answer that takes long holds neither the event loops nor Swift's own pool, on
/// which everything that only waits goes on.
///
/// A suspended answer goes on after everything that waits by then: so long answers that suspend between their pieces
/// take turns. At most as many wait as answers are under way, each with its concurrent tasks.
public final class AnswerThreads: TaskExecutor {
  private struct State {
    var jobs: [UnownedJob] = []
    /// The first of `jobs` that has not begun.
    var first = 0
    /// Threads with nothing to do.
    var idle: [Int]

    mutating func take() -> UnownedJob? {
      guard first < jobs.count else { return nil }
      let job = jobs[first]
      first += 1
      if first == jobs.count {
        jobs.removeAll(keepingCapacity: first <= 4096)
        first = 0
      } else if first >= 1024, first * 2 > jobs.count {
        jobs.removeFirst(first)
        first = 0
      }
      return job
    }
  }

  private let queues: [DispatchQueue]
  private let state: Mutex<State>

  /// - Parameters:
  ///   - label: The beginning of the threads' names.
  ///   - threads: Answers computed at a time.
  public init(label: String, threads: Int = 4) {
    precondition(threads > 0, "someone has to do the work")
    queues = (0..<threads).map { DispatchQueue(label: "\(label).\($0)") }
    state = Mutex(State(idle: Array(0..<threads)))
  }

  /// Answers, or parts of them, that wait for a thread.
  public var waitingCount: Int { state.withLock { $0.jobs.count - $0.first } }

  /// Runs `body`, and the functions it calls that are on no actor, on these threads.
  public nonisolated(nonsending) func run<R: Sendable>(_ body: @Sendable () async -> R) async -> R {
    await withTaskExecutorPreference(self) { await body() }
  }

  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let idle = state.withLock { state in
      state.jobs.append(job)
      return state.idle.popLast()
    }
    if let idle { queues[idle].async { self.work(idle) } }
  }

  private func work(_ thread: Int) {
    let executor = asUnownedTaskExecutor()
    while let job = next(thread) { job.runSynchronously(on: executor) }
  }

  /// - Returns: Nil, with the thread idle, when there is nothing to do.
  private func next(_ thread: Int) -> UnownedJob? {
    state.withLock { state in
      let job = state.take()
      if job == nil { state.idle.append(thread) }
      return job
    }
  }
}
