import Events
import Synchronization

/// Whether a log in another process answers, as whoever asked it last found, and what it told last.
final class LogPresence: Sendable {
  /// While it does not answer, one question in so long finds out whether it does again.
  private static let probeInterval = Duration.milliseconds(250)

  private struct State {
    var awaySince: ContinuousClock.Instant?
    var nextProbe = ContinuousClock.now
    var bounds: [PartitionID: PartitionBounds] = [:]
  }
  private let state = Mutex(State())

  func answered() { state.withLock { $0.awaySince = nil } }

  /// - Returns: Since when it does not answer.
  func failed() -> ContinuousClock.Instant {
    state.withLock { state in
      let now = ContinuousClock.now
      if state.awaySince == nil { state.nextProbe = now + LogPresence.probeInterval }
      state.awaySince = state.awaySince ?? now
      return state.awaySince ?? now
    }
  }

  /// Whether a question is likely to be answered, or it is time to find out.
  var isWorthAsking: Bool {
    state.withLock { state in
      guard state.awaySince != nil else { return true }
      let now = ContinuousClock.now
      guard now >= state.nextProbe else { return false }
      state.nextProbe = now + LogPresence.probeInterval
      return true
    }
  }

  func note(_ bounds: PartitionBounds, of partition: PartitionID) { state.withLock { $0.bounds[partition] = bounds } }

  func bounds(of partition: PartitionID) -> PartitionBounds? { state.withLock { $0.bounds[partition] } }
}
