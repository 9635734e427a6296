import Events
import Logging
import NIOCore
import NIOHTTP1
import Serving
import Synchronization
import Testing
import Views

@testable import Query

/// A store that streams what another reads, some rows at a time.
private final class StreamingStore: ViewStore {
  let inner = FakeStore()
  let streamed = Mutex<[ViewReadRequest]>([])
  /// Rows of a piece.
  let rows: Int
  /// Pieces until it fails; nil for all.
  let failsAfter: Int?
  let isEndless: Bool

  init(rows: Int = 7, failsAfter: Int? = nil, isEndless: Bool = false) {
    self.rows = rows
    self.failsAfter = failsAfter
    self.isEndless = isEndless
  }

  nonisolated(nonsending) func views() async throws(ViewStoreError) -> [ViewStatus] { try await inner.views() }

  nonisolated(nonsending) func read(_ request: ViewReadRequest) async throws(ViewStoreError) -> PartialResult {
    try await inner.read(request)
  }

  nonisolated(nonsending) func stream(_ request: ViewReadRequest) async throws(ViewStoreError) -> RowStream? {
    streamed.withLock { $0.append(request) }
    let result = try await inner.read(request)
    return RowStream(head: result, pieces: Pieces(rest: result.rows.merged(for: result.definition), store: self))
  }

  private struct Pieces: RowPieces {
    let rest: PartialRows
    let store: StreamingStore
    var given = 0
    var pieces = 0

    mutating func next() async throws(ViewStoreError) -> PartialRows? {
      if let failsAfter = store.failsAfter, pieces == failsAfter { throw .failed("the disk is gone") }
      pieces += 1
      if store.isEndless { return rest }
      guard given < rest.count else { return nil }
      var piece = PartialRows(stride: rest.stride)
      for row in given..<min(rest.count, given + store.rows) { piece.append(row, of: rest) }
      given += piece.count
      return piece
    }
  }
}

@Suite("Exports")
struct ExportTests {
  private static func seen(_ count: Int) -> [Seen] {
    (0..<count).map { row in
      Seen(
        partition: row % 3, hour: row / 40 - 6, source: "s\(row % 40)", site: row % 5 == 0 ? .null : .string("a,b"),
        values: [Double(row), -1])
    }
  }

  private func answers(_ store: any ViewStore, _ configuration: QueryConfiguration = QueryConfiguration()) -> QueryAnswers {
    QueryAnswers(
      configuration: configuration, store: store, log: FakeLog(),
      probe: ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, now: { Asking.now })
  }

  private func ask(_ answers: QueryAnswers, _ parameters: [(String, String)]) async -> HTTPAnswer {
    var request = HTTPRequest(.GET, "/v1/views/hourly?" + Asking.encode(parameters))
    let service = QueryService.http(
      QueryConfiguration(), .open, ServiceProbe(readiness: { ServiceProbe.Readiness([]) }, metrics: { "" }))
    do throws(HTTPProblem) {
      _ = try service.admit(&request, service.routes.find(request.path))
    } catch {
      return HTTPAnswer(error)
    }
    return await answers.answer(request, .rows)
  }

  private func body(_ answer: HTTPAnswer) async throws -> [UInt8] {
    switch answer.body {
    case .bytes(let bytes): return Array(bytes.readableBytesView)
    case .problem(let problem, _): throw problem
    case .pieces(let first, var rest):
      var bytes = first
      while let piece = try await rest.next() { bytes += piece }
      return bytes
    }
  }

