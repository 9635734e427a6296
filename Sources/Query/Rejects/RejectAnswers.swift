import Events
import Serving

/// Answers `GET /v1/rejects`: the last events that ingest rejected, each with its reason.
struct RejectAnswers: Sendable {
  /// Nil where no ingest is known.
  let reports: (any IngestReports)?

  /// ```
  /// {"rejects":[{"time":…,"code":"invalid_time","detail":…,"source":"station/EWR","message_number":3,"event":0,"position":1,
  ///  "message":"{\"source\":…"}]}
  /// ```
  /// The newest first, at most `RecentRejects.perCodeMax` for each code and ingest process. Unknown members are null. `message`
  /// holds the first bytes of the event as it was sent; they begin at byte `position` of the message. `suspects` lists the
  /// sources of events that were taken for duplicates but may be new.
  func answer(_ query: Substring) async throws(QueryFailure) -> HTTPAnswer {
    let parameters = try QueryParameters(query, known: ["code", "source"])
    var code: RejectCode?
    if let text = parameters["code"] {
      code = RejectCode(rawValue: text)
      guard code != nil else {
        let known = RejectCode.allCases.map(\.rawValue).joined(separator: ", ")
        throw .parameter("code", "expected one of \(known), not '\(text.prefix(64))'")
      }
    }
    let all: [RecentRejects.Entry]
    do throws(LogError) { all = try await reports?.rejects() ?? [] } catch { throw QueryFailure(error) }
    let wanted = all.filter { entry in
      (code == nil || entry.code == code) && (parameters["source"].map { entry.rejected.isOf(source: $0) } ?? true)
    }
    let rows = wanted.map { entry -> JSONValue in
      var members = JSONObject()
      members["time"] = .string(entry.time.description)
      for member in entry.told { members[member.name] = member.value }
      return .object(members)
    }
    var result = JSONObject()
    result["rejects"] = .array(rows)
    // Suspects are answered as duplicates, not as rejects; but a user who looks here for lost events should find them.
    let suspects = (code == nil ? await reports?.ingest()?.suspectSources ?? [] : []).filter { suspect in
      parameters["source"].map { RejectedEvent(source: suspect.source).isOf(source: $0) } ?? true
    }
    if !suspects.isEmpty { result["suspects"] = .array(suspects.map(\.shown)) }
    return HTTPAnswer(200, .object(result))
  }
}

extension SuspectSources.Entry {
  /// `{"source":"thermo/7","count":12,"sequence":"101","epoch":"0","last_sequence":"1000000000","time":"2024-05-01T10:00:00Z"}`
  var shown: JSONValue {
    var members = told
    members["time"] = .string(time.description)
    return .object(members)
  }
}
