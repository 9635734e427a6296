import Events
import Logging
import NIOCore
import Serving
import TestSupport
import Testing
import WebSocket

@testable import Ingest

/// The things that can happen to a session.
private enum Input: String, CaseIterable {
  /// A message of one event; one of an event and a bad one; one of a bad event alone.
  case event, mixed, bad
  /// A binary message, and a frame that breaks the protocol.
  case binary, unmasked
  case ping, close
  /// The log syncs the oldest batch, or fails it. The loop hears of it in its next turn.
  case synced, failed
  /// The peer takes nothing of what it is sent, and then everything again.
  case takesNothing, takesAll
  case beat, finish, gone, turn
}

/// A session, and what is known of it from outside.
private final class Driven {
  static let unackedMessagesMax = 2

  let log: HeldLog
  let loop: SteppedLoop
  let transport: RecordingTransport
  var session: WebSocketSession { transport.session }
  /// Messages sent to it while it was not ending.
  var offered = 0
  var syncedRows = 0
  var hasFailed = false
  var isGone = false
  /// Whether it ended by the peer's fault, or for not hearing from it: then messages may stay without an answer.
  var isCut = false
  private var checked = 0
  private var acked = (messages: 0, appended: 0, rejected: 0)
  private var rejects = 0
  private var isClosed = false

  init(_ ingest: IngestLoop, _ log: HeldLog, _ loop: SteppedLoop) {
    (self.log, self.loop) = (log, loop)
    transport = RecordingTransport(
      WebSocketSession(ingest: ingest, agreement: WebSocketAgreement(), sources: [], admission: DeviceAdmission()))
    session.start(on: transport)
    transport.sessionChanged()
  }

  func take(_ input: Input) {
    let event = #"{"source":"a","type":"t"}"#
    switch input {
    case .event: offer(event)
    case .mixed: offer("[\(event),{}]")
    case .bad: offer("{}")
    case .binary: send(.binary, maskKey: 1)
    case .unmasked: send(.text, maskKey: nil)
    case .ping: send(.ping, maskKey: 1)
    case .close: send(.close, maskKey: 1)
    case .synced:
      guard log.heldCount > 0 else { return }
      syncedRows += log.heldBatches[0].count
      log.complete(0)
    case .failed:
      guard log.heldCount > 0 else { return }
      hasFailed = true
      log.fail(0, LogError(.poisoned, "sync failed"))
    case .takesNothing:
      guard !isGone, transport.unsent == nil else { return }
      transport.unsent = 1
      session.writabilityChanged(to: false)
    case .takesAll:
      guard !isGone, transport.unsent != nil else { return }
      transport.unsent = nil
      session.writabilityChanged(to: true)
      transport.sessionChanged()
    case .beat:
      guard !isGone else { return }
      session.beat()
      if session.isClosing { isCut = true }
      transport.sessionChanged()
    case .finish: session.finish()
    case .gone:
      (isGone, checked) = (true, transport.sent.count)
      session.end()
    case .turn: loop.turn()
    }
  }

  private func offer(_ text: String) {
    if !isGone, !session.isClosing, !session.isFinishing { offered += 1 }
    transport.receive(.text, text)
  }

  private func send(_ opcode: WebSocketOpcode, maskKey: UInt32?) {
    var frame = ByteBuffer()
    frame.writeWebSocketFrame(opcode, ByteBuffer(), maskKey: maskKey)
    frame.withUnsafeReadableBytes { session.receive($0) }
    if opcode == .binary || maskKey == nil { isCut = true }
    transport.sessionChanged()
  }

  /// Has the peer take all, and the log sync all.
  func settle() {
    take(.takesAll)
    loop.run()
    while log.heldCount > 0 {
      take(.synced)
      loop.run()
    }
  }

  /// - Returns: The fault in all that the session has said since the last check; nil if nothing is.
  func problem() -> String? {
    defer { checked = transport.sent.count }
    if isGone, checked < transport.sent.count { return "a peer that is gone was sent something" }
    for text in transport.sent[checked...] {
      if isClosed { return "\(text) behind the close frame" }
      if let problem = problem(of: text) { return problem }
    }
    if session.openCount > Driven.unackedMessagesMax { return "more messages than the bound wait" }
    return nil
  }

