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
  /// Called when the connection can take another request, or (false) never will.
  public var onIdle: ((Bool) -> Void)?

  public var isUsable: Bool { failure == nil }

  /// - Parameter objection: Gives the reason why an answer is refused by its head; nil if it is accepted.
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
  ///   - request: A request whose headers include `Host`.
  ///   - deadline: The time at which the request is abandoned, and the connection with it.
  ///   - ended: Called once, with an answer of any status or with the failure.
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

  /// Abandons the request under way, and the connection with it.
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
      // The pool comes first, so that the caller can send its next request on this connection.
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
