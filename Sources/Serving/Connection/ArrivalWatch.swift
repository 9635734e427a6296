import NIOCore

/// Tells a connection that bytes have come, before they are taken apart: half a head is not seen behind that.
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
