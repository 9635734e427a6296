import Events
import NIOCore
import NIOHTTP1

/// Stands between a connection's HTTP and the service's own handler: holds requests and answers to their times, lets through only those whose
/// host and origin may ask, and ends the connection.
///
/// Behind it a handler sees whole requests that may be served, one at a time, answers each, and leaves `Connection`, deadlines and closing to
/// the guard. It is told of `HTTPListener.Finish` and, while it answers, of `ChannelEvent.inputClosed`. Belongs to the channel's event loop.
public final class HTTPConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
  public typealias InboundIn = HTTPServerRequestPart
  public typealias InboundOut = HTTPServerRequestPart
  public typealias OutboundIn = HTTPServerResponsePart
  public typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    /// Waits for a request's head.
    case awaiting
    /// The head has come, the end of the body not yet.
    case reading
    /// The request has come whole.
    case answering
    /// The last answer is out and our side is ended; what the peer still sends is dropped, since to close with bytes unread would send a
    /// reset, which can overtake the answer.
    case lingering
  }

  /// What is served on a connection there is no room for.
  private static let pathsForAll = ["/livez", "/readyz", "/health", "/metrics"]
  /// How long such a connection may take to ask.
  private static let extraTimeout = TimeAmount.seconds(5)
  /// How long an answer may take before it is asked whether anybody waits for it.
  private static let probeDelay = TimeAmount.seconds(1)
  /// After the last answer: for a peer that has sent all, and for one that is still sending what nobody wants.
  private static let lingerTime = TimeAmount.milliseconds(500), lingerTimeUnread = TimeAmount.seconds(5)

  private let limits: ServingLimits
  private let rules: HostRules
  private let place: ConnectionPlace
  private var state = State.awaiting
  private var head: HTTPRequestHead?
  private var source = HostRules.Source.own
  /// A `Host` that was found to be the service's own.
  private var knownHost: String?
  /// Answered here once the request has come whole.
  private var refusal: HTTPProblem?
  private var isRefusedEarly = false
  /// The request's answer is written to its end, the request not read to its own.
  private var isAnswered = false
  private var isLast = false
  private var isFinishing = false
  private var isInputClosed = false
  private var isHeadWritten = false
  private var isEndWritten = false
  /// A request for another protocol is on its way to whoever speaks that: what passes need not be HTTP.
  private var isUpgrading = false

  private var deadline: NIODeadline?
  private var timer: Scheduled<Void>?
  private var timerAt = NIODeadline.distantFuture
  private var stall: StallWatch?

  /// - Parameter place: Of the connection, which leaves it when it has ended.
  public init(_ limits: ServingLimits, _ rules: HostRules, _ place: ConnectionPlace) {
    self.limits = limits
    self.rules = rules
    self.place = place
  }

  // MARK: life

  public func handlerAdded(context: ChannelHandlerContext) {
    // TLS's handshake has to be done by then, too.
    var time = TimeAmount(limits.requestTimeout)
    if place.shortage != nil { time = min(time, HTTPConnectionGuard.extraTimeout) }
    expect(by: place.enteredAt + time, context)
  }

  public func handlerRemoved(context: ChannelHandlerContext) { stopTimers() }

  public func channelInactive(context: ChannelHandlerContext) {
    stopTimers()
    context.fireChannelInactive()
  }

  private func stopTimers() {
    timer?.cancel()
    timer = nil
    deadline = nil
    stall?.cancel()
    stall = nil
  }

  public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is HTTPListener.Finish {
      isFinishing = true
      if state == .awaiting { return context.close(promise: nil) }
    } else if event as? ChannelEvent == .inputClosed {
      isInputClosed = true
      guard state == .answering, !isUpgrading else { return context.close(promise: nil) }
      let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
      context.eventLoop.scheduleTask(in: HTTPConnectionGuard.probeDelay) { bound.value.handler.probe(bound.value.context) }
    }
    context.fireUserInboundEventTriggered(event)
  }

  /// The peer has ended its side: it waits for its answer, or has left. Where it has left, these bytes are answered with a reset, which
  /// ends the connection and with it whatever is done for nobody.
  private func probe(_ context: ChannelHandlerContext) {
    guard context.channel.isActive, state == .answering, !isHeadWritten, let version = head?.version,
      (version.major, version.minor) >= (1, 1)
    else { return }
    context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: version, status: .continue))), promise: nil)
  }

  // MARK: requests

  public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isUpgrading, state == .answering { return context.fireChannelRead(data) }
    switch unwrapInboundIn(data) {
    case .head(let head): begin(context, head)
    case .body:
      guard state == .reading, refusal == nil, !isRefusedEarly, !isAnswered else { return }
      context.fireChannelRead(data)
    case .end: end(context, data)
    }
  }

  private func begin(_ context: ChannelHandlerContext, _ received: HTTPRequestHead) {
    guard state == .awaiting else { return }
    state = .reading
    (isLast, isAnswered, isHeadWritten, isEndWritten) = (false, false, false, false)
    (refusal, isRefusedEarly, source) = (nil, false, .own)
    let hasBody = HTTPConnectionGuard.hasBody(received)
    guard hasBody ? place.reading() : place.busy() else { return context.close(promise: nil) }
    expect(by: .now() + TimeAmount(limits.requestTimeout), context)
    var head = received
    do throws(HTTPProblem) {
      try check(&head)
      self.head = head
      isUpgrading = head.headers.contains(name: "upgrade")
      context.fireChannelRead(wrapInboundOut(.head(head)))
    } catch {
      self.head = head
      refusal = error
      if hasBody {
        // Nobody takes it.
        isRefusedEarly = true
        refuse(context)
      }
    }
  }

  private func end(_ context: ChannelHandlerContext, _ data: NIOAny) {
    guard state == .reading else { return }
    if isAnswered {
      // Early: our side is ended, and now the peer has sent all, too.
      state = .lingering
      return expect(by: .now() + HTTPConnectionGuard.lingerTime, context)
    }
    deadline = nil
    state = .answering
    guard place.busy() else { return context.close(promise: nil) }
    if refusal != nil { refuse(context) } else { context.fireChannelRead(data) }
  }

  private func check(_ head: inout HTTPRequestHead) throws(HTTPProblem) {
    if let shortage = place.shortage {
      let path = head.uri.utf8.prefix { $0 != UInt8(ascii: "?") }
      guard HTTPConnectionGuard.pathsForAll.contains(where: { $0.utf8.elementsEqual(path) }) else { throw shortage.problem }
    }
    if let knownHost, head.uri.utf8.first == UInt8(ascii: "/"), head.headers["host"] == [knownHost],
      !head.headers.contains(name: "origin"), !head.headers.contains(name: "sec-fetch-site")
    {
      return
    }
    source = try rules.check(&head)
    knownHost = head.headers.first(name: "host")
    if case .page = source, head.method == .OPTIONS, head.headers.contains(name: "access-control-request-method") {
      // An answer, not a problem: `refuse` tells the two apart.
      throw HTTPConnectionGuard.preflight
    }
  }

  private static let preflight = HTTPProblem(status: 204, code: "preflight", detail: "")

  private static func hasBody(_ head: HTTPRequestHead) -> Bool {
    head.headers.contains(name: "transfer-encoding") || (head.headers.first(name: "content-length").map { $0 != "0" } ?? false)
  }

  // MARK: answers

  /// Answers in the service's place.
  private func refuse(_ context: ChannelHandlerContext) {
    guard let head, let problem = refusal else { return }
    refusal = nil
    var response = HTTPResponseHead(version: head.version, status: HTTPResponseStatus(statusCode: problem.status))
    var body: [UInt8] = []
    if problem.status == 204 {
      response.headers = CrossOrigin.preflight(head)
    } else {
      body = problem.body()
      response.headers.add(name: "Content-Type", value: HTTPProblem.contentType)
      response.headers.add(name: "Content-Length", value: String(body.count))
      for (name, value) in problem.headers.sorted(by: { $0.key < $1.key }) { response.headers.add(name: name, value: value) }
    }
    response.headers.add(name: RequestID.header, value: RequestID(head.headers.first(name: RequestID.header)).description)
    write(context: context, data: wrapOutboundOut(.head(response)), promise: nil)
    if !body.isEmpty, head.method != .HEAD {
      write(context: context, data: wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
    }
    write(context: context, data: wrapOutboundOut(.end(nil)), promise: nil)
    flush(context: context)
  }

  public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    stall?.noteWrite()
    switch unwrapOutboundIn(data) {
    case .head(var response):
      // Of an upgrade, or "go on".
      guard response.status.code >= 200 else { return context.write(data, promise: promise) }
      isUpgrading = false
      isHeadWritten = true
      isLast =
        state != .answering || isFinishing || isInputClosed || place.shortage != nil || head?.isKeepAlive != true
        || response.headers[canonicalForm: "connection"].contains { $0.lowercased() == "close" }
      if isLast { response.headers.replaceOrAdd(name: "Connection", value: "close") }
      if rules.allowsOrigins { CrossOrigin.mark(&response.headers, source) }
      context.write(wrapOutboundOut(.head(response)), promise: promise)
    case .body: context.write(data, promise: promise)
    case .end: writeEnd(context, data, promise)
    }
  }

  private func writeEnd(_ context: ChannelHandlerContext, _ data: NIOAny, _ promise: EventLoopPromise<Void>?) {
    // Streams begin before they are known to be the connection's last.
    if isFinishing || isInputClosed { isLast = true }
    isEndWritten = true
    if isLast {
      isAnswered = true
      let promise = promise ?? context.eventLoop.makePromise()
      let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
      promise.futureResult.whenComplete { _ in bound.value.handler.endOutput(bound.value.context) }
      context.write(data, promise: promise)
    } else {
      // First, since the end of this answer may let the next request in.
      state = .awaiting
      head = nil
      context.write(data, promise: promise)
    }
  }

  public func flush(context: ChannelHandlerContext) {
    context.flush()
    guard isHeadWritten || isEndWritten else { return }
    if isEndWritten, !isLast, state == .awaiting {
      isEndWritten = false
      place.idle()
      expect(by: .now() + TimeAmount(limits.idleTimeout), context)
    }
    if stall == nil, StallWatch.buffered(context) > 0 {
      stall = StallWatch(context, within: TimeAmount(limits.stallTimeout)) { [weak self] in self?.stall = nil }
    }
  }

  /// The last answer is out.
  private func endOutput(_ context: ChannelHandlerContext) {
    guard context.channel.isActive else { return }
    let isWhole = state == .answering
    if isWhole { state = .lingering }
    if isInputClosed { return context.close(promise: nil) }
    expect(by: .now() + (isWhole ? HTTPConnectionGuard.lingerTime : HTTPConnectionGuard.lingerTimeUnread), context)
    context.close(mode: .output, promise: nil)
  }

  // MARK: time

  /// Cuts the connection off unless what is next comes in time, however often it sends a byte.
  private func expect(by time: NIODeadline, _ context: ChannelHandlerContext) {
    deadline = time
    // One that fires earlier looks at the deadline anew: to move it costs nothing.
    guard timer == nil || timerAt > time else { return }
    timer?.cancel()
    schedule(at: time, context)
  }

  private func schedule(at time: NIODeadline, _ context: ChannelHandlerContext) {
    timerAt = time
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(deadline: time) { bound.value.handler.timerFired(bound.value.context) }
  }

  private func timerFired(_ context: ChannelHandlerContext) {
    timer = nil
    guard let deadline else { return }
    guard deadline <= .now() else { return schedule(at: deadline, context) }
    // An answer on its way has a time of its own.
    if state == .awaiting, stall != nil { return expect(by: .now() + TimeAmount(limits.idleTimeout), context) }
    context.close(promise: nil)
  }
}

extension ConnectionTable.Shortage {
  fileprivate var problem: HTTPProblem {
    switch self {
    case .full(let max):
      HTTPProblem(
        status: 503, code: "too_many_connections",
        detail: "\(max) connections are open and busy, which is the most there may be (connections_max); try again",
        headers: ["Retry-After": "1"])
    case .address(let max):
      HTTPProblem(
        status: 429, code: "too_many_connections",
        detail: "this address has \(max) busy connections, which is the most it may have (connections_per_address_max)",
        headers: ["Retry-After": "1"])
    }
  }
}
