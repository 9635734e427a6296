import NIOCore

/// Tells a connection that bytes have come, before they are decoded: handlers after the decoder do not see half a head.
final class ArrivalWatch: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  var came: (() -> Void)?

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    came?()
    context.fireChannelRead(data)
  }

  func handlerRemoved(context: ChannelHandlerContext) { came = nil }
}
