import Testing

@testable import Penstock

@Suite("penstock top") struct TopTests {
  private func sample(received: Int, appended: Int, fast: Int = 0, slow: Int = 0, applied: Int = 0) throws -> OverviewSample {
    try OverviewSample(
      try RawJSON(
        parsing: Array(
          """
          {"time":"2024-05-01T10:00:00Z","received":\(received),"appended":\(appended),"duplicates":0,"rejected":0,"in_flight":0,"late":0,"amended":7,\
          "connections":1,"rejects":{"fenced":0},"ack_seconds":{"buckets":[[0.001,\(fast)],[0.1,\(fast + slow)],[null,\(fast + slow)]]},\
          "partitions":[{"partition":3,"start":0,"high_watermark":\(appended)}],\
          "views":[{"name":"v","generation":1,"appended":\(appended),"applied":\(applied),"amended":5,"filtered":0,"late":0,"pending":\(appended - applied),\
          "offsets":{"3":\(applied)}}],"replays":[]}
          """.utf8)))
  }

  @Test("rates are of what came between two samples, over the time between them")
  func rates() throws {
    let change = OverviewChange(
      try sample(received: 300, appended: 250, applied: 240), after: try sample(received: 100, appended: 100, applied: 100),
      seconds: 2)
    #expect(change.rate(\.received) == 100)
    #expect(change.rate(of: change.sample.partitions[0]) == 75)
    #expect(change.rate(of: change.sample.views[0]) == 70)
    #expect(change.sample.lag(of: change.sample.partitions[0]) == (10, "v"))
    #expect(change.sample.addsUp)
    #expect(change.sample.inFlight == 50)
  }

  @Test("there is no rate before a second sample, nor across a restart, which counts from 0")
  func noRates() throws {
    let first = try sample(received: 300, appended: 300)
    #expect(OverviewChange(first).rate(\.received) == nil)
    #expect(OverviewChange(try sample(received: 10, appended: 10), after: first, seconds: 1).rate(\.received) == nil)
  }

  @Test("the 99th percentile is of the acks between the samples; where there were none, of all")
  func percentile() throws {
    let before = try sample(received: 1, appended: 1, fast: 1000)
    #expect(OverviewChange(try sample(received: 2, appended: 2, fast: 1000, slow: 5), after: before, seconds: 1).ackP99 == 0.1)
    #expect(OverviewChange(before, after: before, seconds: 1).ackP99 == 0.001)
    #expect(OverviewChange(try sample(received: 0, appended: 0)).ackP99 == nil)
  }

  @Test("more was answered for than came: the ledger does not add up, and the page says so")
  func doesNotAddUp() throws {
    let sample = try sample(received: 1, appended: 2)
    #expect(!sample.addsUp)
    let page = OverviewText(OverviewChange(sample)).page(title: "http://127.0.0.1:1")
    #expect(page.contains { $0.text.hasPrefix("the ledger does not add up") && $0.style == .bad })
  }

  @Test("a page says how many events were amended, in all and of each view")
  func amended() throws {
    let sample = try sample(received: 9, appended: 9, applied: 9)
    #expect(sample.amended == 7 && sample.views.map(\.amended) == [5])
    let page = OverviewText(OverviewChange(sample)).page(title: "t").map(\.text)
    #expect(page.contains { $0.hasSuffix("late 0  amended 7") })
    let heading = try #require(page.first { $0.hasPrefix("view ") }).split(separator: " ")
    let row = try #require(page.first { $0.hasPrefix("v ") }).split(separator: " ")
    #expect(heading.firstIndex(of: "amended").map { row[$0] } == "5")
  }

  @Test("a page is cut to the terminal's rows and columns, and a source's name cannot reach the terminal")
  func cut() throws {
    let text = OverviewText(OverviewChange(try sample(received: 1, appended: 1)))
    #expect(text.page(title: "t", rows: 3).count == 3)
    #expect(text.page(title: "t", rows: 3)[2].text.contains("more lines"))
    let line = OverviewText.Line(text: "ab\u{1B}[2Jcdef", style: .bad)
    #expect(line.rendered(columns: 6, color: false) == "ab\u{FFFD}[2J")
    #expect(line.rendered(columns: 6, color: true) == "\u{1B}[31mab\u{FFFD}[2J\u{1B}[0m")
  }
}
