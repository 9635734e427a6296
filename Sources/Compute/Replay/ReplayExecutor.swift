import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A thread of its own with a lower priority: what runs here takes the processor time that ingest and live folding leave.
final class ReplayExecutor: SerialExecutor {
  /// Added to the process's niceness, of 0 to 19.
  private static let niceness: Int32 = 10

  private let queue = JobQueue()

  init(label: String) {
    let thread = Thread { [queue] in
      #if os(Linux)
        // Linux has a niceness a thread: 0 is the calling one. Without it the replay only loses its manners.
        _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, ReplayExecutor.niceness)
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

  func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}

/// What the thread has to do, in order.
///
/// Invariant for `@unchecked`: `jobs` and `isEnded` are touched with `condition` locked only.
private final class JobQueue: @unchecked Sendable {
  private let condition = NSCondition()
  private var jobs: [@Sendable () -> Void] = []
  private var isEnded = false

  func append(_ job: @escaping @Sendable () -> Void) {
    condition.lock()
    jobs.append(job)
    condition.signal()
    condition.unlock()
  }

  func end() {
    condition.lock()
    isEnded = true
    condition.signal()
    condition.unlock()
  }

  func run() {
    while true {
      condition.lock()
      while jobs.isEmpty && !isEnded { condition.wait() }
      let taken = jobs
      jobs = []
      condition.unlock()
      if taken.isEmpty { return }
      for job in taken { job() }
    }
  }
}