  @Test("csv and ndjson without limit are all rows, as the pages have them, whether streamed or not", arguments: [true, false])
  func all(isStreamed: Bool) async throws {
    let store = StreamingStore()
    store.inner.put(Self.seen(1700), try Hours.definition(), watermarks: [0: 9, 1: 30, 2: 2])
    let answers = answers(isStreamed ? store : store.inner)
    for query in [
      [], [("from", Hours.text(2))], [("where", #"source == "s7" || site == null"#)], [("order", "window_start")],
      [("from", Hours.text(900))], [("group_by", "source")], [("order", "-total")], [("step", "2h")],
    ] {
      for format in ["csv", "ndjson"] {
        let whole = await ask(answers, query + [("format", format)])
        let limited = await ask(answers, query + [("format", format), ("limit", "100000")])
        #expect(whole.status == 200)
        #expect(try await body(whole) == (try await body(limited)), "\(query), \(format)")
        #expect(whole.headers.map(\.name) == ["Penstock-As-Of"])
        #expect(whole.headers.first?.value == limited.headers.first?.value)
      }
    }
    let lines = try await body(await ask(answers, [("format", "ndjson")]))
    #expect(lines.count { $0 == 0x0A } == 1700)
    // Five queries in the natural order, each in two formats, and the one above.
    #expect(store.streamed.withLock { $0.count } == (isStreamed ? 11 : 0))
    if isStreamed { #expect(store.streamed.withLock { $0.contains { $0.keyFilter != nil } }) }
    // A page is a page.
    let page = await ask(answers, [("format", "ndjson"), ("limit", "10")])
    #expect(try await body(page).count { $0 == 0x0A } == 10)
    #expect(page.headers.contains { $0.name == "Penstock-Next-Cursor" })
  }

  @Test("a cursor without limit leads to all rows that are left")
  func rest() async throws {
    let store = StreamingStore()
    store.inner.put(Self.seen(1700), try Hours.definition())
    let answers = answers(store)
    let page = await ask(answers, [("format", "ndjson"), ("limit", "10")])
    let cursor = try #require(page.headers.first { $0.name == "Penstock-Next-Cursor" }).value
    let rest = await ask(answers, [("format", "ndjson"), ("cursor", cursor)])
    #expect(try await body(page) + body(rest) == (try await body(await ask(answers, [("format", "ndjson")]))))
  }

  @Test("an answer that cannot be completed is cut, and a failure before the first byte is a problem")
  func failure() async throws {
    let early = StreamingStore(failsAfter: 0)
    early.inner.put(Self.seen(40), try Hours.definition())
    #expect(await ask(answers(early), [("format", "csv")]).status == 500)
    let late = StreamingStore(rows: 500, failsAfter: 4)
    late.inner.put(Self.seen(4000), try Hours.definition())
    let answer = await ask(answers(late), [("format", "csv")])
    #expect(answer.status == 200)
    await #expect(throws: ViewStoreError.failed("the disk is gone")) { _ = try await body(answer) }
  }

  @Test("an answer that is not taken in time is cut")
  func slow() async throws {
    let store = StreamingStore(isEndless: true)
    store.inner.put(Self.seen(400), try Hours.definition())
    let answer = await ask(answers(store, QueryConfiguration(exportTimeMax: .milliseconds(200))), [("format", "csv")])
    #expect(answer.status == 200)
    guard case .pieces(_, var rest) = answer.body else {
      Issue.record("it has no end")
      return
    }
    await #expect(throws: ExportWriter.TooSlow.self) { while try await rest.next() != nil {} }
  }

  @Test("as many answers are read at a time as there are places for; others wait, in vain or not")
  func places() async throws {
    let store = StreamingStore(isEndless: true)
    store.inner.put(Self.seen(400), try Hours.definition())
    let answers = answers(store, QueryConfiguration(exportsMax: 2))
    var held: [HTTPAnswer] = []
    for _ in 0..<2 { held.append(await ask(answers, [("format", "csv")])) }
    let turnedAway = await ask(answers, [("format", "csv"), ("timeout", "20ms")])
    #expect(turnedAway.status == 503)
    #expect(turnedAway.headers.contains { $0.name == "Retry-After" })
    // Pages hold no place.
    #expect(await ask(answers, [("format", "csv"), ("limit", "5"), ("timeout", "20ms")]).status == 200)
    async let waiting = ask(answers, [("format", "csv"), ("timeout", "30s")])
    held.removeFirst()
    #expect(await waiting.status == 200)
    held.removeAll()
    let slots = ExportSlots(exportsMax: 1)
    var slot: ExportSlot? = try await slots.open(within: .zero)
    #expect(slots.openCount == 1 && slot != nil)
    slot = nil
    #expect(slots.openCount == 0)
  }
}
