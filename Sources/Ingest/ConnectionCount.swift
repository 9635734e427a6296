import Synchronization

/// How many connections there are, and a wait for the last one.
final class ConnectionCount: Sendable {
  private let state = Mutex<(count: Int, waiter: CheckedContinuation<Void, Never>?)>((0, nil))

  var count: Int { state.withLock { $0.count } }

  func add(max: Int) -> Bool {
    state.withLock {
      guard $0.count < max else { return false }
      $0.count += 1
      return true
    }
  }

  func remove() {
    let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
      state.count -= 1
      guard state.count == 0 else { return nil }
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }

  /// Returns when the last connection has gone, or at the timeout.
  func waitForNone(timeout: Duration) async {
    let timer = Task {
      try await Task.sleep(for: timeout)
      let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
        defer { state.waiter = nil }
        return state.waiter
      }
      waiter?.resume()
    }
    await withCheckedContinuation { continuation in
      let isDone = state.withLock { state -> Bool in
        if state.count == 0 { return true }
        state.waiter = continuation
        return false
      }
      if isDone { continuation.resume() }
    }
    timer.cancel()
  }
}
