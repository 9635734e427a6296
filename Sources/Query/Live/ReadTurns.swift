import Synchronization

/// Lets a few readers read at a time, in the order in which they came: each holds its rows in memory until they have been
/// compared.
final class ReadTurns: Sendable {
  private struct State {
    var free: Int
    /// In the order in which they came, from `first` on.
    var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
    var first = 0
    var next = 0
  }

  private let state: Mutex<State>

  init(atOnce: Int) { state = Mutex(State(free: atOnce)) }

  /// A turn, which ends with the returned value.
  func take() async -> ReadTurn {
    await withCheckedContinuation { continuation in
      let isFree = state.withLock { state in
        guard state.free == 0 else {
          state.free -= 1
          return true
        }
        state.waiting[state.next] = continuation
        state.next += 1
        return false
      }
      if isFree { continuation.resume() }
    }
    return ReadTurn(self)
  }

  fileprivate func give() {
    let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
      // The turn passes to the next waiting reader.
      guard let continuation = state.waiting.removeValue(forKey: state.first) else {
        state.free += 1
        return nil
      }
      state.first += 1
      return continuation
    }
    next?.resume()
  }
}

final class ReadTurn: Sendable {
  private let turns: ReadTurns

  fileprivate init(_ turns: ReadTurns) { self.turns = turns }

  deinit { turns.give() }
}
