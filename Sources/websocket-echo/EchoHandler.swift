import NIOCore
import WebSocket

/// Sends back each message, compressed if it came so; answers pings; shakes hands to close.
///
/// Stops reading while the peer does not take what is written. It then holds one read, and the channel's write buffer plus one
/// message.
final class EchoHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private enum State {
    case open
    /// Our close frame is sent: all bytes are dropped until the peer closes the connection, or time is up.
    case closing
  }

  /// Bytes are written to the channel at the latest when this many have gathered.
  private static let outgoingBytesMax = 64 * 1024
  /// How long a peer may take to close after our close frame.
  private static let closeTimeout = TimeAmount.seconds(2)

  private var decoder: WebSocketFrameDecoder
  private var encoder: WebSocketMessageEncoder
  private let scratch: WebSocketScratch
  private var state = State.open
  /// The bytes read and not decoded; empty unless paused.
  private var received = ByteBuffer()
  private var outgoing = ByteBuffer()
  private var isReadWanted = false
  private var isPaused = false

  init(
    limits: WebSocketLimits, agreement: WebSocketAgreement, settings: WebSocketDeflateSettings, scratch: WebSocketScratch
  ) {
    decoder = WebSocketFrameDecoder(role: .server, limits: limits, deflate: agreement.deflate)
    encoder = WebSocketMessageEncoder(role: .server, deflate: agreement.deflate, settings: settings)
    self.scratch = scratch
  }

  // MARK: - Reading

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard state == .open else { return }
    var buffer = unwrapInboundIn(data)
    if received.readableBytes == 0 { received = buffer } else { received.writeBuffer(&buffer) }
    if !isPaused { drain(context) }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    context.flush()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if isPaused && context.channel.isWritable {
      isPaused = false
      drain(context)
      context.flush()
      if !isPaused && isReadWanted {
        isReadWanted = false
        context.read()
      }
    }
    context.fireChannelWritabilityChanged()
  }

  func read(context: ChannelHandlerContext) {
    if isPaused { isReadWanted = true } else { context.read() }
  }

  private func drain(_ context: ChannelHandlerContext) {
    // A local copy: an inout access to a property each event would cost a check each time.
    var bytes = received
    received = ByteBuffer()
    do throws(WebSocketViolation) {
      while !isPaused, let event = try decoder.next(&bytes, scratch) {
        switch event {
        case .message(let message):
          encoder.write(message.kind, message.payload, compress: message.wasCompressed, scratch, into: &outgoing)
        case .ping(let payload):
          outgoing.writeWebSocketFrame(.pong, payload)
        case .pong:
          break
        case .close(let close):
          outgoing.writeWebSocketClose(close.code)
          finish(context)
          return
        }
        if outgoing.readableBytes >= Self.outgoingBytesMax {
          writeOutgoing(context)
          // Write what has gathered to the socket, else it counts as not taken by the peer.
          context.flush()
          isPaused = !context.channel.isWritable
        }
      }
    } catch {
      outgoing.writeWebSocketClose(error.closeCode, reason: error.description)
      finish(context)
      return
    }
    if isPaused { received = bytes }
    writeOutgoing(context)
    // The last of it may have filled the channel's write buffer too; its flush, on read complete, then wakes us.
    isPaused = isPaused || !context.channel.isWritable
  }

  private func writeOutgoing(_ context: ChannelHandlerContext) {
    guard outgoing.readableBytes > 0 else { return }
    context.write(wrapOutboundOut(outgoing), promise: nil)
    outgoing = ByteBuffer()
  }

  // MARK: - Closing

  /// Sends the remaining bytes, the close frame last, then ends our side. The connection itself is closed when the peer
  /// has closed its side: closing with bytes unread would send a reset, which can overtake the close frame.
  private func finish(_ context: ChannelHandlerContext) {
    state = .closing
    isPaused = false
    let loopBound = NIOLoopBound(context, eventLoop: context.eventLoop)
    // Only once all is written: closing the output drops what is not.
    context.writeAndFlush(wrapOutboundOut(outgoing)).assumeIsolated().whenSuccess {
      loopBound.value.close(mode: .output, promise: nil)
    }
    outgoing = ByteBuffer()
    if isReadWanted {
      isReadWanted = false
      context.read()
    }
    context.eventLoop.scheduleTask(in: Self.closeTimeout) { loopBound.value.close(promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // The connection broke, or its output was closed already: nothing can be said any more.
    context.close(promise: nil)
  }
}
