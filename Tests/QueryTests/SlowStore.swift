import Synchronization
import Views

/// Opens once; whoever waits goes on then.
final class Gate: Sendable {
  private struct State {
    var isOpen = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  func open() {
    let waiting = state.withLock { state in
      state.isOpen = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  nonisolated(nonsending) func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiting.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }
}

/// Answers when it is let.
final class SlowStore: ViewStore {
  let inner = FakeStore()
  let entered = Gate()
  let release = Gate()

  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] { try await inner.views() }

  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    entered.open()
    await release.wait()
    return try await inner.read(request)
  }
}
