import Dispatch

/// A partition writer's own serial queue: its thread may block in writes and syncs without holding up anyone else's.
final class WriterExecutor: SerialExecutor {
  private let queue: DispatchQueue

  init(label: String) { queue = DispatchQueue(label: label) }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }

  func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }

  /// Runs `work` behind all that is queued. Cheaper than a task: one block.
  func async(_ work: @escaping @Sendable () -> Void) { queue.async(execute: work) }

  func async(after delay: Duration, _ work: @escaping @Sendable () -> Void) {
    queue.asyncAfter(deadline: .now() + .nanoseconds(Int(clamping: delay.nanoseconds)), execute: work)
  }
}
