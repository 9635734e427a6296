import Events
import Synchronization
import Testing
import Views

@testable import Query

/// Who had to give way.
private final class Cuts: Sendable {
  private let names = Mutex<[String]>([])

  var all: [String] { names.withLock { $0 } }

  func open(_ name: String, in streams: LiveStreams, at now: ContinuousClock.Instant = .now) throws(QueryFailure) -> LiveSlot {
    let slot = try streams.open(now: now)
    slot.attach(cut: { self.names.withLock { $0.append(name) } })
    return slot
  }
}

@Suite("Live streams share what there is") struct LiveStreamsTests {
  private let cuts = Cuts()

  @Test("the one whose reader has taken nothing longest gives way to the next; those that read stay")
  func number() throws {
    let streams = LiveStreams(streamsMax: 3)
    let start = ContinuousClock.now
    let slots = try ["a", "b", "c"].map { try cuts.open($0, in: streams) }
    slots[1].gave(10, of: 0)
    slots[0].gave(10, of: 0)
    slots[2].gave(10, of: 0)
    slots[1].taken()
    #expect(throws: QueryFailure.self, "nobody has waited long enough") { try cuts.open("d", in: streams, at: start) }
    let later = ContinuousClock.now + LiveStreams.stallMin
    let d = try cuts.open("d", in: streams, at: later)
    #expect(cuts.all == ["a"])
    let e = try cuts.open("e", in: streams, at: later)
    #expect(cuts.all == ["a", "c"])
    #expect(throws: QueryFailure.self) { try cuts.open("f", in: streams, at: later) }
    #expect(streams.count == 3)
    withExtendedLifetime((slots, d, e)) {}
    #expect(streams.count == 3)
  }

  @Test("what all hold is bounded: what ended ones had goes first, then those that nobody reads")
  func bytes() async throws {
    let streams = LiveStreams(streamsMax: 10, streamBytesMax: 100_000, bytesMax: 200_000), start = ContinuousClock.now
    do {
      let ended = try cuts.open("ended", in: streams)
      ended.note("query", OffsetVector(), try await rows(100))
    }
    let remembered = streams.bytes
    #expect(remembered > 100 * 100 && streams.rows(of: "query", asOf: OffsetVector()) != nil)
    var stalled: LiveSlot? = try cuts.open("stalled", in: streams)
    try stalled?.hold(100_000)
    stalled?.gave(0, of: 100_000)
    let reading = try cuts.open("reading", in: streams)
    try reading.hold(90_000, now: start)
    #expect(streams.bytes <= 200_000)
    let next = try cuts.open("next", in: streams)
    // Nobody has waited a second yet.
    let failure = #expect(throws: QueryFailure.self) { try next.hold(20_000, now: start) }
    #expect(failure?.problem.code == "too_many_streams")
    #expect(streams.rows(of: "query", asOf: OffsetVector()) == nil, "what is only remembered goes first")
    try next.hold(20_000, now: .now + LiveStreams.stallMin)
    #expect(cuts.all == ["stalled"])
    #expect(streams.bytes == 110_000 && streams.count == 2)
    // It was taken out already.
    stalled = nil
    #expect(streams.bytes == 110_000 && streams.count == 2)
    let tooLarge = #expect(throws: QueryFailure.self) { try reading.hold(100_001) }
    #expect(tooLarge?.problem.code == "too_many_rows")
  }

  /// The state of a stream that has sent this many rows.
  private func rows(_ count: Int) async throws -> LiveRows {
    let asking = Asking()
    asking.store.put(
      (0..<count).map { Seen(partition: 0, hour: $0, source: "a", site: .null, values: [1]) }, try Hours.definition())
    let reader = LiveReader(
      source: ViewSource(store: asking.store, idleAfter: .seconds(60), now: { .systemNow() }), view: "hourly",
      parameters: try QueryParameters("", known: LiveAnswers.parameterNames), partitionCount: asking.log.partitionCount,
      rowsMax: count)
    var rows = LiveRows()
    _ = rows.advance(to: try await reader.read())
    return rows
  }
}
