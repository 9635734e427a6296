import Events
import Synchronization

/// The last rejects of ingest processes, as they tell the log, for the query service to ask. Those of a process that has ended stay.
public final class ReportedRejects: Sendable {
  /// Of more, those that told of a reject last are kept.
  static let instancesMax = 16

  private struct Instance {
    var rejects = RecentRejects()
    var at: ContinuousClock.Instant
  }

  private struct State {
    var instances: [String: Instance] = [:]
    var changes = 0
  }

  private let state = Mutex(State())

  public init() {}

  /// Rises whenever a process tells of a reject.
  public var changes: Int { state.withLock { $0.changes } }

  /// All that is kept, by process.
  public var kept: [(name: String, entries: [RecentRejects.Entry])] {
    let instances = state.withLock { $0.instances.mapValues(\.rejects) }
    return instances.sorted { $0.key < $1.key }.map { ($0.key, $0.value.entries(after: 0)) }
  }

  /// Takes what was kept before a restart: to be called before anything is told.
  /// - Parameter kept: As it was; of too many processes some are left out.
  public func restore(_ kept: [(name: String, entries: [RecentRejects.Entry])]) {
    for (name, entries) in kept.prefix(ReportedRejects.instancesMax) { _ = note(entries, after: 0, of: name) }
  }

  /// - Parameters:
  ///   - entries: All that the process keeps with a number above `number`.
  ///   - number: What it believes to have told already. When less is known here, as after a restart, nothing is taken.
  ///   - instance: The name it has drawn.
  ///   - now: When it was said.
  /// - Returns: The number of its last reject that is known here: what it tells next are those above.
  func note(
    _ entries: [RecentRejects.Entry], after number: Int, of instance: String, at now: ContinuousClock.Instant = .now
  ) -> Int {
    state.withLock { state in
      let last = state.instances[instance]?.rejects.last ?? 0
      guard number <= last, !entries.isEmpty else { return last }
      let known = state.instances[instance]?.rejects ?? RecentRejects()
      known.note(entries)
      state.instances[instance] = Instance(rejects: known, at: now)
      state.changes += 1
      if state.instances.count > ReportedRejects.instancesMax,
        let oldest = state.instances.min(by: { $0.value.at < $1.value.at })
      {
        state.instances[oldest.key] = nil
      }
      return known.last
    }
  }

  /// Of all processes: of each at most `RecentRejects.perCodeMax` of each code.
  public func newestFirst() -> [RecentRejects.Entry] {
    let all = state.withLock { $0.instances.values.map(\.rejects) }
    return all.flatMap { $0.newestFirst() }.sorted { $0.isNewer(than: $1) }
  }
}
