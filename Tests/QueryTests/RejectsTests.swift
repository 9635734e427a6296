import Events
import NIOCore
import Serving
import Testing

@testable import Query

@Suite("Rejects") struct RejectsTests {
  @Test("rejects are told as they come, those of one code or source on request")
  func told() async throws {
    let rejects = RecentRejects()
    rejects.note(
      EventReject(.malformedJSON, "why"), RejectedEvent(message: 3, position: 12, excerpt: "{", source: "a"),
      at: Timestamp(nanoseconds: 1_000_000_000))
    rejects.note(
      EventReject(.fenced, "why"), RejectedEvent(message: 4, event: 2, source: "b"), at: Timestamp(nanoseconds: 2_000_000_000))
    let answers = RejectAnswers(reports: FakeReports(rejected: .success(rejects.newestFirst())))
    let all = String(decoding: try await answers.answer("").bytes, as: UTF8.self)
    #expect(
      all == #"{"rejects":[{"time":"1970-01-01T00:00:02Z","code":"fenced","detail":"why","source":"b","message_number":4,"#
        + #""event":2,"position":null,"message":null},"#
        + #"{"time":"1970-01-01T00:00:01Z","code":"malformed_json","detail":"why","source":"a","message_number":3,"#
        + #""event":null,"position":12,"message":"{"}]}"#)
    let fenced = String(decoding: try await answers.answer("code=fenced").bytes, as: UTF8.self)
    #expect(fenced.contains("fenced") && !fenced.contains("malformed_json"))
    let ofA = String(decoding: try await answers.answer("source=a").bytes, as: UTF8.self)
    #expect(!ofA.contains("fenced") && ofA.contains("malformed_json"))
    #expect(String(decoding: try await answers.answer("source=").bytes, as: UTF8.self) == #"{"rejects":[]}"#)
  }

  @Test("a log that does not answer is a 503")
  func away() async throws {
    let answers = RejectAnswers(reports: FakeReports(rejected: .failure(LogError(.unavailable, "no answer from the log"))))
    do throws(QueryFailure) {
      _ = try await answers.answer("")
      Issue.record("answered without a log")
    } catch {
      #expect(error.problem.status == 503)
    }
  }
}

extension HTTPAnswer {
  fileprivate var bytes: [UInt8] { if case .bytes(let all) = body { Array(all.readableBytesView) } else { [] } }
}
