import Events
import NIOCore
import NIOHTTP1

/// One connection of a service: checks each request and has it answered, one at a time, within the service's times and bounds.
/// `ConnectionMachine` decides; this type carries the decisions out on a channel. Belongs to the channel's event loop.
///
/// The handlers before it take HTTP's bytes apart and hold back pipelined requests until the answer is written.
final class HTTPConnection<Responder: HTTPResponder>: ChannelInboundHandler, RemovableChannelHandler, ReplyingConnection {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart
  typealias Endpoint = Responder.Endpoint

  /// The request under way.
  struct Exchange {
    var request: HTTPRequest
    var match: RouteTable<Endpoint>.Match?
    var source = HostRules.Source.own
    /// Nil where it is refused.
    var route: Route<Endpoint>?
    /// Sent once the request has come whole.
    var refusal: HTTPAnswer?
    var heldBytes = 0
    var wholeAt: NIODeadline?
    var threads: AnswerThreads?
    var isStreaming = false
  }

  /// The time that an answer may take before the guard checks that the peer still waits.
  private static var probeDelay: TimeAmount { .seconds(1) }

  let service: HTTPService<Endpoint>
  private let responder: Responder
  private let place: ConnectionPlace
  /// The handlers that decode HTTP, in order. They are removed when the connection changes to another protocol.
  let decoding: [any RemovableChannelHandler]
  let encoding: any RemovableChannelHandler
  var machine: ConnectionMachine
  var exchange: Exchange?
  /// The exchange's number; replies to another one are ignored.
  private var number = 0
  private(set) var context: ChannelHandlerContext?
  var task: Task<Void, Never>?
  /// Ends the answer under way once its reader's token is no longer valid.
  var watch: AccessWatch?
  private var timer: Scheduled<Void>?
  private var timerAt = NIODeadline.distantFuture
  private var stall: StallWatch?
  /// A `Host` that was found to be the service's own.
  private var knownHost: String?
  /// Bytes of the next protocol, received before its handler is there.
  var kept: [NIOAny] = []
  let upgraded: () -> Void

  init(
    _ service: HTTPService<Endpoint>, _ responder: Responder, _ place: ConnectionPlace, decoding: [any RemovableChannelHandler],
    encoding: any RemovableChannelHandler, upgraded: @escaping () -> Void
  ) {
    self.service = service
    self.responder = responder
    self.place = place
    self.decoding = decoding
    self.encoding = encoding
    self.upgraded = upgraded
    machine = ConnectionMachine(
      ConnectionMachine.Times(request: TimeAmount(service.limits.requestTimeout), idle: TimeAmount(service.limits.idleTimeout)),
      begunAt: place.enteredAt, isExtra: place.shortage != nil)
  }