  private func problem(of text: String) -> String? {
    if text.hasPrefix(#"{"kind":"welcome""#) { return transport.sent.firstIndex(of: text) == 0 ? nil : "a late welcome" }
    if text.hasPrefix("close") { isClosed = true }
    if text.hasPrefix(#"{"kind":"reject""#) { rejects += 1 }
    guard text.hasPrefix(#"{"kind":"ack""#) else { return nil }
    guard let json = try? JSONValue(parsing: text), let messages = json["messages"]?.integer,
      let appended = json["appended"]?.integer, let rejected = json["rejected"]?.integer
    else { return "no acknowledgement: \(text)" }
    if messages < acked.messages || appended < acked.appended || rejected < acked.rejected { return "\(text) takes back" }
    if messages > offered { return "\(text) for messages that nobody sent" }
    if appended > syncedRows { return "\(text) before the sync" }
    if rejected > rejects { return "\(text) with \(rejects) rejects told" }
    acked = (messages, appended, rejected)
    return nil
  }

  /// - Returns: The fault that is there once all has settled; nil if nothing is.
  func problemAtEnd() -> String? {
    if let problem = problem() { return problem }
    if session.openCount > 0, !hasFailed, !isGone, !isCut { return "messages wait for ever" }
    if isGone { return nil }
    if isClosed != session.isClosing { return "a close frame was not sent" }
    if hasFailed || isCut { return nil }
    if acked.appended != syncedRows { return "\(syncedRows) events synced, \(acked.appended) acknowledged" }
    if session.isFinishing { return "it does not end" }
    if !isClosed, acked.messages != offered { return "\(offered) messages sent, \(acked.messages) acknowledged" }
    if !isClosed, acked.rejected != rejects { return "\(rejects) rejects told, \(acked.rejected) counted" }
    if !isClosed, !session.mayRead { return "it reads no more" }
    return nil
  }
}

extension JSONValue {
  fileprivate var integer: Int? {
    guard case .int(let value) = self else { return nil }
    return Int(value)
  }
}

@Suite("Every short life of a session")
struct SessionSequenceTests {
  private let log = HeldLog(partitionCount: 1)
  private let loop = SteppedLoop()
  private let ingest: IngestLoop

  init() {
    ingest = IngestLoop(
      configuration: IngestConfiguration(unackedMessagesMax: Driven.unackedMessagesMax), log: log, loop: loop,
      counters: IngestCounters(), gate: .open, limits: DeviceLimits(connectionsMax: 1, eventsPerSecondMax: nil),
      bodies: AnswerThreads(label: "test", threads: 1), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// - Returns: The fault; nil if nothing is.
  private func problem(_ inputs: some Collection<Input>) -> String? {
    let driven = Driven(ingest, log, loop)
    for input in inputs {
      driven.take(input)
      if let problem = driven.problem() { return problem }
    }
    driven.settle()
    let problem = driven.problemAtEnd()
    if !driven.isGone { driven.session.end() }
    return problem ?? (ingest.pipeline.isPaused || log.heldCount > 0 ? "the pipeline is left behind" : nil)
  }

  private static func text(_ sequence: [Input]) -> String { sequence.map(\.rawValue).joined(separator: " ") }

  @Test("after any four things that happen to it, everything received is answered for, or the peer knows that it is not")
  func exhaustive() {
    let inputs = Input.allCases, length = 4
    var number = 0, problems: [String] = []
    var digits = Array(repeating: 0, count: length)
    sequences: while problems.count < 5 {
      number += 1
      let sequence = digits.map { inputs[$0] }
      if let problem = problem(sequence) { problems.append("\(Self.text(sequence)): \(problem)") }
      for place in digits.indices.reversed() {
        digits[place] += 1
        if digits[place] < inputs.count { continue sequences }
        digits[place] = 0
      }
      break
    }
    #expect(problems == [])
    #expect(number == inputs.count * inputs.count * inputs.count * inputs.count)
  }

  @Test("random longer lives, too")
  func random() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<5000 {
      // Mostly what does not end it.
      let lasting: [Input] = [.event, .mixed, .bad, .ping, .synced, .takesNothing, .takesAll, .beat, .turn, .turn]
      let sequence = (0..<30).compactMap { _ in
        Int.random(in: 0..<20, using: &generator) == 0
          ? Input.allCases.randomElement(using: &generator) : lasting.randomElement(using: &generator)
      }
      if let problem = problem(sequence) {
        Issue.record("seed \(seed): \(Self.text(sequence)): \(problem)")
        return
      }
    }
  }
}
