import Events
import Synchronization

/// Callers that wait for a high watermark to pass: woken by the writers, who pay one atomic load when nobody waits.
final class AppendWaiters: Sendable {
  private struct Waiter {
    var positions: OffsetVector
    var continuation: CheckedContinuation<Void, Never>
  }

  private struct State {
    var nextID: UInt64 = 0
    var waiters: [UInt64: Waiter] = [:]
    var isClosed = false
  }

  private let count = Atomic<Int>(0)
  private let state = Mutex(State())

  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Returns when `isPassed` holds, the waiters are closed, or the task is cancelled.
  /// - Parameter isPassed: Whether some partition's high watermark is above its offset; reads them sequentially consistent.
  nonisolated(nonsending) func wait(past positions: OffsetVector, until isPassed: @Sendable () -> Bool) async {
    if isPassed() { return }
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isClosed = state.withLock { state in
          if !state.isClosed { state.waiters[id] = Waiter(positions: positions, continuation: continuation) }
          return state.isClosed
        }
        if isClosed { return continuation.resume() }
        count.add(1, ordering: .sequentiallyConsistent)
        // A writer that stored its high watermark before it could see us here, or a cancellation before we were in the table,
        // woke nobody.
        if isPassed() || Task.isCancelled { resume(id) }
      }
    } onCancel: {
      resume(id)
    }
  }

  /// Called after a partition's high watermark was stored, sequentially consistent.
  func wake(_ partition: PartitionID, highWatermark: Offset) {
    guard count.load(ordering: .sequentiallyConsistent) > 0 else { return }
    let passed = state.withLock { state in
      state.waiters.compactMap { id, waiter in
        waiter.positions[partition].map { $0 < highWatermark } == true ? id : nil
      }
    }
    for id in passed { resume(id) }
  }

  /// Wakes all, and accepts no more waiters.
  func close() {
    let all = state.withLock { state in
      state.isClosed = true
      return Array(state.waiters.keys)
    }
    for id in all { resume(id) }
  }

  /// Resumes a waiter if nobody has yet.
  private func resume(_ id: UInt64) {
    guard let waiter = state.withLock({ $0.waiters.removeValue(forKey: id) }) else { return }
    count.subtract(1, ordering: .sequentiallyConsistent)
    waiter.continuation.resume()
  }
}
