import Events

/// Answers `GET /v1/rejects`: the last events that ingest did not take, with the reason each was told.
struct RejectAnswers: Sendable {
  /// The newest first.
  let rejects: @Sendable () async throws(LogError) -> [RecentRejects.Entry]

  /// `{"rejects":[{"time":…,"code":"invalid_time","detail":…,"event":3,"message":"[{\"source\":…"}]}`, the newest first, at most
  /// `RecentRejects.perCodeMax` of each code and ingest process. `event` and `message` are null where there is none.
  func answer(_ query: Substring) async throws(QueryFailure) -> Answer {
    let parameters = try QueryParameters(query, known: ["code"])
    var code: RejectCode?
    if let text = parameters["code"] {
      code = RejectCode(rawValue: text)
      guard code != nil else {
        let known = RejectCode.allCases.map(\.rawValue).joined(separator: ", ")
        throw .parameter("code", "expected one of \(known), not '\(text.prefix(64))'")
      }
    }
    let all: [RecentRejects.Entry]
    do throws(LogError) { all = try await rejects() } catch { throw QueryFailure(error) }
    let rows = all.filter { code == nil || $0.code == code }.map { entry -> JSONValue in
      [
        "time": .string(entry.time.description), "code": .string(entry.code.rawValue), "detail": .string(entry.detail),
        "event": entry.event.map { .int(Int64($0)) } ?? .null, "message": entry.message.map { .string($0) } ?? .null,
      ]
    }
    return Answer(200, ["rejects": .array(rows)])
  }
}
