import NIOCore
import NIOHTTPTypes

/// Cuts off connections whose requests don't come in time, however often they send a byte; TLS's handshake is within the first one's time.
final class RequestDeadline: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  private let requestTimeout: TimeAmount
  private let idleTimeout: TimeAmount
  private var deadline: Scheduled<Void>?

  /// - Parameters:
  ///   - requestTimeout: For the first request's head, and for each request's body.
  ///   - idleTimeout: From an answer's end to the end of the next request's head.
  init(requestTimeout: TimeAmount, idleTimeout: TimeAmount) {
    self.requestTimeout = requestTimeout
    self.idleTimeout = idleTimeout
  }

  func handlerAdded(context: ChannelHandlerContext) { expect(within: requestTimeout, context) }

  func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head: expect(within: requestTimeout, context)
    case .body: break
    // The answer may take as long as its service lets it.
    case .end: deadline?.cancel()
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    if case .end = unwrapOutboundIn(data) { expect(within: idleTimeout, context) }
    context.write(data, promise: promise)
  }

  private func expect(within time: TimeAmount, _ context: ChannelHandlerContext) {
    deadline?.cancel()
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: time) { bound.value.close(promise: nil) }
  }
}
