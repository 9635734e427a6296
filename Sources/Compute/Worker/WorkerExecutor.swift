import Dispatch

/// A worker's own thread of execution: folding and SQLite block, so they must not run on the shared pool.
final class WorkerExecutor: SerialExecutor {
  private let queue: DispatchQueue

  init(label: String) { queue = DispatchQueue(label: label) }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }

  /// Runs `work` behind all that waits for this worker.
  func async(_ work: @escaping @Sendable () -> Void) { queue.async(execute: work) }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}
