import Events
import Synchronization

/// The counts that ingest processes report, for the query service to ask: the mesh lets it reach the log and not ingest.
final class ReportedIngests: Sendable {
  /// A process that has reported nothing for this long is gone, and no longer counted.
  static let lifetime = Duration.seconds(10)
  /// The most processes kept, those that reported last.
  static let instancesMax = 256

  private let last = Mutex<[String: (report: IngestReport, at: ContinuousClock.Instant)]>([:])

  /// The sum of all present processes' counts; nil when there is none.
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
  ///   - report: Replaces the instance's previous report.
  ///   - instance: A name that the process has drawn when it started.
  ///   - now: The time of the report.
  func note(_ report: IngestReport, of instance: String, at now: ContinuousClock.Instant = .now) {
    last.withLock { last in
      last[instance] = (report, now)
      guard last.count > ReportedIngests.instancesMax, let oldest = last.min(by: { $0.value.at < $1.value.at }) else { return }
      last[oldest.key] = nil
    }
  }
}
