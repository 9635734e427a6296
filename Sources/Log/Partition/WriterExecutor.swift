/// A partition writer's own serial queue: its thread may block in writes and syncs without holding up others.
final class WriterExecutor: SerialExecutor {
  private let queue: any SerialQueue

  init(_ queue: any SerialQueue) { self.queue = queue }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.resume { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }

  func checkIsolated() { queue.checkIsolated() }

  /// Runs `work` after all queued work. Cheaper than a task: one block.
  func async(_ work: @escaping @Sendable () -> Void) { queue.async(work) }

  func async(after delay: Duration, _ work: @escaping @Sendable () -> Void) { queue.async(after: delay, work) }
}
