import Dispatch
import Synchronization

/// A few threads for work that blocks or computes for long, so that neither the event loops nor Swift's own pool wait for it.
///
/// Work has a deadline, and so has waiting for a thread. Work that is not done by its deadline is told to end. If it does not,
/// its caller is released, and another thread replaces the one that it occupies, as long as no more than `threads` are occupied
/// so.
final class BoundedThreads: Sendable {
  /// The time that work has to end after it was told to.
  static let grace: Duration = .milliseconds(250)
  /// The interval at which deadlines are checked, while there are any.
  private static let tick: DispatchTimeInterval = .milliseconds(20)

  private struct Waiter {
    var continuation: CheckedContinuation<PoolThread?, Never>
    var deadline: ContinuousClock.Instant
  }

  private struct Job {
    var thread: PoolThread
    var deadline: ContinuousClock.Instant
    var interrupt: @Sendable () -> Void
    var isInterrupted = false
    /// Releases the caller.
    var abandon: @Sendable () -> Void
  }

  private struct State {
    var idle: [PoolThread]
    var waiting: [(number: Int, waiter: Waiter)] = []
    var jobs: [Int: Job] = [:]
    /// The numbers of threads occupied by work that nobody waits for any more.
    var kept: Set<Int> = []
    /// The number of them that another thread replaces.
    var replaced = 0
    var next: Int
    var isTicking = false
  }

  private let label: String
  private let threads: Int
  private let waitingMax: Int
  private let report: @Sendable (Report) -> Void
  private let state: Mutex<State>

  /// The fate of work that does not end.
  enum Report: Sendable {
    /// It goes on without a caller; the number of such pieces of work.
    case abandoned(Int)
    /// It has ended after all.
    case ended
  }

  /// - Parameters:
  ///   - waitingMax: The callers that may wait for a thread; further ones are refused.
  ///   - report: Reports work that does not end; called on any thread.
  init(label: String, threads: Int, waitingMax: Int, report: @escaping @Sendable (Report) -> Void = { _ in }) {
    self.label = label
    self.threads = threads
    self.waitingMax = waitingMax
    self.report = report
    state = Mutex(State(idle: (0..<threads).map { PoolThread(label: label, number: $0) }, next: threads))
  }

  /// A thread, for as long as `body` runs.
  /// - Parameters:
  ///   - deadline: Until when to wait for a thread.
  ///   - late: The error when there is none by then.
  func withThread<R: Sendable>(
    until deadline: ContinuousClock.Instant, late: QueryFailure, _ body: (BoundedThread) async throws(QueryFailure) -> R
  ) async throws(QueryFailure) -> R {
    let answer = await take(until: deadline)
    guard case .thread(let thread) = answer else {
      guard case .late = answer else {
        throw QueryFailure(
          503, "busy", "\(waitingMax) others wait already; try again", headers: ["Retry-After": "1"])
      }
      throw late
    }
    defer { giveBack(thread) }
    return try await body(BoundedThread(pool: self, thread: thread))
  }

  private enum Turn {
    case thread(PoolThread)
    case late
    case full
  }

  private func take(until deadline: ContinuousClock.Instant) async -> Turn {
    let isFull = Mutex(false)
    let thread: PoolThread? = await withCheckedContinuation { continuation in
      let answer: PoolThread?? = state.withLock { state in
        if let thread = state.idle.popLast() { return .some(thread) }
        guard state.waiting.count < waitingMax else {
          isFull.withLock { $0 = true }
          return .some(nil)
        }
        state.waiting.append((state.next, Waiter(continuation: continuation, deadline: deadline)))
        state.next += 1
        keepTime(&state)
        return nil
      }
      if let answer { continuation.resume(returning: answer) }
    }
    if let thread { return .thread(thread) }
    return isFull.withLock { $0 } ? .full : .late
  }

  private func giveBack(_ thread: PoolThread) {
    let next = state.withLock { state -> CheckedContinuation<PoolThread?, Never>? in
      // Abandoned work still has the thread.
      state.kept.contains(thread.number) ? nil : BoundedThreads.free(thread, &state)
    }
    next?.resume(returning: thread)
  }

  /// - Returns: The caller that gets the thread; nil when nobody waits.
  private static func free(_ thread: PoolThread, _ state: inout State) -> CheckedContinuation<PoolThread?, Never>? {
    guard state.waiting.isEmpty else { return state.waiting.removeFirst().waiter.continuation }
    state.idle.append(thread)
    return nil
  }

