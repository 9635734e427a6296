import Events

/// The counts and rejects of this process's ingest.
struct IngestHere: IngestReports {
  let totals = ReceivedEventsCount()
  let recent = RecentRejects()
  let suspects = SuspectSources()
  let ahead = AheadEventSources()
  private let registry: PrometheusRegistry

  /// - Parameter registry: The process's, which has the rest of a report.
  init(_ registry: PrometheusRegistry) { self.registry = registry }

  var report: IngestReport { registry.ingestReport(totals, suspects, ahead) }

  func ingest() async -> IngestReport? { report }

  func rejects() async -> [RecentRejects.Entry] { recent.newestFirst() }
}
