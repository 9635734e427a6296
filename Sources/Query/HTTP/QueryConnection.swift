import Events
import HTTPServing
import NIOCore
import NIOHTTP1

/// Answers requests, for connections.
protocol QueryResponder: Sendable {
  /// Cancelled when whoever asked something long has left.
  func respond(to request: QueryRequest, _ match: RouteMatch) async -> (Answer, HTTPHeaders)
  /// Nil where an answer takes waiting for something. Called on the event loop.
  func respondAtOnce(to request: QueryRequest, _ match: RouteMatch) -> (Answer, HTTPHeaders)?
}

/// One analyst's connection: collects a request within its bounds, has it answered, writes the answer, and takes the next.
///
/// The pipeline before it holds back pipelined requests until the answer is written. Belongs to the channel's event loop.
final class QueryConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let requestTimeout: TimeAmount
  private let idleTimeout: TimeAmount
  private let responder: any QueryResponder
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []
  private var task: Task<Void, Never>?
  private var isLong = false
  /// The request is being answered before it has come whole: the rest is dropped, the connection then closed.
  private var isEarly = false
  private var isFinishing = false
  private var deadline: Scheduled<Void>?

  init(_ configuration: QueryConfiguration, _ responder: any QueryResponder) {
    requestTimeout = .nanoseconds(configuration.requestTimeout.nanoseconds)
    idleTimeout = .nanoseconds(configuration.idleTimeout.nanoseconds)
    self.responder = responder
  }

  // TLS's handshake is within the first request's time.
  func handlerAdded(context: ChannelHandlerContext) { expect(within: requestTimeout, context) }

  func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    // What is short, or changes something, is done whoever waits for it.
    if isLong { task?.cancel() }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // Not HTTP, or the connection broke: there is nobody to answer.
    context.close(promise: nil)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard event is HTTPListener.Finish else { return context.fireUserInboundEventTriggered(event) }
    isFinishing = true
    if head == nil { context.close(promise: nil) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): begin(context, head)
    case .body(let part):
      guard !isEarly, let head, head.method != .GET, head.method != .HEAD else { return }
      if body.count + part.readableBytes > QueryConfiguration.bodyBytesMax {
        answerEarly(context, head)
      } else {
        body.append(contentsOf: part.readableBytesView)
      }
    case .end:
      guard !isEarly, let head else { return }
      // The answer may take as long as its service lets it.
      deadline?.cancel()
      answer(context, head, RequestBodyReader(bytes: body))
      body = []
    }
  }

  private func begin(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    self.head = head
    body = []
    expect(within: requestTimeout, context)
    if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }), length > QueryConfiguration.bodyBytesMax {
      answerEarly(context, head)
    } else if head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
      context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
    }
  }

  /// Cuts the connection off unless what is next comes in time, however often it sends a byte.
  private func expect(within time: TimeAmount, _ context: ChannelHandlerContext) {
    deadline?.cancel()
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: time) { bound.value.close(promise: nil) }
  }

  // MARK: answering

  /// A body that nobody takes: the path, the method or the token may be wrong besides, which is told first.
  private func answerEarly(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    isEarly = true
    body = []
    answer(context, head, RequestBodyReader { bytesMax throws(QueryFailure) in throw .tooLarge(bytesMax) })
  }

  private func answer(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ body: RequestBodyReader) {
    let request = QueryRequest(head.method, head.uri, headers: head.headers, body: body)
    let match = RouteMatch(request.path)
    isLong = match.route.isLong
    if let (answer, headers) = responder.respondAtOnce(to: request, match) { return write(context, head, answer, headers) }
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    let (responder, eventLoop) = (responder, context.eventLoop)
    task = Task {
      let (answer, headers) = await responder.respond(to: request, match)
      eventLoop.execute { bound.value.connection.write(bound.value.context, head, answer, headers) }
    }
  }

  private func write(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ answer: Answer, _ headers: HTTPHeaders) {
    writeHead(context, head, answer.status, headers)
    guard head.method != .HEAD, context.channel.isActive else { return end(context, head) }
    switch answer.body {
    case .bytes(let bytes):
      if !bytes.isEmpty {
        context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: bytes)))), promise: nil)
      }
      end(context, head)
    case .pieces(let first, let rest):
      let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
      let stream = AnswerStream(channel: context.channel, writeTimeout: idleTimeout)
      task = Task {
        let isWhole = await stream.write(first, rest)
        stream.channel.eventLoop.execute {
          if isWhole { bound.value.connection.end(bound.value.context, head) } else { stream.channel.close(promise: nil) }
        }
      }
    }
  }

  private func writeHead(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ status: Int, _ headers: HTTPHeaders) {
    guard context.channel.isActive else { return }
    var response = HTTPResponseHead(version: head.version, status: HTTPResponseStatus(statusCode: status), headers: headers)
    if isLast(head) { response.headers.replaceOrAdd(name: "Connection", value: "close") }
    context.write(wrapOutboundOut(.head(response)), promise: nil)
  }

  private func end(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    task = nil
    guard context.channel.isActive else { return }
    guard isLast(head) else {
      // First, since the end of this answer may let the next request in.
      self.head = nil
      expect(within: idleTimeout, context)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      return
    }
    expect(within: requestTimeout, context)
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
      // The output first: to close with bytes unread would send a reset, which can overtake the answer.
      bound.value.close(mode: .output, promise: nil)
    }
  }

  private func isLast(_ head: HTTPRequestHead) -> Bool { isEarly || isFinishing || !head.isKeepAlive }
}

/// Writes a body in pieces, each when the one before has gone out.
private struct AnswerStream {
  let channel: any Channel
  /// A reader that takes nothing of a piece for so long is cut off.
  let writeTimeout: TimeAmount

  /// - Returns: Whether it was written whole.
  func write(_ first: [UInt8], _ rest: any BodyPieces) async -> Bool {
    var pieces = rest
    do {
      try await write(first)
      while let piece = try await pieces.next() { try await write(piece) }
      return true
    } catch {
      // The reader has left, or the body cannot be completed: it is cut, so that no one takes half an answer for a whole one.
      return false
    }
  }

  private func write(_ bytes: [UInt8]) async throws {
    let deadline = channel.eventLoop.scheduleTask(in: writeTimeout) { channel.close(promise: nil) }
    defer { deadline.cancel() }
    try await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(channel.allocator.buffer(bytes: bytes)))).get()
  }
}
