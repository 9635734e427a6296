import Synchronization

/// Whether this process may still act for a partition: answered at once, from local knowledge, and never wrongly with yes.
///
/// Another process can take a lease over only after Consul has ended our session. That happens at the soonest
/// - a TTL after the agent took our last sign of life; the agent reports the check's failure to the servers, or
/// - when the servers' gossip declares our node dead. With a probe a second and the shortest suspicion (4 probe intervals:
///   memberlist's LAN defaults) that takes over 4 seconds from when the servers last answered us, and LockDelay adds to it.
///
/// So a lease counts only within a TTL of the last sign of life *sent*, and within `serversMax` of the servers' last answer that
/// the session lives, both measured from before they were asked, on a clock that runs on while the machine sleeps.
public final class LeaseFence: Sendable {
  /// How long the servers' answer holds; mostly longer than an election of a new leader.
  static let serversMax = Duration.seconds(4)

  private struct State {
    /// The lock's ModifyIndex when it was taken, by partition: the fencing token, greater for each later owner.
    var held: [Int: UInt64] = [:]
    var lifeSignUntil: ContinuousClock.Instant
    var serversUntil: ContinuousClock.Instant
  }
  private let state: Mutex<State>

  init() {
    let past = ContinuousClock.now - .seconds(1)
    state = Mutex(State(lifeSignUntil: past, serversUntil: past))
  }

  /// Whether this process certainly still has the lease on `partition`.
  public func holds(_ partition: Int) -> Bool {
    let now = ContinuousClock.now
    return state.withLock { $0.held[partition] != nil && now < $0.lifeSignUntil && now < $0.serversUntil }
  }

  /// The fencing token, greater than that of any earlier owner of the partition; nil unless `holds`.
  public func token(of partition: Int) -> UInt64? {
    let now = ContinuousClock.now
    return state.withLock { now < $0.lifeSignUntil && now < $0.serversUntil ? $0.held[partition] : nil }
  }

  /// The leased partitions, each with its fencing token, whether or not the leases are certain at this moment.
  var tokens: [Int: UInt64] { state.withLock { $0.held } }

  public var partitions: Set<Int> { Set(tokens.keys) }

  func add(_ partition: Int, token: UInt64) { state.withLock { $0.held[partition] = token } }
  func remove(_ partition: Int) { state.withLock { _ = $0.held.removeValue(forKey: partition) } }

  func removeAll() -> Set<Int> {
    state.withLock { state in
      defer { state.held = [:] }
      return Set(state.held.keys)
    }
  }

  /// The session is known to have ended.
  func expire() { state.withLock { $0.serversUntil = ContinuousClock.now } }

  func extend(lifeSignUntil: ContinuousClock.Instant) {
    state.withLock { $0.lifeSignUntil = max($0.lifeSignUntil, lifeSignUntil) }
  }

  func extend(serversUntil: ContinuousClock.Instant) {
    state.withLock { $0.serversUntil = max($0.serversUntil, serversUntil) }
  }
}
