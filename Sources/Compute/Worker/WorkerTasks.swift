import Synchronization

/// The tasks that run the workers' loops.
final class WorkerTasks: Sendable {
  private let running = Mutex<[Task<Void, Never>]>([])

  func start(_ workers: [ComputeWorker]) {
    running.withLock { running in
      precondition(running.isEmpty, "the workers run already")
      running = workers.map { worker in Task { await worker.run() } }
    }
  }

  /// Cancels the loops, and returns when each has checkpointed.
  func stop() async {
    let tasks = running.withLock { running in
      defer { running = [] }
      return running
    }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }
}
