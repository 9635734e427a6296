import Events
import NIOCore
import NIOHTTP1
import Serving

/// Answers requests, for connections.
protocol QueryResponder: Sendable {
  /// Cancelled when whoever asked something long has left.
  func respond(to request: QueryRequest, _ match: RouteMatch) async -> (Answer, HTTPHeaders)
  /// Nil where an answer takes waiting for something. Called on the event loop.
  func respondAtOnce(to request: QueryRequest, _ match: RouteMatch) -> (Answer, HTTPHeaders)?
}

/// One analyst's connection: collects a request within its bounds, has it answered, writes the answer, and takes the next.
///
/// The pipeline before it holds back pipelined requests until the answer is written, and its guard ends the connection. Belongs to the
/// channel's event loop.
final class QueryConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let responder: any QueryResponder
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []
  private var task: Task<Void, Never>?
  private var isLong = false
  private var isStreaming = false
  /// Ends the answer under way once its reader's token is good no longer.
  private var watch: AccessWatch?
  /// The request is being answered before it has come whole: the rest is dropped.
  private var isEarly = false

  init(_ responder: any QueryResponder) { self.responder = responder }

  func channelInactive(context: ChannelHandlerContext) {
    // What is short, or changes something, is done whoever waits for it.
    if isLong { task?.cancel() }
    watch = nil
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // Not HTTP, or the connection broke: there is nobody to answer.
    context.close(promise: nil)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // Nobody ends his side while he follows a stream: he has left. Anything else may still be waited for.
    if event as? ChannelEvent == .inputClosed, isStreaming { task?.cancel() }
    context.fireUserInboundEventTriggered(event)
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
      answer(context, head, RequestBodyReader(bytes: body))
      body = []
    }
  }

  private func begin(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
    self.head = head
    body = []
    isEarly = false
    if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }), length > QueryConfiguration.bodyBytesMax {
      answerEarly(context, head)
    } else if head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
      context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
    }
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
    isStreaming = match.route == .live || match.route == .liveOverview
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
    guard head.method != .HEAD, context.channel.isActive else { return end(context) }
    switch answer.body {
    case .bytes(let bytes):
      if !bytes.isEmpty {
        context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: bytes)))), promise: nil)
      }
      end(context)
    case .pieces(let first, let rest):
      let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
      let stream = AnswerStream(channel: context.channel)
      let channel = context.channel
      rest.attach(cut: { channel.reset() })
      task = Task {
        let isWhole = await stream.write(first, rest)
        stream.channel.eventLoop.execute {
          if isWhole { bound.value.connection.endPieces(bound.value.context) } else { stream.channel.close(promise: nil) }
        }
      }
      watch = answer.access.map { access in
        AccessWatch(access, on: context.eventLoop) { bound.value.connection.deny(bound.value.context) }
      }
    }
  }

  /// The reader's token is good no longer. A stream is ended with a word, any other answer is cut: half of it must not pass for the whole.
  private func deny(_ context: ChannelHandlerContext) {
    task?.cancel()
    guard isStreaming else { return context.close(promise: nil) }
    // Of a reader that does not take even that.
    let (bound, channel) = (NIOLoopBound(self, eventLoop: context.eventLoop), context.channel)
    context.eventLoop.scheduleTask(in: .seconds(1)) { if bound.value.watch?.denial != nil { channel.reset() } }
  }

  private func endPieces(_ context: ChannelHandlerContext) {
    if let denial = watch?.denial, context.channel.isActive {
      let last = LivePieces.end(reason: denial.problem.detail, code: denial.problem.code)
      context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: last)))), promise: nil)
    }
    watch = nil
    end(context)
  }

  private func writeHead(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ status: Int, _ headers: HTTPHeaders) {
    guard context.channel.isActive else { return }
    let response = HTTPResponseHead(version: head.version, status: HTTPResponseStatus(statusCode: status), headers: headers)
    context.write(wrapOutboundOut(.head(response)), promise: nil)
  }

  private func end(_ context: ChannelHandlerContext) {
    task = nil
    guard context.channel.isActive else { return }
    // First, since the end of this answer may let the next request in.
    self.head = nil
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }
}

/// Writes a body in pieces, each when the one before has gone out.
private struct AnswerStream {
  let channel: any Channel

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
    try await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(channel.allocator.buffer(bytes: bytes)))).get()
  }
}
