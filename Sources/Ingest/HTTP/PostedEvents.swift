import Events
import NIOCore
import NIOHTTP1
import Serving
import WebSocket

/// The events of one `POST /v1/events`, on their way to the log. Belongs to its connection's loop.
final class PostedEvents {
  private typealias ReadText = Result<EventsRequest.Text, HTTPProblem>

  private let request: HTTPRequest
  private let events: EventsRequest
  private let reply: HTTPReply
  private let ingest: IngestLoop
  /// Fires when the log has not taken the events in time.
  private var expiry: Scheduled<Void>?

  init(_ request: HTTPRequest, _ events: EventsRequest, _ reply: HTTPReply, _ ingest: IngestLoop) {
    self.request = request
    self.events = events
    self.reply = reply
    self.ingest = ingest
  }

  /// Passes the events to the pipeline, and answers when the log has them.
  func take() {
    guard reply.isAwaited else { return }
    guard !ingest.isDraining else { return refuseForNow("shutting_down") }
    guard !ingest.pipeline.isBehind else { return refuseForNow("overloaded") }
    if events.isLong(request) {
      if !ingest.bodies.takeTurn({ self.readAside() }) { refuseForNow("overloaded") }
    } else if ingest.pipeline.isReading {
      ingest.pipeline.waitForTurn { self.take() }
    } else {
      take(PostedEvents.text(of: request, events, ingest.configuration.messageBytesMax))
    }
  }

  private static func text(of request: HTTPRequest, _ events: EventsRequest, _ bytesMax: Int) -> ReadText {
    Result { () throws(HTTPProblem) in try events.text(request, bytesMax: bytesMax) }
  }

  /// Has a long body read on other threads.
  private func readAside() -> Bool {
    guard reply.isAwaited else { return false }
    let bound = LoopBound(self, ingest.loop), loop = ingest.loop
    let (request, events, bytesMax) = (request, events, ingest.configuration.messageBytesMax)
    Task(executorPreference: ingest.bodies.threads) {
      let text = PostedEvents.text(of: request, events, bytesMax)
      loop.execute { bound.value.takeAside(text) }
    }
    return true
  }

  /// Takes a text that was read on other threads. The service may be draining by now: it waits for this answer.
  private func takeAside(_ text: ReadText) {
    if reply.isAwaited, ingest.pipeline.isReading { return ingest.pipeline.waitForTurn { self.takeAside(text) } }
    // Before the next body's turn, which may be taken at once.
    defer { ingest.bodies.endTurn() }
    guard reply.isAwaited else { return }
    guard !ingest.pipeline.isBehind else { return refuseForNow("overloaded") }
    take(text)
  }

  private func take(_ read: ReadText) {
    let text: EventsRequest.Text
    do throws(HTTPProblem) { text = try read.get() } catch { return reply.send(HTTPAnswer(error)) }
    let tracker = RequestTracker { self.answer($0) }
    tracker.permission = request.caller?.sources
    let message = tracker.beginMessage(receivedAt: NIODeadline.now().uptimeNanoseconds)
    switch text {
    case .events(let bytes, let count, let framing):
      bytes.withUnsafeBytes { submit(UnsafeRawBufferPointer(rebasing: $0[..<count]), framing, tracker, message) }
    case .rejected(let reject, let event): rejectAll(tracker, message, reject, event: event)
    }
    tracker.answersMayBeReady()
    if tracker.isWaiting { answerInTime(tracker) }
  }

  private func submit(_ text: UnsafeRawBufferPointer, _ framing: EventReader.Framing, _ tracker: RequestTracker, _ message: Int) {
    let queued = ingest.pipeline.submit(
      text, framing: framing, arrival: .systemNow(), defaultSource: nil, tracker: tracker, message: message,
      trace: TraceContext(request.headers))
    guard let caller = request.caller else { return }
    let limits = ingest.limits
    let pay = { (events: Int) in
      let now = NIODeadline.now().uptimeNanoseconds
      limits.meter(of: caller, now: now).take(events: events, now: now)
    }
    if let queued { pay(queued) } else { tracker.whenRead = pay }
  }

  /// Answers a request of which nothing can be read.
  private func rejectAll(_ tracker: RequestTracker, _ message: Int, _ reject: EventReject, event: Int?) {
    tracker.note(reject, event: event, of: message)
    tracker.endMessage(message, queued: 0, rejected: 1)
    ingest.counters.received(events: 1, bytes: request.body.readableBytes)
    ingest.counters.rejected(reject, RejectedEvent(message: message, event: event), at: .systemNow())
  }

  /// A log that does not answer must not keep the device waiting for ever.
  private func answerInTime(_ tracker: RequestTracker) {
    let eventLoop = reply.channel.eventLoop
    let bound = NIOLoopBound((posted: self, tracker: tracker), eventLoop: eventLoop)
    expiry = eventLoop.scheduleTask(in: TimeAmount(ingest.configuration.serving.requestTimeout)) {
      guard bound.value.tracker.giveUp() else { return }
      bound.value.posted.refuse(
        503, "log_unavailable",
        "the log has not answered in time, and may have the events all the same; send them again, with the same id or sequence",
        headers: ["Retry-After": "5"])
    }
  }

  // MARK: answers

  private func refuseForNow(_ code: String) { refuse(503, code, "try again later", headers: ["Retry-After": "1"]) }

  private func refuse(_ status: Int, _ code: String, _ detail: String, headers: [String: String] = [:]) {
    reply.send(HTTPAnswer(HTTPProblem(status: status, code: code, detail: detail, headers: headers)))
  }

  private func answer(_ tracker: RequestTracker) {
    expiry?.cancel()
    if let failure = tracker.failure {
      ingest.logger.error("answering 503: \(failure)", metadata: ["request": "\(request.id)"])
      return refuse(
        503, "log_\(failure.code.rawValue)",
        "not all events were made durable; send them again, with the same id or sequence", headers: ["Retry-After": "5"])
    }
    guard tracker.isEveryEventRejected else { return reply.send(HTTPAnswer(200, .object(tracker.result))) }
    let problem =
      tracker.isEveryEventForbidden
      ? HTTPProblem(
        status: 403, code: RejectCode.forbiddenSource.rawValue,
        detail: "the token lets its holder write as none of these sources")
      : HTTPProblem(status: 422, code: "all_rejected", detail: "every event was rejected; 'rejected' says why for each")
    reply.send(HTTPAnswer(problem, extra: tracker.result))
  }
}

extension TraceContext {
  fileprivate init?(_ headers: HTTPHeaders) {
    guard let parent = headers.first(name: "traceparent") else { return nil }
    self.init(parent: parent, states: headers["tracestate"])
  }
}