  // MARK: life

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    arm()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    leave()
    self.context = nil
  }

  func channelInactive(context: ChannelHandlerContext) {
    machine.closed()
    if exchange?.isStreaming ?? false || exchange?.route.map({ $0.pace != .whole }) ?? false { task?.cancel() }
    leave()
    context.fireChannelInactive()
  }

  func leave() {
    timer?.cancel()
    timer = nil
    stall?.cancel()
    stall = nil
    watch = nil
    endExchange()
  }

  private func endExchange() {
    service.letGo(exchange?.heldBytes ?? 0)
    exchange = nil
    task = nil
    number += 1
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // Not HTTP, or the connection broke: there is nobody to answer.
    context.close(promise: nil)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is HTTPListener.Finish {
      if machine.finish() { return context.close(promise: nil) }
      if case .whileServed? = exchange?.route?.pace { task?.cancel() }
    } else if event as? ChannelEvent == .inputClosed {
      if machine.inputClosed() { return context.close(promise: nil) }
      if case .stream? = exchange?.route?.pace { task?.cancel() }
      let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
      context.eventLoop.scheduleTask(in: HTTPConnection.probeDelay) { bound.value.probe() }
    }
    context.fireUserInboundEventTriggered(event)
  }

  private func probe() {
    guard let context, context.channel.isActive, machine.mayProbe else { return }
    writeContinue(context)
  }

  private func writeContinue(_ context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
  }

  // MARK: requests

  /// Bytes have come; they are not decoded yet.
  func bytesCame() {
    machine.bytesCame(.now())
    arm()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard machine.state != .upgraded else { return kept.append(data) }
    switch unwrapInboundIn(data) {
    case .head(let head): begin(context, head)
    case .body(let part): take(part)
    case .end: end(context)
    }
  }

  private func begin(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    let shape = ConnectionMachine.Head(head)
    guard machine.begin(shape, .now()) else { return }
    guard shape.hasBody ? place.reading() : place.busy() else { return context.close(promise: nil) }
    arm()
    number += 1
    var exchange = Exchange(request: HTTPRequest(head))
    do throws(HTTPProblem) {
      try look(at: &exchange, shape)
    } catch {
      exchange.refusal = HTTPAnswer(error)
    }
    self.exchange = exchange
    if let route = exchange.route, exchange.refusal == nil {
      if machine.admit(bodyBytesMax: HTTPConnection.bodyBytesMax(route)) { writeContinue(context) }
    } else if machine.refuse() == .now {
      sendRefusal()
    }
  }

  /// The longest body to read. A route that takes no body has a bound too: a body up to that is read and dropped.
  private static func bodyBytesMax(_ route: Route<Endpoint>) -> Int {
    route.bodyBytesMax > 0 ? route.bodyBytesMax : ConnectionMachine.strayBodyBytesMax
  }

  /// Makes all checks that come before the body.
  private func look(at exchange: inout Exchange, _ shape: ConnectionMachine.Head) throws(HTTPProblem) {
    exchange.match = service.routes.find(exchange.request.path)
    if let shortage = place.shortage {
      guard ServiceOperation(rawValue: String(exchange.request.path))?.isForAll ?? false else { throw shortage.problem }
    }
    var head = exchange.request.head
    exchange.source = try source(of: &head)
    if head.uri != exchange.request.head.uri {
      exchange.request = HTTPRequest(head)
      exchange.match = service.routes.find(exchange.request.path)
    }
    if case .page = exchange.source, let preflight = CrossOrigin.preflight(head) {
      exchange.refusal = preflight
      return
    }
    let route = try service.admit(&exchange.request, exchange.match)
    exchange.route = route
    switch route.target {
    case .endpoint: try responder.admit(exchange.request, route)
    case .operation: break
    }
    guard let bytes = shape.declaredBytes, bytes > 0 else { return }
    let bytesMax = HTTPConnection.bodyBytesMax(route)
    guard bytes <= bytesMax else { throw service.tooLarge(bytesMax) }
    guard route.bodyBytesMax > 0 else { return }
    try service.checkRoom(bytes)
    // This reserves addresses; memory is used as it is filled.
    exchange.request.body.reserveCapacity(bytes)
  }

  private func source(of head: inout HTTPRequestHead) throws(HTTPProblem) -> HostRules.Source {
    if let knownHost, head.uri.utf8.first == UInt8(ascii: "/"), head.headers["host"] == [knownHost],
      !head.headers.contains(name: "origin"), !head.headers.contains(name: "sec-fetch-site")
    {
      return .own
    }
    let source = try service.rules.check(&head)
    knownHost = head.headers.first(name: "host")
    return source
  }

  private func take(_ part: ByteBuffer) {
    let bytes = part.readableBytes
    switch machine.body(bytes) {
    case .drop: break
    case .tooLarge: refuse(service.tooLarge((exchange?.route).map(HTTPConnection.bodyBytesMax) ?? 0))
    case .take:
      guard exchange?.route?.bodyBytesMax ?? 0 > 0 else { return }
      do throws(HTTPProblem) {
        try service.hold(bytes)
        exchange?.heldBytes += bytes
        exchange?.request.body.writeImmutableBuffer(part)
      } catch {
        refuse(error)
      }
    }
  }

  private func end(_ context: ChannelHandlerContext) {
    let end = machine.end(.now())
    arm()
    guard end == .answer, let exchange else { return }
    guard place.busy() else { return context.close(promise: nil) }
    guard let route = exchange.route, exchange.refusal == nil else { return sendRefusal() }
    self.exchange?.wholeAt = .now()
    let reply = HTTPReply(connection: self, number: number)
    switch route.target {
    case .endpoint(let endpoint): responder.answer(exchange.request, endpoint, reply)
    case .operation(.alive): reply.send(service.alive)
    case .operation(let operation): reply.send { [service] in await service.answer(operation) }
    }
  }

  // MARK: answers

  private func refuse(_ problem: HTTPProblem) {
    exchange?.refusal = HTTPAnswer(problem)
    sendRefusal()
  }

  private func sendRefusal() {
    guard let refusal = exchange?.refusal else { return }
    send(refusal, number)
  }

  var channel: any Channel {
    guard let context else { preconditionFailure("the connection is gone") }
    return context.channel
  }

  func isAwaited(_ number: Int) -> Bool { self.number == number && context != nil && machine.isAsked }

  func send(on threads: AnswerThreads?, _ make: @escaping @Sendable () async -> HTTPAnswer, _ number: Int) {
    guard isAwaited(number), let context, let id = exchange?.request.id else { return }
    exchange?.threads = threads
    let eventLoop = context.eventLoop
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    task = Task(executorPreference: threads) {
      let answer = await RequestID.$current.withValue(id) { await make() }
      eventLoop.execute { bound.value.send(answer, number) }
    }
  }

  func send(_ answer: HTTPAnswer, _ number: Int) {
    guard isAwaited(number), let context, let exchange, context.channel.isActive else { return }
    note(answer, exchange)
    service.letGo(exchange.heldBytes)
    self.exchange?.heldBytes = 0
    let bytes = answer.bytes(for: exchange.request.id)
    stall?.noteWrite()
    context.write(wrapOutboundOut(.head(head(of: answer, bytes?.readableBytes, exchange))), promise: nil)
    guard exchange.request.method != .HEAD else { return writeEnd() }
    if case .pieces(let first, let rest) = answer.body { return stream(first, rest, answer.farewell) }
    if let bytes, bytes.readableBytes > 0 { context.write(wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil) }
    writeEnd()
  }

  private func note(_ answer: HTTPAnswer, _ exchange: Exchange) {
    var problem: HTTPProblem?
    if case .problem(let told, _) = answer.body { problem = told }
    responder.answered(
      AnsweredRequest(
        request: exchange.request, path: exchange.match?.index, status: answer.status, problem: problem,
        receivedBytes: exchange.heldBytes,
        duration: exchange.wholeAt.map { .nanoseconds((NIODeadline.now() - $0).nanoseconds) } ?? .zero))
  }

  private func head(of answer: HTTPAnswer, _ bytes: Int?, _ exchange: Exchange) -> HTTPResponseHead {
    let request = exchange.request
    // A client that asks for another protocol may have begun to speak it: the following bytes are not read as HTTP.
    let isLast = machine.beginAnswer(closes: request.headers.contains(name: "upgrade") || request.method == .CONNECT)
    var headers = HTTPHeaders()
    headers.reserveCapacity(answer.headers.count + 8)
    if answer.status != 204 {
      headers.add(name: "Content-Type", value: answer.contentType)
      if let bytes { headers.add(name: "Content-Length", value: String(bytes)) }
    }
    for (name, value) in answer.headers { headers.add(name: name, value: value) }
    for (name, value) in responder.headers { headers.add(name: name, value: value) }
    headers.add(name: RequestID.header, value: request.id.description)
    headers.add(name: "Date", value: service.now)
    if isLast { headers.replaceOrAdd(name: "Connection", value: "close") }
    if service.rules.allowsOrigins { CrossOrigin.mark(&headers, exchange.source) }
    return HTTPResponseHead(
      version: request.head.version, status: HTTPResponseStatus(statusCode: answer.status), headers: headers)
  }

  /// Ends the answer under way.
  func writeEnd() {
    guard let context, context.channel.isActive else { return }
    watch = nil
    // This comes first, since the end of this answer may let the next request in.
    endExchange()
    switch machine.endAnswer() {
    case .next: context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    case .last:
      let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
      context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in bound.value.endOutput() }
    }
    flushed()
  }

  /// The last answer is out.
  private func endOutput() {
    guard let context, context.channel.isActive else { return }
    if machine.outputEnded(.now()) { return context.close(promise: nil) }
    arm()
    context.close(mode: .output, promise: nil)
  }

  /// Writes a piece of the answer under way.
  func write(_ piece: [UInt8], on eventLoop: any EventLoop) -> EventLoopFuture<Void> {
    guard let context else { return eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel) }
    stall?.noteWrite()
    let written = context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: piece)))))
    flushed()
    return written
  }

  private func flushed() {
    guard let context, context.channel.isActive else { return }
    if machine.flushed(.now()) { place.idle() }
    arm()
    if stall == nil, StallWatch.buffered(context) > 0 {
      stall = StallWatch(context, within: TimeAmount(service.limits.stallTimeout)) { [weak self] in self?.stall = nil }
    }
  }

  // MARK: time

  /// Sets a timer for the machine's deadline.
  private func arm() {
    // A timer that fires earlier checks the deadline anew: moving it costs nothing.
    guard let deadline = machine.deadline, timer == nil || timerAt > deadline else { return }
    timer?.cancel()
    schedule(at: deadline)
  }

  private func schedule(at time: NIODeadline) {
    guard let context else { return }
    timerAt = time
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(deadline: time) { bound.value.timerFired() }
  }

  private func timerFired() {
    timer = nil
    switch machine.timerFired(.now(), isUnsent: stall != nil) {
    case .none: break
    case .wait(let deadline): schedule(at: deadline)
    case .close: context?.close(promise: nil)
    }
  }
}