  // MARK: work

  fileprivate func run<R: Sendable>(
    on thread: PoolThread, until deadline: ContinuousClock.Instant, interrupt: @escaping @Sendable () -> Void, late: QueryFailure,
    _ body: @escaping @Sendable () throws(QueryFailure) -> R
  ) async throws(QueryFailure) -> R {
    let result = await withCheckedContinuation { (continuation: CheckedContinuation<Result<R, QueryFailure>, Never>) in
      let number = state.withLock { state in
        let number = state.next
        state.next += 1
        state.jobs[number] = Job(
          thread: thread, deadline: deadline, interrupt: interrupt, abandon: { continuation.resume(returning: .failure(late)) })
        keepTime(&state)
        return number
      }
      thread.queue.async { [self] in
        let outcome: Result<R, QueryFailure>
        do throws(QueryFailure) {
          outcome = .success(try body())
        } catch {
          outcome = .failure(error)
        }
        if finish(number, on: thread) { continuation.resume(returning: outcome) }
      }
    }
    return try result.get()
  }

  /// - Returns: Whether a caller waits for the outcome.
  private func finish(_ number: Int, on thread: PoolThread) -> Bool {
    let (isAwaited, next) = state.withLock { state -> (Bool, CheckedContinuation<PoolThread?, Never>?) in
      if state.jobs.removeValue(forKey: number) != nil { return (true, nil) }
      state.kept.remove(thread.number)
      guard state.replaced > state.kept.count else { return (false, BoundedThreads.free(thread, &state)) }
      // Its replacement stays.
      state.replaced -= 1
      return (false, nil)
    }
    next?.resume(returning: thread)
    if !isAwaited { report(.ended) }
    return isAwaited
  }

  // MARK: deadlines

  private func keepTime(_ state: inout State) {
    guard !state.isTicking else { return }
    state.isTicking = true
    DispatchQueue.global().asyncAfter(deadline: .now() + BoundedThreads.tick) { [weak self] in self?.lookAtDeadlines() }
  }

  private func lookAtDeadlines() {
    let now = ContinuousClock.now
    var actions: [@Sendable () -> Void] = []
    state.withLock { state in
      state.isTicking = false
      for late in state.waiting.filter({ $0.waiter.deadline <= now }) {
        actions.append { late.waiter.continuation.resume(returning: nil) }
      }
      state.waiting.removeAll { $0.waiter.deadline <= now }
      for (number, job) in state.jobs where job.deadline <= now {
        if !job.isInterrupted {
          state.jobs[number]?.isInterrupted = true
          actions.append(job.interrupt)
        } else if job.deadline + BoundedThreads.grace <= now {
          actions += abandon(number, job, &state)
        }
      }
      if !state.waiting.isEmpty || !state.jobs.isEmpty { keepTime(&state) }
    }
    for action in actions { action() }
  }

  private func abandon(_ number: Int, _ job: Job, _ state: inout State) -> [@Sendable () -> Void] {
    state.jobs[number] = nil
    state.kept.insert(job.thread.number)
    let kept = state.kept.count
    var actions: [@Sendable () -> Void] = [job.abandon, { [report] in report(.abandoned(kept)) }]
    guard state.replaced < threads else { return actions }
    state.replaced += 1
    let thread = PoolThread(label: label, number: state.next)
    state.next += 1
    if let next = BoundedThreads.free(thread, &state) { actions.append { next.resume(returning: thread) } }
    return actions
  }
}

/// A thread of its own: a queue that runs one piece of work after the other.
private final class PoolThread: Sendable {
  let number: Int
  let queue: DispatchQueue

  init(label: String, number: Int) {
    self.number = number
    queue = DispatchQueue(label: "\(label).\(number)")
  }
}

struct BoundedThread: Sendable {
  fileprivate let pool: BoundedThreads
  fileprivate let thread: PoolThread

  /// Runs `body` on the thread.
  /// - Parameters:
  ///   - deadline: The time when the work is told to end.
  ///   - interrupt: Tells it; called on any thread.
  ///   - late: The error when it does not end then.
  func run<R: Sendable>(
    until deadline: ContinuousClock.Instant, interrupt: @escaping @Sendable () -> Void, late: QueryFailure,
    _ body: @escaping @Sendable () throws(QueryFailure) -> R
  ) async throws(QueryFailure) -> R {
    try await pool.run(on: thread, until: deadline, interrupt: interrupt, late: late, body)
  }
}
