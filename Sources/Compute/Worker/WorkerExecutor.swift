import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A worker's own thread: folding and SQLite block, so they must not run on the shared pool. Work that the thread gives itself
/// wakes nobody.
final class WorkerExecutor: SerialExecutor {
  private let queue = JobQueue()

  /// - Parameters:
  ///   - label: The thread's name.
  ///   - niceness: Added to the process's, 0 to 19: with more, it takes the processor time that others leave.
  init(label: String, niceness: Int32 = 0) {
    let thread = Thread { [queue] in
      #if os(Linux)
        // On Linux each thread has a niceness: 0 is the calling one. Without it, replays only compete with other threads.
        if niceness > 0 { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness) }
      #endif
      queue.run()
    }
    thread.name = label
    thread.start()
  }

  deinit { queue.end() }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let executor = asUnownedSerialExecutor()
    queue.append { job.runSynchronously(on: executor) }
  }

  /// Runs the work that waits for the thread first. It costs next to nothing when there is none. To be called on the thread.
  nonisolated(nonsending) func letOthersGo() async {
    guard queue.isWanted else { return }
    await withCheckedContinuation { continuation in queue.append { continuation.resume() } }
  }

  /// Runs `body` on the calling thread if the worker's thread is idle, which saves two wakes of a thread.
  ///
  /// A caller that gives the thread work meanwhile waits until `body` has ended: it must be short, and wait for nothing itself.
  /// - Returns: Nil, with nothing run, when the thread is busy.
  func whileIdle<R>(_ body: () throws -> R) rethrows -> R? { try queue.whileIdle(body) }

  func checkIsolated() {
    precondition(queue.isHeldByThisThread, "what belongs to a worker is touched by its thread, or in its place")
  }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}

/// The thread's work, in order.
///
/// Invariant for `@unchecked`: `jobs`, `isRunning`, `isAsleep` and `isEnded` are used with `condition` locked only. A
/// job runs while `isRunning` is set and `condition` is not locked; `whileIdle` runs its body while `isRunning` is not
/// set and `condition` is locked: so never both, nor two of the latter.
private final class JobQueue: @unchecked Sendable {
  private let condition = NSCondition()
  private var jobs: [@Sendable () -> Void] = []
  private var isRunning = false
  private var isAsleep = false
  private var isEnded = false
  /// Jobs given and not yet begun.
  private let waiting = Atomic<Int>(0)
  /// The thread that runs a body in `whileIdle`; 0 when none does.
  private let holder = Atomic<UInt>(0)

  var isWanted: Bool { waiting.load(ordering: .relaxed) > 0 }

  func append(_ job: @escaping @Sendable () -> Void) {
    waiting.add(1, ordering: .relaxed)
    condition.lock()
    jobs.append(job)
    let wakes = isAsleep
    condition.unlock()
    // After the lock is free: else the thread would wake only to wait for it.
    if wakes { condition.signal() }
  }

  var isHeldByThisThread: Bool { holder.load(ordering: .relaxed) == JobQueue.thisThread }

  private static var thisThread: UInt { UInt(pthread_self()) }

  func whileIdle<R>(_ body: () throws -> R) rethrows -> R? {
    condition.lock()
    defer { condition.unlock() }
    guard !isRunning, jobs.isEmpty else { return nil }
    holder.store(JobQueue.thisThread, ordering: .relaxed)
    defer { holder.store(0, ordering: .relaxed) }
    return try body()
  }

  func end() {
    condition.lock()
    isEnded = true
    condition.signal()
    condition.unlock()
  }

  func run() {
    var taken: [@Sendable () -> Void] = []
    while true {
      condition.lock()
      isRunning = false
      while jobs.isEmpty && !isEnded {
        isAsleep = true
        condition.wait()
        isAsleep = false
      }
      swap(&taken, &jobs)
      isRunning = true
      condition.unlock()
      if taken.isEmpty { return }
      for job in taken {
        waiting.subtract(1, ordering: .relaxed)
        job()
      }
      taken.removeAll(keepingCapacity: true)
    }
  }
}
