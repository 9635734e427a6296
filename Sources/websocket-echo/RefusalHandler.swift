import NIOCore
import NIOHTTP1
import WebSocket

/// Answers requests that are no WebSocket handshake, and closes.
final class RefusalHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private var refusal: WebSocketRefusal?
  private var hasAnswered = false

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let refusal = error as? WebSocketRefusal {
      self.refusal = refusal
    } else {
      // Not HTTP, or the connection broke: there is nobody to answer.
      context.close(promise: nil)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head = unwrapInboundIn(data), !hasAnswered else { return }
    hasAnswered = true
    let refusal = refusal ?? WebSocketHandshake.refusal(of: .upgradeMissing)
    let body = ByteBuffer(string: refusal.detail + "\n")
    var headers = refusal.headers
    headers.replaceOrAdd(name: "Content-Type", value: "text/plain; charset=utf-8")
    headers.replaceOrAdd(name: "Content-Length", value: String(body.readableBytes))
    headers.add(name: "Connection", value: "close")
    let head = HTTPResponseHead(version: .http1_1, status: refusal.status, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    let loopBound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
      loopBound.value.close(promise: nil)
    }
  }
}
