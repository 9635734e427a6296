import Events
import LogTestSupport
import TestSupport
import Testing

@testable import Log
@testable import Wire

@Suite("Rejects that ingest tells") struct ReportedRejectsTests {
  private let report = IngestReport(
    ReceivedEvents(received: 0, appended: 0, duplicates: 0, rejected: 0))

  private func note(_ rejects: RecentRejects, _ code: RejectCode, _ count: Int, from second: Int64) {
    for number in 0..<count {
      rejects.note(
        EventReject(code, "reject \(number)"),
        RejectedEvent(message: 7, event: number, position: 40 * number, excerpt: "event \(number)", source: "s/\(number)"),
        at: Timestamp(nanoseconds: (second + Int64(number)) * 1_000_000_000))
    }
  }

  @Test("each process tells what is new, and of all the last of each code are told on, the newest first")
  func told() async throws {
    let directory = try TemporaryDirectory()
    let served = try await ServedLog(LogConfiguration(directory: directory.path))
    let log = try await RemoteLog.connect(served.client, logger: quiet)
    #expect(try await log.reports.rejects() == [])
    let (a, b) = (RecentRejects(), RecentRejects())
    note(a, .fenced, 2, from: 10)
    note(b, .fenced, 40, from: 100)
    var last = try await log.reports.report(report, a, after: 0, of: "a")
    #expect(last == 2)
    #expect(try await log.reports.report(report, b, after: 0, of: "b") == 40)
    note(a, .tooDeep, 1, from: 500)
    last = try await log.reports.report(report, a, after: last, of: "a")
    #expect(last == 3)
    // Told twice, as after a lost answer.
    #expect(try await log.reports.report(report, a, after: 2, of: "a") == 3)
    let rejects = try await log.reports.rejects()
    #expect(rejects == (a.newestFirst() + b.newestFirst()).sorted { $0.isNewer(than: $1) })
    #expect(
      rejects.count == 3 + RecentRejects.perCodeMax
        && rejects.contains { $0.code == .tooDeep && $0.rejected.excerpt == "event 0" })
    await served.stop()
  }

  @Test("a log that was restarted takes nothing behind a gap, and says from where on it wants them")
  func restarted() async throws {
    let directory = try TemporaryDirectory()
    let served = try await ServedLog(LogConfiguration(directory: directory.path))
    let log = try await RemoteLog.connect(served.client, logger: quiet)
    let rejects = RecentRejects()
    note(rejects, .fenced, 3, from: 1)
    var last = try await log.reports.report(report, rejects, after: 0, of: "a")
    try await served.restart()
    note(rejects, .fenced, 1, from: 9)
    // Connections of before the restart may end first.
    #expect(
      await eventually {
        do throws(LogError) { last = try await log.reports.report(report, rejects, after: last, of: "a") } catch { return false }
        return last == 0
      })
    #expect(try await log.reports.rejects() == [])
    last = try await log.reports.report(report, rejects, after: last, of: "a")
    #expect(last == 4)
    #expect(try await log.reports.rejects() == rejects.newestFirst())
    await served.stop()
  }

  @Test("of too many processes those that rejected last are kept")
  func bounded() {
    let (reported, start) = (ReportedRejects(), ContinuousClock.now)
    for number in 0...ReportedRejects.instancesMax {
      let rejects = RecentRejects()
      note(rejects, .fenced, 1, from: Int64(number))
      #expect(reported.note(rejects.entries(after: 0), after: 0, of: "\(number)", at: start + .seconds(number)) == 1)
      // The first goes on telling what it has counted, but of no reject.
      #expect(reported.note([], after: 1, of: "0", at: start + .seconds(number)) <= 1)
    }
    #expect(reported.newestFirst().count == ReportedRejects.instancesMax)
    #expect(reported.newestFirst().last?.time == Timestamp(nanoseconds: 1_000_000_000))
  }

  @Test("codes that are not known are passed over, long texts are cut")
  func foreign() throws {
    let long = String(repeating: "x", count: 100_000)
    let text = """
      [{"number":2,"time_ns":5,"code":"fenced","detail":"\(long)","event":null,"message":"\(long)","source":"\(long)"},
       {"number":1,"time_ns":4,"code":"of tomorrow","detail":"","event":null,"message":null}]
      """
    let entries = try #require(RecentRejects.Entry.list(try JSONValue(parsing: text)))
    #expect(entries.map(\.number) == [2])
    #expect(entries.map(\.detail.utf8.count) == [EventReject.detailBytesMax])
    #expect(entries.map { $0.rejected.excerpt?.utf8.count } == [768] && entries.map { $0.rejected.source?.utf8.count } == [768])
    #expect(RecentRejects.Entry.list(.array([.null])) == nil && RecentRejects.Entry.list(nil) == nil)
  }
}
