import Synchronization

/// A value that one task sets and many wait on. Each change has a version, from 1; 0 is before the first.
final class Watched<Value: Sendable & Equatable>: Sendable {
  private struct State {
    var value: Value
    var version: UInt64 = 0
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter: UInt64 = 0
  }
  private let state: Mutex<State>

  init(_ value: Value) { state = Mutex(State(value: value)) }

  var current: (value: Value, version: UInt64) { state.withLock { ($0.value, $0.version) } }

  /// Sets the value and wakes all that wait, unless the value is the same as before (the first value always wakes).
  func set(_ value: Value) {
    let woken = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      guard state.version == 0 || state.value != value else { return [] }
      state.value = value
      state.version += 1
      defer { state.waiters = [:] }
      return Array(state.waiters.values)
    }
    for waiter in woken { waiter.resume() }
  }

  /// Returns when the version differs from the one given, or the task is cancelled.
  nonisolated(nonsending) func waitForChange(from version: UInt64) async {
    let id = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isDone = state.withLock { state in
          // Cancelled before it was here: the handler has found nothing to resume.
          if state.version != version || Task.isCancelled { return true }
          state.waiters[id] = continuation
          return false
        }
        if isDone { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }
  }
}
