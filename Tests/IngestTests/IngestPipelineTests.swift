import Events
import NIOEmbedded
import TestSupport
import Testing

@testable import Ingest

/// A connection that writes down what it is told.
final class RecordingTracker: MessageTracker {
  /// `message/event code`, and what it stands for where that is more than one.
  var rejects: [String] = []
  var answersSeen: [Totals] = []

  override func tell(_ reject: EventReject, event: Int?, of message: Int, count: Int) {
    rejects.append("\(message)/\(event.map(String.init) ?? "null") \(reject.code.rawValue)" + (count > 1 ? " x\(count)" : ""))
  }
  override func answersMayBeReady() { if advance() { answersSeen.append(totals) } }
}

/// Something else that the loop has to do, again and again, while a message is read.
final class Turns {
  var count = 0

  func take(_ bound: LoopBound<Turns>, _ pipeline: LoopBound<IngestPipeline>, _ loop: any ConnectionLoop) {
    loop.execute {
      guard pipeline.value.isReading else { return }
      bound.value.count += 1
      bound.value.take(bound, pipeline, loop)
    }
  }
}

/// Writes down too when its long messages have been read, and that it may read again.
final class ReadingTracker: MessageTracker {
  var read: [Int] = []
  var resumed = 0

  override func messageRead(queued: Int) { read.append(queued) }
  override func pipelineResumed() { resumed += 1 }
  override func answersMayBeReady() { _ = advance() }
}

@Suite("The ingest pipeline")
struct IngestPipelineTests {
  let loop = EmbeddedEventLoop()
  let log = HeldLog()

