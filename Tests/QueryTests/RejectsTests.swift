import Events
import Testing

@testable import Query

@Suite("Rejects") struct RejectsTests {
  @Test("rejects are told as they come, those of one code on request")
  func told() async throws {
    let rejects = RecentRejects()
    [UInt8]("{".utf8).withUnsafeBytes {
      rejects.note(EventReject(.malformedJSON, "why"), event: nil, message: $0, at: Timestamp(nanoseconds: 1_000_000_000))
    }
    rejects.note(EventReject(.fenced, "why"), event: 2, at: Timestamp(nanoseconds: 2_000_000_000))
    let answers = RejectAnswers { rejects.newestFirst() }
    let all = String(decoding: try await answers.answer("").bytes, as: UTF8.self)
    #expect(
      all == #"{"rejects":[{"time":"1970-01-01T00:00:02Z","code":"fenced","detail":"why","event":2,"message":null},"#
        + #"{"time":"1970-01-01T00:00:01Z","code":"malformed_json","detail":"why","event":null,"message":"{"}]}"#)
    let fenced = String(decoding: try await answers.answer("code=fenced").bytes, as: UTF8.self)
    #expect(fenced.contains("fenced") && !fenced.contains("malformed_json"))
  }

  @Test("a log that does not answer is a 503")
  func away() async throws {
    let answers = RejectAnswers { () throws(LogError) in throw LogError(.unavailable, "no answer from the log") }
    do throws(QueryFailure) {
      _ = try await answers.answer("")
      Issue.record("answered without a log")
    } catch {
      #expect(error.problem.status == 503)
    }
  }
}

extension Answer {
  fileprivate var bytes: [UInt8] { if case .bytes(let all) = body { all } else { [] } }
}
