import Dispatch

/// Runs a log's work: each partition's writer on a serial queue of its own, start-up on threads that may block. A test
/// may run all of it on one thread, in an order of its choice.
protocol LogScheduler: Sendable {
  func makeQueue(label: String) -> any SerialQueue
  /// Runs `body` for each of `0 ..< count`, in any order or at once, and returns when all have returned.
  func perform(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) async
}

/// Runs one piece of work after the other, in the order given.
protocol SerialQueue: Sendable {
  func async(_ work: @escaping @Sendable () -> Void)
  func async(after delay: Duration, _ work: @escaping @Sendable () -> Void)
  /// Runs work as `async` does, for work that a task waits for.
  func resume(_ work: @escaping @Sendable () -> Void)
  /// Traps unless called from work of this queue.
  func checkIsolated()
}

/// Threads of the system.
struct DispatchScheduler: LogScheduler {
  func makeQueue(label: String) -> any SerialQueue { DispatchSerial(queue: DispatchQueue(label: label)) }

  func perform(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) async {
    await withCheckedContinuation { continuation in
      DispatchQueue.global().async {
        DispatchQueue.concurrentPerform(iterations: count, execute: body)
        continuation.resume()
      }
    }
  }
}

private struct DispatchSerial: SerialQueue {
  let queue: DispatchQueue

  func async(_ work: @escaping @Sendable () -> Void) { queue.async(execute: work) }
  func async(after delay: Duration, _ work: @escaping @Sendable () -> Void) {
    queue.asyncAfter(deadline: .now() + .nanoseconds(Int(clamping: delay.nanosecondsHeld)), execute: work)
  }
  func resume(_ work: @escaping @Sendable () -> Void) { queue.async(execute: work) }
  func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
}
