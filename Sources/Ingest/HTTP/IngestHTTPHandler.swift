import Events
import NIOCore
import NIOHTTP1
import Resources
import Serving
import WebSocket

/// Ingest's HTTP: events, and the endpoints every service has. A WebSocket handshake passes it by, unless it is refused. The guard before it
/// holds requests to their times and ends the connection.
final class IngestHTTPHandler: ChannelInboundHandler, RemovableChannelHandler, DrainableConnection {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let ingest: IngestLoop
  private var head: HTTPRequestHead?
  private var events: EventsRequest?
  private var body = ByteBuffer()
  private var refusal: WebSocketRefusal?
  /// The answer went out before the request had come whole: the rest is dropped.
  private var isAnsweredEarly = false
  private var context: ChannelHandlerContext?
  private var isFinishing = false
  /// Until then the log has to have taken the present request's events.
  private var expiry: Scheduled<Void>?

  /// Who sends the present request; nil where nobody is asked.
  private var caller: Caller?
  /// Of the present request, once it has been asked for.
  private var requestID: RequestID?

  init(ingest: IngestLoop) { self.ingest = ingest }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    ingest.add(self)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    expiry?.cancel()
    self.context = nil
    ingest.remove(self)
  }

  /// Closes the connection if no request is being read or answered; else its answer will.
  func finish() {
    if isFinishing, head != nil { context?.close(promise: nil) }
    isFinishing = true
    context?.pipeline.fireUserInboundEventTriggered(HTTPListener.Finish())
  }

  var isFromThisMachine: Bool { context?.channel.isFromThisMachine ?? false }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): begin(context, head)
    case .body(var part):
      guard !isAnsweredEarly else { return }
      guard body.readableBytes + part.readableBytes <= ingest.configuration.messageBytesMax else {
        refuseEarly(context, tooLarge())
        return
      }
      body.writeBuffer(&part)
    case .end:
      guard !isAnsweredEarly, let head else { return }
      self.head = nil
      route(context, head)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let refusal = error as? WebSocketRefusal {
      self.refusal = refusal
    } else {
      // Not HTTP, or the connection broke: there is nobody to answer.
      context.close(promise: nil)
    }
  }

  private func begin(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    self.head = head
    body.clear()
    events = nil
    caller = nil
    requestID = nil
    guard head.method == .POST, IngestRoute(head) == .events else { return }
    do throws(HTTPProblem) {
      // Before the body: who may not send it need not.
      caller = try DeviceAdmission.caller(head, ingest, for: .ingest)
      if let caller { try holdToRate(caller) }
      events = try EventsRequest(head)
      if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }),
        length > ingest.configuration.messageBytesMax
      {
        throw tooLarge()
      }
    } catch {
      refuseEarly(context, error)
      return
    }
    if head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
      context.writeAndFlush(
        wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
    }
  }

  private func holdToRate(_ caller: Caller) throws(HTTPProblem) {
    let now = NIODeadline.now().uptimeNanoseconds
    let wait = ingest.limits.meter(of: caller, now: now).wait(now: now)
    guard wait > 0 else { return }
    throw HTTPProblem(
      status: 429, code: "rate_limited", detail: "this device sends faster than its events a second",
      headers: ["Retry-After": String((wait + 999_999_999) / 1_000_000_000)])
  }

  private func tooLarge() -> HTTPProblem {
    HTTPProblem(
      status: 413, code: "too_large",
      detail: "a body has \(ingest.configuration.messageBytesMax) bytes at most (ingest.message_bytes_max); send several")
  }

  private func route(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    if let refusal {
      self.refusal = nil
      let code = refusal.code ?? (refusal.status == .notFound ? "not_found" : "handshake_refused")
      var headers: [String: String] = [:]
      for (name, value) in refusal.headers where name.lowercased() != "connection" { headers[name] = value }
      answer(
        context, head, HTTPProblem(status: Int(refusal.status.code), code: code, detail: refusal.detail, headers: headers))
      return
    }
    guard let route = IngestRoute(head) else {
      answer(
        context, head,
        HTTPProblem(
          status: 404, code: "not_found",
          detail: "no such path; ingest has POST /v1/events and WebSocket /v1/stream, queries go to the query service"))
      return
    }
    guard route.allows(head.method) else {
      answer(
        context, head,
        HTTPProblem(
          status: 405, code: "method_not_allowed", detail: "\(head.method) is not taken here: use \(route.allow)",
          headers: ["Allow": route.allow]))
      return
    }
    switch route {
    case .events: take(context, head)
    case .stream: answer(context, head, WebSocketHandshake.refusal(of: .upgradeMissing).problem)
    case .alive: answer(context, head, .ok, "application/json", Array(#"{"status":"alive"}"#.utf8))
    case .ready, .health: answerReadiness(context, head)
    case .metrics:
      do throws(HTTPProblem) { _ = try DeviceAdmission.caller(head, ingest, for: .query) } catch {
        answer(context, head, error)
        return
      }
      answer(context, head, .ok, "text/plain; version=0.0.4; charset=utf-8", Array(ingest.probe.metrics().utf8))
    case .openAPI: answer(context, head, .ok, "application/json", EmbeddedFile.ingestOpenAPI.bytes)
    case .asyncAPI: answer(context, head, .ok, "application/json", EmbeddedFile.asyncAPI.bytes)
    }
  }

  // MARK: events

  private func take(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    guard let events else { return }
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    if ingest.pipeline.isReading {
      ingest.pipeline.waitForTurn { [self] in if self.context != nil { take(bound.value, head) } }
      return
    }
    guard !ingest.isDraining, !ingest.pipeline.isPaused else {
      answer(
        context, head,
        HTTPProblem(
          status: 503, code: ingest.isDraining ? "shutting_down" : "overloaded", detail: "try again later",
          headers: ["Retry-After": "1"]))
      return
    }
    let tracker = RequestTracker { [self] tracker in answer(bound.value, head, tracker) }
    tracker.permission = caller?.sources
    let bytesMax = ingest.configuration.messageBytesMax
    let message = tracker.beginMessage(receivedAt: NIODeadline.now().uptimeNanoseconds)
    do throws(HTTPProblem) {
      var text = try inflated(events.isGzip, bytesMax)
      var framing = EventReader.Framing.json
      switch events.mode {
      case .framed(let wanted): framing = wanted
      case .binary(let contentType):
        framing = .single
        switch structured(head, contentType, text) {
        case .success(let event): text = event
        case .failure(let reject):
          rejectAll(tracker, message, reject, event: reject.code == .malformedJSON ? nil : 0)
          tracker.answersMayBeReady()
          return
        }
      }
      let count = text.count
      text.append(contentsOf: repeatElement(0, count: EventReader.padding))
      text.withUnsafeBytes { bytes in
        let bytesOfMessage = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        if UTF8Check.isValid(bytesOfMessage) {
          submit(bytesOfMessage, framing, tracker, message, TraceContext(head.headers))
        } else {
          rejectAll(tracker, message, EventReject(.malformedJSON, "the body is not UTF-8"), event: nil)
        }
      }
    } catch {
      answer(context, head, error)
      return
    }
    tracker.answersMayBeReady()
    if tracker.isWaiting { answerInTime(context, head, tracker) }
  }

  /// A log that does not answer is no reason for the device to wait for ever.
  private func answerInTime(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ tracker: RequestTracker) {
    let bound = NIOLoopBound((handler: self, context: context, tracker: tracker), eventLoop: context.eventLoop)
    expiry?.cancel()
    expiry = context.eventLoop.scheduleTask(
      in: .nanoseconds(Int64(ingest.configuration.serving.requestTimeout / .nanoseconds(1)))
    ) {
      let (handler, context, tracker) = bound.value
      guard tracker.giveUp() else { return }
      handler.answer(
        context, head,
        HTTPProblem(
          status: 503, code: "log_unavailable",
          detail:
            "the log has not answered in time, and may have the events all the same; send them again, with the same id or sequence",
          headers: ["Retry-After": "5"]))
    }
  }

  private func submit(
    _ text: UnsafeRawBufferPointer, _ framing: EventReader.Framing, _ tracker: RequestTracker, _ message: Int,
    _ trace: TraceContext?
  ) {
    let queued = ingest.pipeline.submit(
      text, framing: framing, arrival: .systemNow(), defaultSource: nil, tracker: tracker, message: message,
      trace: trace)
    guard let caller else { return }
    let limits = ingest.limits
    let pay = { (events: Int) in
      let now = NIODeadline.now().uptimeNanoseconds
      limits.meter(of: caller, now: now).take(events: events, now: now)
    }
    if let queued { pay(queued) } else { tracker.whenRead = pay }
  }

  /// The request brings nothing that can be read.
  private func rejectAll(_ tracker: RequestTracker, _ message: Int, _ reject: EventReject, event: Int?) {
    tracker.note(reject, event: event, of: message)
    tracker.endMessage(message, queued: 0, rejected: 1)
    ingest.counters.received(events: 1, bytes: body.readableBytes)
    ingest.counters.rejected(reject, RejectedEvent(message: message, event: event), at: .systemNow())
  }

  private func inflated(_ isGzip: Bool, _ bytesMax: Int) throws(HTTPProblem) -> [UInt8] {
    guard isGzip else { return Array(body.readableBytesView) }
    let input = Array(body.readableBytesView)
    let result = input.withUnsafeBytes { bytes -> Result<[UInt8], GzipInflater.Failure> in
      do throws(GzipInflater.Failure) {
        return .success(try GzipInflater.inflate(bytes, bytesMax: bytesMax))
      } catch {
        return .failure(error)
      }
    }
    switch result {
    case .success(let output): return output
    case .failure(.tooLarge): throw tooLarge()
    case .failure(.corrupt): throw HTTPProblem(status: 400, code: "malformed_gzip", detail: "the body is no gzip stream")
    }
  }

  private func structured(_ head: HTTPRequestHead, _ contentType: String?, _ data: [UInt8]) -> Result<[UInt8], EventReject> {
    data.withUnsafeBytes { bytes in
      do throws(EventReject) {
        return .success(try EventsRequest.structured(head, contentType: contentType, body: bytes))
      } catch {
        return .failure(error)
      }
    }
  }

  // MARK: answers

  private func answer(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ tracker: RequestTracker) {
    expiry?.cancel()
    if let failure = tracker.failure {
      ingest.logger.error("answering 503: \(failure)", metadata: ["request": "\(requestID(head))"])
      answer(
        context, head,
        HTTPProblem(
          status: 503, code: "log_\(failure.code.rawValue)",
          detail: "not all events were made durable; send them again, with the same id or sequence", headers: ["Retry-After": "5"]
        ))
      return
    }
    if tracker.isEveryEventRejected {
      let problem =
        tracker.isEveryEventForbidden
        ? HTTPProblem(
          status: 403, code: RejectCode.forbiddenSource.rawValue,
          detail: "the token lets its holder write as none of these sources")
        : HTTPProblem(status: 422, code: "all_rejected", detail: "every event was rejected; 'rejected' says why for each")
      answer(
        context, head, HTTPResponseStatus(statusCode: problem.status), HTTPProblem.contentType,
        problem.body(extra: tracker.result))
      return
    }
    var bytes: [UInt8] = []
    JSONValue.object(tracker.result).write(to: &bytes)
    answer(context, head, .ok, "application/json", bytes)
  }

  private func answerReadiness(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    let eventLoop = context.eventLoop, probe = ingest.probe, isDraining = ingest.isDraining
    Task {
      var readiness = await probe.readiness()
      if isDraining { readiness.checks.append(("ingest", "shutting down")) }
      let answer = readiness
      eventLoop.execute {
        var bytes: [UInt8] = []
        answer.json.write(to: &bytes)
        bound.value.handler.answer(
          bound.value.context, head, answer.isReady ? .ok : .serviceUnavailable, "application/json", bytes)
      }
    }
  }

  private func refuseEarly(_ context: ChannelHandlerContext, _ problem: HTTPProblem) {
    isAnsweredEarly = true
    guard let head else { return }
    answer(context, head, problem)
  }

  private func answer(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ problem: HTTPProblem) {
    answer(
      context, head, HTTPResponseStatus(statusCode: problem.status), HTTPProblem.contentType, problem.body(),
      headers: problem.headers)
  }

  /// The sender's own, or one made here: once, for the log and the answer.
  private func requestID(_ head: HTTPRequestHead) -> RequestID {
    if let requestID { return requestID }
    let made = RequestID(head.headers.first(name: RequestID.header))
    requestID = made
    return made
  }

  private func answer(
    _ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ status: HTTPResponseStatus, _ contentType: String,
    _ bytes: [UInt8], headers: [String: String] = [:]
  ) {
    guard context.channel.isActive else { return }
    var response = HTTPResponseHead(version: head.version, status: status)
    response.headers.add(name: "Content-Type", value: contentType)
    response.headers.add(name: "Content-Length", value: String(bytes.count))
    response.headers.add(name: RequestID.header, value: requestID(head).description)
    for (name, value) in headers.sorted(by: { $0.key < $1.key }) { response.headers.replaceOrAdd(name: name, value: value) }
    context.write(wrapOutboundOut(.head(response)), promise: nil)
    if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil) }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }
}

extension TraceContext {
  fileprivate init?(_ headers: HTTPHeaders) {
    guard let parent = headers.first(name: "traceparent") else { return nil }
    self.init(parent: parent, states: headers["tracestate"])
  }
}

extension WebSocketRefusal {
  fileprivate var problem: HTTPProblem {
    var headers: [String: String] = [:]
    for (name, value) in self.headers where name.lowercased() != "connection" { headers[name] = value }
    return HTTPProblem(status: Int(status.code), code: "upgrade_required", detail: detail, headers: headers)
  }
}
