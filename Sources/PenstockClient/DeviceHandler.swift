import NIOCore
import WebSocket

/// Handles one upgraded connection: passes frames to the session.
final class DeviceHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// The bound of a server's message; a welcome with many sources is the largest.
  private static let messageBytesMax = 1 << 20

  private let session: DeviceSession
  private let attempt: Int
  private let agreement: WebSocketAgreement
  private var decoder: WebSocketFrameDecoder
  private let scratch = WebSocketScratch()
  private var failure = "the connection was closed"

  init(session: DeviceSession, attempt: Int, agreement: WebSocketAgreement) {
    self.session = session
    self.attempt = attempt
    self.agreement = agreement
    decoder = WebSocketFrameDecoder(
      role: .client, limits: WebSocketLimits(messageBytesMax: DeviceHandler.messageBytesMax), deflate: agreement.deflate)
  }

  func handlerAdded(context: ChannelHandlerContext) { session.upgraded(attempt, context, agreement) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    do throws(WebSocketViolation) {
      while let event = try decoder.next(&bytes, scratch) { session.received(attempt, event) }
    } catch {
      session.violated(attempt, error)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    session.flush()
    context.fireChannelReadComplete()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { session.pump() }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    session.connectionEnded(attempt, failure)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    failure = "\(error)"
    context.close(promise: nil)
  }
}
