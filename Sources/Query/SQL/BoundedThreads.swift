import Dispatch
import Synchronization

/// A few threads for work that blocks or computes for long, so that neither the event loops nor Swift's own pool wait for it.
final class BoundedThreads: Sendable {
  private struct State {
    var idle: [Int]
    var waiting: [CheckedContinuation<Int?, Never>] = []
  }

  private let queues: [DispatchQueue]
  private let waitingMax: Int
  private let state: Mutex<State>

  /// - Parameter waitingMax: Callers that may wait for a thread; more are turned away.
  init(label: String, threads: Int, waitingMax: Int) {
    queues = (0..<threads).map { DispatchQueue(label: "\(label).\($0)") }
    self.waitingMax = waitingMax
    state = Mutex(State(idle: Array(0..<threads)))
  }

  /// A thread, for as long as `body` runs.
  func withThread<R: Sendable>(
    _ body: (BoundedThread) async throws(QueryFailure) -> R
  ) async throws(QueryFailure) -> R {
    guard let number = await take() else {
      throw QueryFailure(
        503, "busy", "\(waitingMax) others wait already; try again", headers: ["Retry-After": "1"])
    }
    defer { giveBack(number) }
    return try await body(BoundedThread(queue: queues[number]))
  }

  private func take() async -> Int? {
    await withCheckedContinuation { continuation in
      let answer: Int?? = state.withLock { state in
        if let number = state.idle.popLast() { return .some(number) }
        guard state.waiting.count < waitingMax else { return .some(nil) }
        state.waiting.append(continuation)
        return nil
      }
      if let answer { continuation.resume(returning: answer) }
    }
  }

  private func giveBack(_ number: Int) {
    let next = state.withLock { state -> CheckedContinuation<Int?, Never>? in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
      state.idle.append(number)
      return nil
    }
    next?.resume(returning: number)
  }
}

/// One of them, held.
struct BoundedThread: Sendable {
  fileprivate let queue: DispatchQueue

  /// Runs `body` on the thread.
  func run<R: Sendable>(_ body: @escaping @Sendable () throws(QueryFailure) -> R) async throws(QueryFailure) -> R {
    let result = await withCheckedContinuation { (continuation: CheckedContinuation<Result<R, QueryFailure>, Never>) in
      queue.async {
        do throws(QueryFailure) {
          continuation.resume(returning: .success(try body()))
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    }
    return try result.get()
  }
}
