import Dispatch

/// A worker's own thread of execution: folding and SQLite block, so they must not run on the shared pool.
final class WorkerExecutor: SerialExecutor {
  private let queue: DispatchQueue

  init(label: String) { queue = DispatchQueue(label: label) }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }

  /// Lets what waits for this worker go first. `Task.yield` would too, but by way of the shared pool: two threads woken each time.
  nonisolated(nonsending) func yield() async {
    await withCheckedContinuation { continuation in queue.async { continuation.resume() } }
  }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}
