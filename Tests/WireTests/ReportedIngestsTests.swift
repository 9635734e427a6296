import Events
import LogTestSupport
import TestSupport
import Testing

@testable import Log
@testable import Wire

@Suite("Reports of ingest") struct ReportedIngestsTests {
  private func report(_ received: Int, acks: [(Double, Int)] = []) -> IngestReport {
    IngestReport(
      ReceivedEvents(received: received, appended: received - 1, duplicates: 0, rejected: 1), connections: 2,
      rejects: [.fenced: 1], acks: acks.map { IngestReport.AckBucket(bound: $0.0, count: $0.1) })
  }

  @Test("the log answers with the sum of what each process told last, and with nothing before any has")
  func sum() async throws {
    let directory = try TemporaryDirectory()
    let served = try await ServedLog(LogConfiguration(directory: directory.path))
    let log = try await RemoteLog.connect(served.client, logger: quiet)
    #expect(await log.reports.ingest() == nil)
    for (told, instance) in [
      (report(5), "a"), (report(10, acks: [(0.001, 3), (.infinity, 4)]), "a"),
      (report(20, acks: [(0.001, 5), (.infinity, 5)]), "b"),
    ] {
      #expect(try await log.reports.report(told, RecentRejects(), after: 0, of: instance) == 0)
    }
    let sum = try #require(await log.reports.ingest())
    #expect(sum.events == ReceivedEvents(received: 30, appended: 28, duplicates: 0, rejected: 2))
    #expect(sum.connections == 4)
    #expect(sum.rejects == [.fenced: 2])
    #expect(sum.acks.map(\.bound) == [0.001, .infinity])
    #expect(sum.acks.map(\.count) == [8, 9])
    await served.stop()
  }

  @Test("the log tells whose events were ahead of the clock, the latest of all processes first")
  func ahead() async throws {
    let directory = try TemporaryDirectory()
    let served = try await ServedLog(LogConfiguration(directory: directory.path))
    let log = try await RemoteLog.connect(served.client, logger: quiet)
    func entry(_ number: Int) -> AheadEventSources.Entry {
      AheadEventSources.Entry(
        source: "thermo/\(number)", count: number + 1, eventTime: Timestamp(nanoseconds: .max - Int64(number)),
        time: Timestamp(nanoseconds: Int64(number)))
    }
    for (instance, numbers) in [("a", 0..<30), ("b", 10..<60)] {
      let ahead = AheadEventSources()
      ahead.note(numbers.map { entry($0) })
      #expect(ahead.list.count == min(numbers.count, AheadEventSources.sourcesMax))
      let events = ReceivedEvents(received: 100, appended: 100, duplicates: 0, rejected: 0, ahead: 70)
      _ = try await log.reports.report(IngestReport(events, ahead: ahead), RecentRejects(), after: 0, of: instance)
    }
    let sum = try #require(await log.reports.ingest())
    #expect(sum.events.ahead == 140)
    // 30 to 59 of one, and 28 and 29 of both.
    #expect(sum.aheadSources.count == AheadEventSources.sourcesMax)
    #expect(sum.aheadSources.prefix(30).map { $0 } == (30..<60).reversed().map { entry($0) })
    await served.stop()
  }

  @Test("a process that has been silent for its lifetime is no longer counted, and of too many the longest silent is not")
  func lifetime() {
    let (ingests, start) = (ReportedIngests(), ContinuousClock.now)
    ingests.note(report(10), of: "a", at: start)
    ingests.note(report(20), of: "b", at: start + .seconds(4))
    #expect(ingests.sum(at: start + .seconds(9))?.events.received == 30)
    #expect(ingests.sum(at: start + .seconds(10))?.events.received == 20)
    #expect(ingests.sum(at: start + .seconds(14)) == nil)
    for number in 0...ReportedIngests.instancesMax {
      ingests.note(report(number), of: "\(number)", at: start + .milliseconds(number))
    }
    let all = ReportedIngests.instancesMax * (ReportedIngests.instancesMax + 1) / 2
    // The one that fell out had received none: its reject and its devices are missed.
    #expect(ingests.sum(at: start + .seconds(5))?.events.received == all)
    #expect(ingests.sum(at: start + .seconds(5))?.events.rejected == ReportedIngests.instancesMax)
  }

  @Test(
    "what is no report is refused",
    arguments: [
      "{}", #"{"instance":"a"}"#, #"{"instance":"","report":REPORT}"#, #"{"instance":"a","report":{"received":1}}"#,
      #"{"instance":"a","report":NEGATIVE}"#, #"{"instance":"a","report":REPORT,"rejects":{"after":-1,"entries":[]}}"#,
      #"{"instance":"a","report":REPORT,"rejects":{"after":0,"entries":[{"number":1,"code":"fenced"}]}}"#,
    ])
  func malformed(text: String) async throws {
    let report = report(3).json.text
    let negative = report.replacing(#""received":3"#, with: #""received":-3"#)
    #expect(negative != report)
    let body = text.replacing("REPORT", with: report).replacing("NEGATIVE", with: negative)
    let directory = try TemporaryDirectory()
    let served = try await ServedLog(LogConfiguration(directory: directory.path))
    let peer = try #require(served.dialler.peers().peers.first)
    let request = WireRequest(posting: try JSONValue(parsing: body), to: "/v1/log/ingests")
    let answer = try await served.client.send(request, to: peer, within: .seconds(10))
    #expect(answer.status == 400)
    await served.stop()
  }
}