  func submit(
    _ pipeline: IngestPipeline, _ tracker: MessageTracker, _ text: String
  ) -> Int {
    let message = tracker.beginMessage(receivedAt: 0)
    var bytes = Array(text.utf8)
    let count = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: EventReader.padding))
    bytes.withUnsafeBytes { buffer in
      pipeline.submit(
        UnsafeRawBufferPointer(rebasing: buffer[..<count]), framing: .json, arrival: Timestamp(nanoseconds: 0),
        defaultSource: nil, tracker: tracker, message: message)
    }
    return message
  }

  func makePipeline() -> IngestPipeline { IngestPipeline(log: log, loop: EventLoopThread(loop), counters: IngestCounters()) }

  @Test("answers for nothing before it is synced, and for messages in their order")
  func order() {
    let pipeline = makePipeline(), tracker = RecordingTracker()
    _ = submit(pipeline, tracker, #"[{"source":"a","type":"t"},{"source":"b","type":"t"}]"#)
    loop.run()
    _ = submit(pipeline, tracker, #"{"source":"a","type":"t"}"#)
    loop.run()
    #expect(tracker.advance() == false)
    let batches = log.heldBatches
    #expect(batches.map(\.count).reduce(0, +) == 3)
    // The batches of the second message first, where the two are in different partitions.
    while log.heldCount > 1 {
      let partitionsBefore = Set(log.heldBatches.dropLast().map(\.partition))
      let last = log.heldCount - 1
      guard let partition = log.heldBatches.last?.partition, !partitionsBefore.contains(partition) else {
        log.complete(0)
        loop.run()
        continue
      }
      log.complete(last)
      loop.run()
    }
    log.complete(0)
    loop.run()
    #expect(tracker.totals == MessageTracker.Totals(messages: 2, appended: 3, duplicates: 0, rejected: 0))
    #expect(tracker.answersSeen.map(\.messages) == tracker.answersSeen.map(\.messages).sorted())
    #expect(tracker.offsets.map { Int($0.next.rawValue) }.reduce(0, +) == 3)
  }

  @Test("counts duplicates and fenced events for the message and event they came in")
  func exceptions() {
    let pipeline = makePipeline(), tracker = RecordingTracker(), other = RecordingTracker()
    _ = submit(pipeline, tracker, #"[{"source":"a","type":"t"},{"type":"t"},{"source":"a","type":"t"}]"#)
    _ = submit(pipeline, other, #"[{"source":"a","type":"t"}]"#)
    _ = submit(pipeline, tracker, #"[{"source":"a","type":"t"},{"source":"a","type":"t"}]"#)
    loop.run()
    #expect(tracker.rejects == ["1/1 missing_source"])
    #expect(log.heldBatches.map(\.count) == [5])
    log.complete(
      0,
      exceptions: [
        AppendReceipt.Exception(row: 1, reason: .duplicate), AppendReceipt.Exception(row: 2, reason: .duplicate),
        AppendReceipt.Exception(row: 4, reason: .fenced(currentEpoch: 7)),
      ])
    loop.run()
    #expect(tracker.totals == MessageTracker.Totals(messages: 2, appended: 2, duplicates: 1, rejected: 2))
    #expect(other.totals == MessageTracker.Totals(messages: 1, appended: 0, duplicates: 1, rejected: 0))
    #expect(tracker.rejects == ["1/1 missing_source", "2/1 fenced"])
    #expect(tracker.offsets.first?.next == Offset(2))
  }

  @Test("a long message is read in turns of the loop, in which others have theirs; whoever comes meanwhile waits")
  func longMessage() {
    let pipeline = makePipeline(), tracker = ReadingTracker(), waiting = ReadingTracker()
    let event = #"{"source":"a","type":"t","data":""# + String(repeating: "x", count: 1000) + #""}"#
    let count = 1000
    _ = submit(pipeline, tracker, "[" + repeatElement(event, count: count).joined(separator: ",") + "]")
    var isTurn = false
    pipeline.waitForResume(waiting)
    pipeline.waitForTurn { isTurn = true }
    let thread = EventLoopThread(loop), others = Turns()
    others.take(LoopBound(others, thread), LoopBound(pipeline, thread), thread)
    #expect(pipeline.isReading && pipeline.isPaused && tracker.read.isEmpty && tracker.openCount == 1)
    loop.run()
    #expect(others.count >= 5, "some piece of a MiB was read without a turn for others")
    while log.heldCount > 0 {
      log.complete(0)
      loop.run()
    }
    #expect(tracker.read == [count])
    #expect(waiting.resumed == 1 && isTurn && !pipeline.isPaused)
    #expect(tracker.totals == MessageTracker.Totals(messages: 1, appended: count, duplicates: 0, rejected: 0))
    _ = submit(pipeline, waiting, event)
    loop.run()
    #expect(log.heldBatches.map(\.count) == [1])
  }

  @Test("of a message of hundreds of thousands of rejects some are told, the rest as one, and all are counted")
  func flood() {
    let totals = ReceivedEventsCount(), kept = RecentRejects()
    let pipeline = IngestPipeline(
      log: log, loop: EventLoopThread(loop), counters: IngestCounters(totals: totals, rejects: kept))
    let tracker = RecordingTracker()
    _ = submit(pipeline, tracker, "[" + String(repeating: "[],", count: 340_000) + #"{"source":"a","type":"t"}]"#)
    #expect(tracker.rejects.count == MessageTracker.rejectsToldMax)
    loop.run()
    log.complete(0)
    loop.run()
    #expect(tracker.rejects.count == MessageTracker.rejectsToldMax + 1)
    #expect(
      tracker.rejects.last == "1/\(MessageTracker.rejectsToldMax) invalid_event x\(340_000 - MessageTracker.rejectsToldMax)")
    #expect(tracker.totals == MessageTracker.Totals(messages: 1, appended: 1, duplicates: 0, rejected: 340_000))
    #expect(totals.current == ReceivedEvents(received: 340_001, appended: 1, duplicates: 0, rejected: 340_000))
  }

  @Test("keeps of a reject the event's own bytes, its place and its source, and nothing of its neighbours")
  func excerpts() {
    let kept = RecentRejects()
    let pipeline = IngestPipeline(log: log, loop: EventLoopThread(loop), counters: IngestCounters(rejects: kept))
    let tracker = RecordingTracker()
    let neighbour = #"{"source":"neighbour","type":"t"}"#
    for (bad, source) in [
      (#"{"type":"t","time":"never","source":"mine"}"#, "mine"), (#"{"source":"mine"}"#, "mine"), ("{}", nil), ("7", nil),
      (#"{"source":"m\u0069ne","type":7}"#, "mine"), (#"{"source":"mine","data":tru}"#, "mine"),
    ] as [(String, String?)] {
      let message = submit(pipeline, tracker, "[\(neighbour), \(bad) ,\(neighbour)]")
      let entry = kept.newestFirst().first { $0.number == kept.last }
      #expect(
        entry?.rejected
          == RejectedEvent(message: message, event: 1, position: neighbour.utf8.count + 3, excerpt: bad, source: source),
        "\(bad)")
    }
    // Its end is not to be found: then only as far as it was read.
    _ = submit(pipeline, tracker, "[\(neighbour),{\"source\":\"mine\",\"id\":\"open\n\",\(neighbour)]")
    let open = kept.newestFirst().first { $0.number == kept.last }?.rejected
    #expect(open?.event == 1 && open?.source == "mine" && open?.excerpt == "{\"source\":\"mine\",\"id\":\"open")
    // The text after the array belongs to nobody.
    _ = submit(pipeline, tracker, "[\(neighbour)] x")
    let behind = kept.newestFirst().first { $0.number == kept.last }?.rejected
    #expect(behind?.source == nil && behind?.excerpt == "x")
  }

  @Test("counts the log's suspect duplicates and their sources, but for those that are newer only for having no time")
  func suspects() {
    let totals = ReceivedEventsCount(), sources = SuspectSources(), kept = RecentRejects()
    let counters = IngestCounters(totals: totals, rejects: kept, suspects: sources)
    let pipeline = IngestPipeline(log: log, loop: EventLoopThread(loop), counters: counters), tracker = RecordingTracker()
    let (timed, untimed) = (#"{"source":"a","type":"t","time":"2024-05-01T12:00:00Z"}"#, #"{"source":"a","type":"t"}"#)
    _ = submit(pipeline, tracker, "[" + [timed, untimed, timed, untimed, timed, timed].joined(separator: ",") + "]")
    loop.run()
    let last = ProducerPosition(epoch: 2, sequence: 900)
    log.complete(
      0,
      exceptions: [
        .init(row: 0, reason: .duplicate, suspicion: .newer), .init(row: 1, reason: .duplicate, suspicion: .newer),
        .init(row: 2, reason: .duplicate), .init(row: 3, reason: .duplicate, suspicion: .skipped),
        .init(row: 5, reason: .fenced(currentEpoch: 2)),
      ],
      named: [0, 1, 3, 5].map { .init(row: $0, source: "a", sequence: UInt64($0), last: last) })
    loop.run()
    #expect(totals.current == ReceivedEvents(received: 6, appended: 1, duplicates: 4, rejected: 1, suspects: 2))
    #expect(sources.list.map { [$0.source, "\($0.count)", "\($0.sequence)"] } == [["a", "2", "3"]])
    #expect(kept.newestFirst().map(\.rejected.source) == ["a"])
  }

  @Test("counts the appended events that are ahead of the clock, and their sources; none without a time of its own")
  func ahead() {
    let totals = ReceivedEventsCount(), sources = AheadEventSources()
    let counters = IngestCounters(totals: totals, ahead: sources)
    let pipeline = IngestPipeline(log: log, loop: EventLoopThread(loop), counters: counters), tracker = RecordingTracker()
    func event(_ source: String, _ time: String?) -> String {
      #"{"source":"\#(source)","type":"t"\#(time.map { #","time":"\#($0)""# } ?? "")}"#
    }
    // All of one source, so that the log has one batch of them.
    let texts = [
      event("a", "2261-05-01T12:00:00Z"), event("a", nil), event("a", "2013-05-01T12:00:00Z"), event("a", "2260-05-01T12:00:00Z"),
      event("a", "2259-05-01T12:00:00Z"),
    ]
    _ = submit(pipeline, tracker, "[" + texts.joined(separator: ",") + "]")
    loop.run()
    #expect(sources.list.isEmpty, "nothing is appended yet")
    log.complete(0, exceptions: [.init(row: 4, reason: .duplicate)])
    loop.run()
    #expect(totals.current == ReceivedEvents(received: 5, appended: 4, duplicates: 1, rejected: 0, ahead: 2))
    #expect(sources.list.map { [$0.source, "\($0.count)", "\($0.eventTime)"] } == [["a", "2", "2260-05-01T12:00:00Z"]])
    // A batch without such events leaves all as it is, and what the log fails was not taken.
    _ = submit(pipeline, tracker, event("a", "2013-05-01T12:00:00Z"))
    loop.run()
    log.complete(0)
    loop.run()
    _ = submit(pipeline, tracker, event("a", "2261-05-01T12:00:00Z"))
    loop.run()
    log.fail(0, LogError(.poisoned, "sync failed"))
    loop.run()
    #expect(totals.current.ahead == 2)
    #expect(sources.list.map(\.count) == [2])
  }

  @Test("rejects events ahead of the clock where it is told to, and says by how much")
  func aheadIsRejected() {
    let kept = RecentRejects(), minute = Int64(60_000_000_000)
    let pipeline = IngestPipeline(
      log: log, loop: EventLoopThread(loop), counters: IngestCounters(rejects: kept),
      ahead: AheadRule(choice: .reject, aheadMax: minute))
    let tracker = RecordingTracker()
    // Messages arrive in 1970 here.
    let texts = ["1970-01-01T00:01:00Z", "1970-01-01T00:01:00.000000001Z", "1975-01-01T00:00:00Z", "1969-01-01T00:00:00Z"].map {
      #"{"source":"a","type":"t","time":"\#($0)"}"#
    }
    _ = submit(pipeline, tracker, "[" + (texts + [#"{"source":"a","type":"t"}"#]).joined(separator: ",") + "]")
    #expect(tracker.rejects == ["1/1 time_in_future", "1/2 time_in_future"])
    let details = kept.newestFirst().map(\.detail)
    #expect(details.contains { $0.contains("'time' is 60 s ahead") } && details.contains { $0.contains("1826 days ahead") })
    #expect(details.allSatisfy { $0.contains("60 s is allowed (compute.clock_ahead_max)") && $0.contains("leave 'time' out") })
    #expect(kept.newestFirst().allSatisfy { $0.rejected.source == "a" })
    loop.run()
    #expect(log.heldBatches.map(\.count) == [3])
  }

  @Test("of many sources ahead of the clock, the last ones are named", arguments: [1, 31, 32, 33, 500])
  func manyAhead(count: Int) {
    let totals = ReceivedEventsCount(), sources = AheadEventSources()
    let counters = IngestCounters(totals: totals, ahead: sources)
    let pipeline = IngestPipeline(log: log, loop: EventLoopThread(loop), counters: counters), tracker = RecordingTracker()
    // All of one partition: names that end in the same hash are found by trying.
    let names = (0...).lazy.map { "many/\($0)" }
      .filter { Array($0.utf8).withUnsafeBytes { stableHash($0) } % UInt64(log.partitionCount) == 0 }.prefix(count)
    let texts = names.flatMap { name in
      Array(repeating: #"{"source":"\#(name)","type":"t","time":"2261-05-01T12:00:00Z"}"#, count: 2)
    }
    _ = submit(pipeline, tracker, "[" + texts.joined(separator: ",") + "]")
    loop.run()
    log.complete(0)
    loop.run()
    #expect(totals.current.ahead == 2 * count)
    let last = Array(names.suffix(AheadEventSources.sourcesMax))
    #expect(sources.list.allSatisfy { $0.count == 2 && last.contains($0.source) })
    #expect(sources.list.count == last.count)
  }

  @Test("never answers for a message whose events the log failed")
  func failure() {
    let totals = ReceivedEventsCount(), kept = RecentRejects()
    let counters = IngestCounters(totals: totals, rejects: kept)
    let pipeline = IngestPipeline(log: log, loop: EventLoopThread(loop), counters: counters), tracker = RecordingTracker()
    _ = submit(pipeline, tracker, #"[{"source":"a","type":"t"},{"source":"a","type":"t"}]"#)
    loop.run()
    log.fail(0, LogError(.poisoned, "sync failed"))
    loop.run()
    #expect(tracker.failure?.code == .poisoned)
    #expect(tracker.totals.messages == 0)
    // Answered for nonetheless: they are not in flight for ever.
    #expect(totals.current == ReceivedEvents(received: 2, appended: 0, duplicates: 0, rejected: 2))
    #expect(kept.newestFirst().map(\.code) == [.logRefused])
  }

  @Test("gives the log nothing that was read behind a batch that failed, until its connection knows", arguments: [true, false])
  func failureInOrder(isReadFirst: Bool) {
    let pipeline = makePipeline(), tracker = RecordingTracker(), next = RecordingTracker()
    _ = submit(pipeline, tracker, #"{"source":"a","type":"t","sequence":1}"#)
    loop.run()
    #expect(log.heldCount == 1)
    // The log takes appends again at once: only the pipeline can keep the second from passing the first.
    if isReadFirst { _ = submit(pipeline, tracker, #"{"source":"a","type":"t","sequence":2}"#) }
    log.fail(0, LogError(.diskFull, "for a moment"))
    if !isReadFirst { _ = submit(pipeline, tracker, #"{"source":"a","type":"t","sequence":2}"#) }
    loop.run()
    #expect(log.heldCount == 0)
    #expect(tracker.failure?.code == .diskFull)
    #expect(tracker.answersSeen.isEmpty)
    _ = submit(
      pipeline, next, #"[{"source":"a","type":"t","sequence":1},{"source":"a","type":"t","sequence":2}]"#)
    loop.run()
    #expect(log.heldBatches.map(\.count) == [2])
    log.complete(0)
    loop.run()
    #expect(next.totals == MessageTracker.Totals(messages: 1, appended: 2, duplicates: 0, rejected: 0))
    #expect(next.failure == nil)
  }

  @Test("collects into larger batches while the log is busy, and stops reading at its bound")
  func batching() {
    let pipeline = makePipeline(), tracker = RecordingTracker()
    for _ in 0..<10 {
      _ = submit(pipeline, tracker, #"{"source":"a","type":"t"}"#)
      loop.run()
    }
    #expect(log.heldBatches.map(\.count) == [1, 1])
    log.complete(0)
    loop.run()
    #expect(log.heldBatches.map(\.count) == [1, 8])
    // Full batches go to the log at once, up to the bound.
    let large =
      "["
      + repeatElement(#"{"source":"a","type":"t","data":""# + String(repeating: "x", count: 100_000) + "\"}", count: 9).joined(
        separator: ",") + "]"
    var messages = 0
    while !pipeline.isPaused, messages < 100 {
      _ = submit(pipeline, tracker, large)
      messages += 1
      // A long message is read a piece a turn.
      for _ in 0..<100 where pipeline.isReading { loop.run() }
    }
    #expect(pipeline.isPaused)
    #expect(log.heldCount == IngestPipeline.batchesWaitingMax)
    while log.heldCount > 0 {
      log.complete(0)
      loop.run()
    }
    #expect(!pipeline.isPaused)
    #expect(tracker.totals.messages == 10 + messages)
  }

  @Test("accounts for every event, in whatever order partitions sync", arguments: 0..<20)
  func ledger(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let pipeline = makePipeline()
    let trackers = (0..<3).map { _ in RecordingTracker() }
    var sent = [0, 0, 0], messages = [0, 0, 0]
    for _ in 0..<60 {
      let who = Int.random(in: 0..<3, using: &random)
      let count = Int.random(in: 0...6, using: &random)
      let events = (0..<count).map { _ in
        Int.random(in: 0..<6, using: &random) == 0 ? "{}" : #"{"source":"s\#(Int.random(in: 0..<9, using: &random))","type":"t"}"#
      }
      sent[who] += count
      messages[who] += 1
      _ = submit(pipeline, trackers[who], "[" + events.joined(separator: ",") + "]")
      if Bool.random(using: &random) { loop.run() }
      while log.heldCount > 0, Int.random(in: 0..<3, using: &random) == 0 { completeOne(&random) }
    }
    loop.run()
    while log.heldCount > 0 {
      completeOne(&random)
      loop.run()
    }
    for (index, tracker) in trackers.enumerated() {
      // Messages that were all rejects have nothing to wait for.
      _ = tracker.advance()
      #expect(tracker.totals.messages == messages[index], "seed \(seed)")
      #expect(tracker.totals.appended + tracker.totals.duplicates + tracker.totals.rejected == sent[index], "seed \(seed)")
    }
  }

  /// Completes the oldest batch of a random partition, some of its rows as duplicates.
  func completeOne(_ random: inout SeededGenerator) {
    let batches = log.heldBatches
    guard let partition = batches.map(\.partition).randomElement(using: &random),
      let index = batches.firstIndex(where: { $0.partition == partition })
    else { return }
    let rows = (0..<batches[index].count).filter { _ in Int.random(in: 0..<4, using: &random) == 0 }
    log.complete(index, exceptions: rows.map { AppendReceipt.Exception(row: $0, reason: .duplicate) })
  }
}
