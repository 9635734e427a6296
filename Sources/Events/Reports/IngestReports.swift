/// What ingest has counted and rejected, for those who show it: of this process, or of all processes of a mesh. No part of a log, though in
/// a mesh the log's process carries it.
public protocol IngestReports: Sendable {
  /// What all ingest processes have counted together that told of it lately; nil while none is known.
  func ingest() async -> IngestReport?

  /// The last rejects, the newest first: of each process at most `RecentRejects.perCodeMax` of each code.
  func rejects() async throws(LogError) -> [RecentRejects.Entry]
}
