import Events
import Synchronization

/// A record of views that is gone with its process: for tests and measurements without a log's folder. The next start
/// then uses the first worker's copy.
public final class VolatileViewsRecord: ViewsRecord {
  private struct State {
    var entries: [[UInt8]] = []
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter = 0
  }

  private let state = Mutex(State())

  public init() {}

  public nonisolated(nonsending) func entries(from number: Int, bytesMax: Int) async throws(LogError) -> [[UInt8]] {
    let entries = state.withLock { $0.entries }
    guard (0...entries.count).contains(number) else { throw LogError(.outOfRange, "the record has \(entries.count) entries") }
    return Array(entries[number...])
  }

  public nonisolated(nonsending) func append(_ entry: [UInt8], as number: Int) async throws(LogError) -> Bool {
    let (isThere, waiters) = state.withLock { state -> (Bool, [CheckedContinuation<Void, Never>]) in
      if state.entries.indices.contains(number) { return (state.entries[number] == entry, []) }
      guard number == state.entries.count else { return (false, []) }
      state.entries.append(entry)
      defer { state.waiters = [:] }
      return (true, Array(state.waiters.values))
    }
    for waiter in waiters { waiter.resume() }
    return isThere
  }

  public nonisolated(nonsending) func waitForEntry(past count: Int) async throws(LogError) {
    let id = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state in
          guard state.entries.count <= count, !Task.isCancelled else { return false }
          state.waiters[id] = continuation
          return true
        }
        if !waits { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }
  }
}
