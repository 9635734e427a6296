import Events

/// Reads and sends the reports that services of a mesh exchange through the log's process, which all of them may ask.
public struct RemoteReports: IngestReports {
  let link: LogLink
  /// How long a question is asked again while somebody waits for the answer.
  let patience: Duration

  /// Tells what the log must keep: of each partition that this process owns, the first offset it may still read again.
  public nonisolated(nonsending) func report(needs: OffsetVector) async throws(LogError) {
    guard let from = try? JSONValue(parsing: needs.description) else { preconditionFailure("a vector's text is JSON") }
    _ = try await link.ask(WireRequest(posting: ["from": from], to: "/v1/log/needs"), patience: .zero)
  }

  /// Tells what this ingest process has counted, and its last rejects.
  /// - Parameters:
  ///   - report: The counts since the process started; replaces the previous report.
  ///   - rejects: The rejects that the process keeps.
  ///   - number: The last of them that is known to have been taken: 0, then what this has returned.
  ///   - instance: A name that the process has drawn, 1 to 64 bytes.
  /// - Returns: The number of the last reject that was taken.
  public nonisolated(nonsending) func report(
    _ report: IngestReport, _ rejects: RecentRejects, after number: Int, of instance: String
  ) async throws(LogError) -> Int {
    let entries = rejects.entries(after: number).map(\.json)
    let body: JSONValue = [
      "instance": .string(instance), "report": report.json,
      "rejects": ["after": .int(Int64(number)), "entries": .array(entries)],
    ]
    let response = try await link.ask(WireRequest(posting: body, to: "/v1/log/ingests"), patience: .zero)
    guard case .int(let last)? = response.json?["rejects"], last >= 0 else { throw LogLink.malformed() }
    return Int(last)
  }

  // MARK: IngestReports

  public func rejects() async throws(LogError) -> [RecentRejects.Entry] {
    let request = WireRequest(.GET, "/v1/log/rejects", answerBytesMax: ReportedRejects.instancesMax * ReportRoutes.bodyBytesMax)
    let response = try await link.ask(request, patience: patience)
    guard case .array(let values)? = response.json?["rejects"] else { throw LogLink.malformed() }
    var rejects: [RecentRejects.Entry] = []
    for value in values {
      guard let entry = RecentRejects.Entry.list(.array([value])) else { throw LogLink.malformed() }
      rejects += entry
    }
    return rejects
  }

  /// Asks once; nil, too, where no answer comes.
  public func ingest() async -> IngestReport? {
    do throws(LogError) {
      let response = try await link.ask(WireRequest(.GET, "/v1/log/ingests"), patience: .zero)
      return response.json?["ingest"].flatMap { IngestReport($0) }
    } catch {
      link.logger.debug("what ingest has counted is not known: \(error)")
      return nil
    }
  }
}
