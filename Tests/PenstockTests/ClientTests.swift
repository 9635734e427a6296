import Foundation
import HTTPClient
import NIOCore
import Synchronization
import Testing

@testable import Penstock

/// Answers from a list, and keeps what was asked.
private final class Script: Sendable {
  private let state: Mutex<(answers: [(status: Int, body: String)], asked: [String])>

  init(_ answers: [(status: Int, body: String)]) { state = Mutex((answers, [])) }

  var asked: [String] { state.withLock { $0.asked } }

  func client() throws -> ServiceClient {
    try ServiceClient(baseURL: "http://127.0.0.1:1/") { question throws(ClientFailure) in
      let answer = self.state.withLock { state in
        state.asked.append("http://\(question.request.headers["host"][0])\(question.request.target)")
        return state.answers.isEmpty ? nil : state.answers.removeFirst()
      }
      guard let answer else { throw .unreachable(CancellationError()) }
      return ClientAnswer(status: answer.status, body: ByteBuffer(string: answer.body))
    }
  }
}

private func page(_ rows: ClosedRange<Int>, cursor: String?, asOf: Int) -> (status: Int, body: String) {
  let list = rows.map { #"{"window_start":"t\#($0)","source":"a","n":\#($0)}"# }.joined(separator: ",")
  let next = cursor.map { "\"\($0)\"" } ?? "null"
  return (
    200,
    #"{"view":"v","generation":1,"as_of":{"0":\#(asOf)},"columns":[{"name":"n","type":"int64"}],"#
      + #""rows":[\#(list)],"next_cursor":\#(next)}"#
  )
}

@Suite struct ClientTests {
  @Test("nobody there: the message says what to do")
  func refused() async throws {
    let client = try Script([]).client()
    let error = await #expect(throws: CommandFailure.self) { try await client.get(["v1", "views"]) }
    #expect(error?.message == "no Penstock answers at http://127.0.0.1:1: start it with `penstock up`, or pass --url")
    #expect(error?.exitCode == .failed)
  }

  @Test("a real connection that is refused gives the same message")
  func reallyRefused() async throws {
    // Port 1 is bound by nobody on a sane machine.
    let client = try ServiceClient(baseURL: "http://127.0.0.1:1")
    let error = await #expect(throws: CommandFailure.self) { try await client.get(["v1", "views"]) }
    #expect(error?.message.hasPrefix("no Penstock answers at http://127.0.0.1:1") == true)
  }

  @Test("a problem's detail and code are passed on; another answer is shown")
  func problem() async throws {
    let script = Script([
      (404, #"{"type":"about:blank","title":"Not Found","status":404,"detail":"there is no view 'x'","code":"unknown_view"}"#),
      (500, "oops"), (200, "<html>"), (503, #"{"title":"Service Unavailable"}"#),
    ])
    let client = try script.client()
    var messages: [String] = []
    for _ in 0..<4 {
      messages.append(await #expect(throws: CommandFailure.self) { try await client.get(["v1"]) }?.message ?? "")
    }
    #expect(messages[0] == "there is no view 'x' (unknown_view)")
    #expect(messages[1] == "http://127.0.0.1:1 answered with status 500: oops")
    #expect(messages[2].contains("is that Penstock's query service?"))
    #expect(messages[3] == "Service Unavailable (status 503)")
  }

  @Test("paths and parameters arrive as they are", arguments: ["a b", "x+y&z=1", "é/ü", "\"%\"", "source == \"a\""])
  func encoding(text: String) async throws {
    let script = Script([(200, "{}")])
    _ = try await script.client().get(["v1", "views", text], query: [("where", text)])
    let url = try #require(URLComponents(string: script.asked.first ?? ""))
    #expect(url.percentEncodedPath.split(separator: "/").last?.removingPercentEncoding == text)
    #expect(url.percentEncodedPath.split(separator: "/").count == 3)
    #expect(url.percentEncodedQuery?.removingPercentEncoding == "where=\(text)")
    #expect(!(url.percentEncodedQuery ?? "+").contains("+"))
  }

  @Test("an address that is none is an error of usage", arguments: ["", "127.0.0.1:8080", "ftp://x", "http://", "http:///x"])
  func badURL(url: String) {
    let error = #expect(throws: CommandFailure.self) { try ServiceClient(baseURL: url) }
    #expect(error?.exitCode == .usage)
  }

  @Test("rows are read page by page until there are no more")
  func pages() async throws {
    let script = Script([
      page(1...3, cursor: "c1", asOf: 5), page(4...5, cursor: "c2", asOf: 6), page(6...6, cursor: nil, asOf: 6),
    ])
    var pages = ViewPages(client: try script.client(), view: "v", query: [("group_by", "")], limit: nil)
    let (first, rows) = try await pages.all()
    #expect(rows.compactMap { $0["n"] } == (1...6).map { .number("\($0)") })
    #expect(first.columns.map(\.name) == ["window_start", "source", "n"])
    #expect(first.columns.map(\.isNumber) == [false, false, true])
    #expect(pages.hasMore == false)
    #expect(pages.firstAsOf == #"{"0":5}"#)
    #expect(pages.asOf == #"{"0":6}"#)
    #expect(
      script.asked == [
        "http://127.0.0.1:1/v1/views/v?group_by=&limit=1000", "http://127.0.0.1:1/v1/views/v?group_by=&limit=1000&cursor=c1",
        "http://127.0.0.1:1/v1/views/v?group_by=&limit=1000&cursor=c2",
      ])
    let document = try json(first.document(rows: rows, nextCursor: nil))
    #expect(document["rows"]?.array?.count == 6)
    #expect(document["as_of"]?.text == #"{"0":5}"#)
    #expect(document["next_cursor"] == .null)
  }

  @Test("the limit holds over all pages, and what is left is told")
  func limit() async throws {
    let script = Script([page(1...3, cursor: "c1", asOf: 5), page(4...4, cursor: "c2", asOf: 5)])
    var pages = ViewPages(client: try script.client(), view: "v", query: [], limit: 4)
    #expect(try await pages.all().rows.count == 4)
    #expect(pages.hasMore)
    #expect(script.asked.map { $0.split(separator: "?")[1] } == ["limit=4", "limit=1&cursor=c1"])
  }

  @Test("a cursor that leads nowhere does not go round for ever")
  func sameCursor() async throws {
    let script = Script([page(1...3, cursor: "c", asOf: 5), page(1...3, cursor: "c", asOf: 5)])
    var pages = ViewPages(client: try script.client(), view: "v", query: [], limit: nil)
    await #expect(throws: CommandFailure.self) { try await pages.all() }
  }

  @Test("events are followed past the end of the log")
  func follow() async throws {
    let script = Script([
      (200, #"{"events":[{"id":"1"}],"next_cursor":"a"}"#), (200, #"{"events":[],"next_cursor":"a"}"#),
      (200, #"{"events":[{"id":"2"},{"id":"3"}],"next_cursor":"b"}"#),
    ])
    var pages = EventPages(client: try script.client(), query: [("source", "s")], limit: 3, follow: true)
    var counts: [Int] = []
    while let events = try await pages.next() { counts.append(events.count) }
    #expect(counts == [1, 0, 2])
    #expect(script.asked.last == "http://127.0.0.1:1/v1/events?source=s&follow=true&limit=2&cursor=a")
  }

  @Test("without following, events end with the last page")
  func eventsEnd() async throws {
    let script = Script([
      (200, #"{"events":[{"id":"1"}],"next_cursor":"a"}"#), (200, #"{"events":[{"id":"2"}],"next_cursor":null}"#),
    ])
    var pages = EventPages(client: try script.client(), query: [], limit: nil, follow: false)
    var ids: [String] = []
    while let events = try await pages.next() { ids += events.compactMap { $0["id"]?.string } }
    #expect(ids == ["1", "2"])
  }

  @Test("views are listed with window, whose event times close it, lag and columns")
  func viewList() throws {
    let answer = try json(
      #"[{"name":"daily","generation":2,"window":{"tumble":"1d"},"watermark":"source","lag":{"events":3,"seconds":0.5},"#
        + #""columns":[{"name":"final","type":"boolean","role":"window"},"#
        + #"{"name":"n","type":"int64","role":"aggregate"},{"name":"t","type":"double"}]}]"#
    )
    #expect(
      ViewListCommand.table(answer.array ?? []).rendered() == """
        name   generation  window     watermark  lag_events  lag_seconds  columns
        daily           2  tumble 1d  source              3          0.5  n:int64 t:double

        """)
  }
}
