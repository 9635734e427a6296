import Events
import Synchronization

/// Whether a log in another process answers, by its last caller's result, and its last answer.
final class LogPresence: Sendable {
  /// While it does not answer, one request in this time finds out whether it does again.
  private static let probeInterval = Duration.milliseconds(250)

  private struct State {
    var awaySince: ContinuousClock.Instant?
    var nextProbe = ContinuousClock.now
    var bounds: [PartitionID: PartitionBounds] = [:]
  }
  private let state = Mutex(State())

  func answered() { state.withLock { $0.awaySince = nil } }

  /// - Returns: The time since when it has not answered.
  func failed() -> ContinuousClock.Instant {
    state.withLock { state in
      let now = ContinuousClock.now
      if state.awaySince == nil { state.nextProbe = now + LogPresence.probeInterval }
      state.awaySince = state.awaySince ?? now
      return state.awaySince ?? now
    }
  }

  /// Whether a request is likely to be answered, or it is time to find out.
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
