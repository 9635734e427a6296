import Synchronization

/// Work for a reactor from other threads, in the order given.
///
/// Its senders bound it: each puts in a group of acknowledgements or a new connection, never a message.
final class ReactorInbox: Sendable {
  private struct State {
    var waiting: [@Sendable () -> Void] = []
    /// The reactor's thread sleeps, or is about to, and nobody has woken it.
    var isAsleep = false
    var isClosed = false
  }

  private let state = Mutex(State())

  /// Work given after `close` is dropped.
  /// - Returns: Whether the thread must be woken: a busy thread looks here at each turn.
  func push(_ work: @escaping @Sendable () -> Void) -> Bool {
    state.withLock { state in
      guard !state.isClosed else { return false }
      state.waiting.append(work)
      defer { state.isAsleep = false }
      return state.isAsleep
    }
  }

  /// - Returns: Whether the thread may sleep: from now on it is woken.
  func fallAsleep() -> Bool {
    state.withLock { state in
      state.isAsleep = state.waiting.isEmpty
      return state.isAsleep
    }
  }

  /// Swaps the waiting work with `taken`, which is empty, so that both keep their memory.
  func takeAll(_ taken: inout [@Sendable () -> Void]) {
    state.withLock { state in
      state.isAsleep = false
      swap(&state.waiting, &taken)
    }
  }

  func close() {
    state.withLock { state in
      state.isClosed = true
      state.waiting = []
    }
  }
}
