import Events
import Synchronization

/// The last rejects of ingest processes, as they tell the log, for the query service to ask. Those of a process that has ended stay.
final class ReportedRejects: Sendable {
  /// Of more, those that told of a reject last are kept.
  static let instancesMax = 16

  private struct Instance {
    var rejects = RecentRejects()
    var at: ContinuousClock.Instant
  }

  private let instances = Mutex<[String: Instance]>([:])

  /// - Parameters:
  ///   - entries: All that the process keeps with a number above `number`.
  ///   - number: What it believes to have told already. When less is known here, as after a restart, nothing is taken.
  ///   - instance: The name it has drawn.
  ///   - now: When it was said.
  /// - Returns: The number of its last reject that is known here: what it tells next are those above.
  func note(
    _ entries: [RecentRejects.Entry], after number: Int, of instance: String, at now: ContinuousClock.Instant = .now
  ) -> Int {
    instances.withLock { instances in
      let last = instances[instance]?.rejects.last ?? 0
      guard number <= last, !entries.isEmpty else { return last }
      let known = instances[instance]?.rejects ?? RecentRejects()
      known.note(entries)
      instances[instance] = Instance(rejects: known, at: now)
      if instances.count > ReportedRejects.instancesMax, let oldest = instances.min(by: { $0.value.at < $1.value.at }) {
        instances[oldest.key] = nil
      }
      return known.last
    }
  }

  /// Of all processes: of each at most `RecentRejects.perCodeMax` of each code.
  func newestFirst() -> [RecentRejects.Entry] {
    let all = instances.withLock { instances in instances.values.map(\.rejects) }
    return all.flatMap { $0.newestFirst() }.sorted { $0.isNewer(than: $1) }
  }
}
