import Synchronization

/// Runs steps one after the other, in the order they came, until it is stopped.
final class StepQueue: Sendable {
  private struct State {
    var last: Task<Void, Never>?
    var isStopped = false
  }

  private let state = Mutex(State())

  /// - Parameter endsWithCaller: Whether cancelling the caller's task cancels the step; else a step that has begun always
  ///   finishes.
  /// - Returns: When the step is done; at once, without it, when the queue is stopped.
  func run<R: Sendable>(endsWithCaller: Bool = false, _ step: @escaping @Sendable () async -> R) async -> R? {
    let task: Task<R?, Never>? = state.withLock { state in
      guard !state.isStopped else { return nil }
      let before = state.last
      let task = Task { () -> R? in
        await before?.value
        return Task.isCancelled ? nil : await step()
      }
      state.last = Task { _ = await task.value }
      return task
    }
    return await withTaskCancellationHandler {
      await task?.value ?? nil
    } onCancel: {
      if endsWithCaller { task?.cancel() }
    }
  }

  var isStopped: Bool { state.withLock { $0.isStopped } }

  func stop() { state.withLock { $0.isStopped = true } }
}
