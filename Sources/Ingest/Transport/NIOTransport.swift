import Events
import NIOCore
import Serving
import WebSocket

/// A session over a channel of NIO's: for TLS, and where there is no reactor.
final class NIOTransport: ChannelDuplexHandler, SessionTransport {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let session: WebSocketSession
  private var context: ChannelHandlerContext?
  private var isReadWanted = false
  private var isEnding = false
  private var heartbeat: RepeatedTask?
  private var closeTask: Scheduled<Void>?

  init(_ session: WebSocketSession) { self.session = session }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    do {
      // A peer that has closed may end its side before it has its answer.
      try context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    } catch {
      context.fireErrorCaught(error)
    }
    let beat = TimeAmount.nanoseconds(Int64(session.heartbeat / .nanoseconds(1)))
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    heartbeat = context.eventLoop.scheduleRepeatedTask(initialDelay: beat, delay: beat) { _ in
      bound.value.session.beat()
      bound.value.sessionChanged()
    }
    session.start(on: self)
    sessionChanged()
  }

  func handlerRemoved(context: ChannelHandlerContext) { end() }

  var isFromThisMachine: Bool { context?.channel.isFromThisMachine ?? false }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // Nothing more comes: only a connection that closes in order still has something to send.
    if case .inputClosed? = event as? ChannelEvent, !session.isFinishing, !session.isClosing { context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // The connection broke: nothing can be sent any more, and the received messages go on to the log.
    context.close(promise: nil)
  }

  private func end() {
    context = nil
    heartbeat?.cancel()
    heartbeat = nil
    closeTask?.cancel()
    closeTask = nil
    session.end()
  }

  // MARK: reading

  func read(context: ChannelHandlerContext) {
    if session.receivableBytesMax > 0 { context.read() } else { isReadWanted = true }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    unwrapInboundIn(data).withUnsafeReadableBytes { session.receive($0) }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    sessionChanged()
    context.fireChannelReadComplete()
  }

  // MARK: writing

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    session.writabilityChanged(to: context.channel.isWritable)
    sessionChanged()
    context.fireChannelWritabilityChanged()
  }

  func sessionChanged() {
    guard let context else { return }
    // Bytes that the channel has no room for stay with the session, which bounds them.
    while !session.isClosing, session.outgoing.readableBytes > 0, context.channel.isWritable {
      context.writeAndFlush(wrapOutboundOut(session.takeOutgoing()), promise: nil)
    }
    if session.isClosing { close(context) }
    if isReadWanted, session.receivableBytesMax > 0 {
      isReadWanted = false
      context.read()
    }
  }

  var unsentBytes: Int {
    guard let context else { return 0 }
    do {
      return try context.channel.syncOptions?.getOption(.bufferedWritableBytes) ?? 0
    } catch {
      // The channel is gone: its end is on its way here.
      return 0
    }
  }

  /// Sends the remaining bytes, the close frame last, then ends our side. The connection itself is closed when the peer
  /// has closed its side: closing with bytes unread would send a reset, which can overtake the close frame.
  private func close(_ context: ChannelHandlerContext) {
    guard !isEnding else { return }
    isEnding = true
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(session.takeOutgoing())).assumeIsolated().whenComplete { _ in
      bound.value.close(mode: .output, promise: nil)
    }
    closeTask = context.eventLoop.scheduleTask(in: .nanoseconds(Int64(WebSocketSession.closeTimeout / .nanoseconds(1)))) {
      bound.value.close(promise: nil)
    }
  }
}
