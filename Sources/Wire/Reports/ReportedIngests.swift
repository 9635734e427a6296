import Events
import Synchronization

/// What ingest processes say they have counted, for the query service to ask: the mesh has no way from it to them.
final class ReportedIngests: Sendable {
  /// A process that has said nothing for so long is gone, and no longer counted.
  static let lifetime = Duration.seconds(10)
  /// Of more, those that spoke last are kept.
  static let instancesMax = 256

  private let last = Mutex<[String: (report: IngestReport, at: ContinuousClock.Instant)]>([:])

  /// What all that are there have counted together; nil when there is none.
  func sum(at now: ContinuousClock.Instant = .now) -> IngestReport? {
    let reports = last.withLock { last in
      last = last.filter { now - $0.value.at < ReportedIngests.lifetime }
      return last.sorted { $0.key < $1.key }.map(\.value.report)
    }
    guard var sum = reports.first else { return nil }
    for report in reports.dropFirst() { sum.add(report) }
    return sum
  }

  /// - Parameters:
  ///   - report: Takes the place of the instance's one before.
  ///   - instance: A name that the process has drawn when it started.
  ///   - now: When it was said.
  func note(_ report: IngestReport, of instance: String, at now: ContinuousClock.Instant = .now) {
    last.withLock { last in
      last[instance] = (report, now)
      guard last.count > ReportedIngests.instancesMax, let oldest = last.min(by: { $0.value.at < $1.value.at }) else { return }
      last[oldest.key] = nil
    }
  }
}
