import NIOCore
import NIOHTTP1

/// One HTTP/1.1 connection, with at most one request under way. Belongs to its channel's event loop.
public final class ClientConnection: ChannelInboundHandler, RemovableChannelHandler {
  public typealias InboundIn = HTTPClientResponsePart
  public typealias OutboundOut = HTTPClientRequestPart
  public typealias Outcome = Result<ClientAnswer, ClientFailure>

  private struct Exchange {
    var answerBytesMax: Int
    var ended: (Outcome) -> Void
    var head: HTTPResponseHead?
    var body = ByteBuffer()
    var deadline: Scheduled<Void>?
  }

  private let objection: (HTTPResponseHead) -> String?
  private var context: ChannelHandlerContext?
  private var exchange: Exchange?
  /// Why the connection takes no further request.
  private var failure: ClientFailure?
  /// Told when the connection can take another request, or (false) never will.
  public var onIdle: ((Bool) -> Void)?

  public var isUsable: Bool { failure == nil }

  /// - Parameter objection: Looks at an answer's head as it comes: why it is none that is taken; nil if it is.
  public init(objection: @escaping (HTTPResponseHead) -> String? = { _ in nil }) { self.objection = objection }

  /// Adds the connection to a channel's pipeline, behind what speaks HTTP. Called on the channel's event loop.
  public func add(to channel: any Channel) throws {
    let operations = channel.pipeline.syncOperations
    try operations.addHTTPClientHandlers(leftOverBytesStrategy: .dropBytes, enableOutboundHeaderValidation: true)
    try operations.addHandler(self)
  }

  public func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  public func handlerRemoved(context: ChannelHandlerContext) {
    fail(.ended)
    self.context = nil
  }

  /// Sends a request; none is under way.
  /// - Parameters:
  ///   - request: Its `Host` is among its headers.
  ///   - deadline: When it is given up, and the connection with it.
  ///   - ended: Told once of the answer, whatever its status, or of what went wrong.
  public func send(_ request: ClientRequest, deadline: NIODeadline, ended: @escaping (Outcome) -> Void) {
    precondition(exchange == nil, "one request at a time")
    guard let context, isUsable else { return ended(.failure(failure ?? .ended)) }
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    exchange = Exchange(
      answerBytesMax: request.answerBytesMax, ended: ended,
      deadline: context.eventLoop.scheduleTask(deadline: deadline) { bound.value.fail(.timedOut) })
    var head = HTTPRequestHead(version: .http1_1, method: request.method, uri: request.target, headers: request.headers)
    let hasBody = request.body.readableBytes > 0
    if hasBody || request.method != .GET { head.headers.add(name: "Content-Length", value: "\(request.body.readableBytes)") }
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if hasBody { context.write(wrapOutboundOut(.body(.byteBuffer(request.body))), promise: nil) }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  /// Gives the request under way up, and the connection with it.
  public func cancel() { fail(.cancelled) }

  /// Takes no further request; one that is under way fails.
  public func close() { fail(.ended) }

  public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard let bytesMax = exchange?.answerBytesMax else { return fail(.malformed("bytes that answer nothing")) }
    switch unwrapInboundIn(data) {
    case .head(let head):
      if let reason = objection(head) { return fail(.malformed(reason)) }
      exchange?.head = head
      if let length = head.headers.first(name: "Content-Length").flatMap({ Int($0) }) {
        guard length <= bytesMax else { return fail(.tooLarge(bytesMax: bytesMax)) }
        exchange?.body.reserveCapacity(length)
      }
    case .body(var part):
      guard let held = exchange?.body.readableBytes, held + part.readableBytes <= bytesMax else {
        return fail(.tooLarge(bytesMax: bytesMax))
      }
      if held == 0, part.readableBytes > exchange?.body.writableBytes ?? 0 {
        exchange?.body = part
      } else {
        exchange?.body.writeBuffer(&part)
      }
    case .end:
      guard let ended = exchange, let head = ended.head else { return fail(.malformed("an answer without a head")) }
      ended.deadline?.cancel()
      exchange = nil
      if !head.isKeepAlive { end(.ended) }
      // The pool first, so that who is told can send its next request on this connection.
      onIdle?(isUsable)
      ended.ended(.success(ClientAnswer(status: Int(head.status.code), headers: head.headers, body: ended.body)))
    }
  }

  public func channelInactive(context: ChannelHandlerContext) {
    fail(.ended)
    context.fireChannelInactive()
  }

  public func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(.broken(error)) }

  public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent, exchange == nil { fail(.ended) }
    context.fireUserInboundEventTriggered(event)
  }

  private func end(_ reason: ClientFailure) {
    failure = failure ?? reason
    context?.close(promise: nil)
  }

  private func fail(_ reason: ClientFailure) {
    let (wasUsable, failed) = (isUsable, exchange)
    // Before the connection is closed, which may be told here at once.
    exchange = nil
    failed?.deadline?.cancel()
    end(reason)
    if wasUsable { onIdle?(false) }
    failed?.ended(.failure(reason))
  }
}
