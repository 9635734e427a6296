import Events
import Synchronization

/// The last rejects that ingest processes report to the log; the query service asks for them. Rejects of a process that
/// has ended stay.
public final class ReportedRejects: Sendable {
  /// The most processes kept, those that reported a reject last.
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

  /// Rises whenever a process reports a reject.
  public var changes: Int { state.withLock { $0.changes } }

  public var kept: [(name: String, entries: [RecentRejects.Entry])] {
    let instances = state.withLock { $0.instances.mapValues(\.rejects) }
    return instances.sorted { $0.key < $1.key }.map { ($0.key, $0.value.entries(after: 0)) }
  }

  /// Takes the rejects stored before a restart: to be called before the first report.
  /// - Parameter kept: The stored rejects; if there are too many processes, some are left out.
  public func restore(_ kept: [(name: String, entries: [RecentRejects.Entry])]) {
    for (name, entries) in kept.prefix(ReportedRejects.instancesMax) { _ = note(entries, after: 0, of: name) }
  }

  /// - Parameters:
  ///   - entries: All the process's entries with a number above `number`.
  ///   - number: The number up to which it believes to have reported. When less is known here, as after a restart, nothing is
  ///     taken.
  ///   - instance: The name it has drawn.
  ///   - now: The time of the report.
  /// - Returns: The number of its last reject that is known here: it reports those above next.
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

  /// The rejects of all processes: for each at most `RecentRejects.perCodeMax` of each code.
  public func newestFirst() -> [RecentRejects.Entry] {
    let all = state.withLock { $0.instances.values.map(\.rejects) }
    return all.flatMap { $0.newestFirst() }.sorted { $0.isNewer(than: $1) }
  }
}
