import Compute
import Synchronization
import Views

/// Where the compute instances of a test agree on generations, in place of Consul.
final class InMemoryGenerations: SharedGenerations {
  private struct State {
    var value: SharedText?
    var version: UInt64 = 0
    var isAway = false
    var watchers: [AsyncStream<Void>.Continuation] = []
  }

  private let state = Mutex(State())

  /// Forgets everything, as a Consul that lost its data.
  func lose() { change { $0.value = nil } }

  /// From now on nothing is answered, or is again.
  func set(away: Bool) { change { $0.isAway = away } }

  private func change(_ body: (inout State) -> Void) {
    let watchers = state.withLock { state in
      body(&state)
      return state.watchers
    }
    for watcher in watchers { watcher.yield() }
  }

  nonisolated(nonsending) func load() async throws(ViewStoreError) -> SharedText? {
    let (value, isAway) = state.withLock { ($0.value, $0.isAway) }
    guard !isAway else { throw .unavailable("away") }
    return value
  }

  nonisolated(nonsending) func replace(_ text: String, version: UInt64) async throws(ViewStoreError) -> UInt64? {
    let replaced = state.withLock { state -> Result<UInt64?, ViewStoreError> in
      guard !state.isAway else { return .failure(.unavailable("away")) }
      guard (state.value?.version ?? 0) == version else { return .success(nil) }
      state.version += 1
      state.value = SharedText(text: text, version: state.version)
      return .success(state.version)
    }
    for watcher in state.withLock({ $0.watchers }) { watcher.yield() }
    return try replaced.get()
  }

  nonisolated(nonsending) func watch(_ changed: @Sendable () async -> Void) async {
    let (changes, watcher) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    state.withLock { $0.watchers.append(watcher) }
    await changed()
    for await _ in changes { await changed() }
  }
}
