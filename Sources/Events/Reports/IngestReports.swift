/// The counts and rejects of ingest, of this process or of all processes of a mesh. They are no part of a log, though
/// in a mesh the log's process carries them.
public protocol IngestReports: Sendable {
  /// The sum of the counts that ingest processes have reported lately; nil while none is known.
  func ingest() async -> IngestReport?

  /// The last rejects, the newest first: of each process at most `RecentRejects.perCodeMax` of each code.
  func rejects() async throws(LogError) -> [RecentRejects.Entry]
}
