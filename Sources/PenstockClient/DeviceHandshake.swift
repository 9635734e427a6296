import NIOCore
import NIOHTTP1
import WebSocket

/// The opening handshake: asks for the upgrade, and makes an error of any other answer.
///
/// `HeadSplitter` lets the answer's head through by itself, and the connection is upgraded at once. NIO's own upgrade takes turns
/// of the event loop: it loses frames that come in one segment with the head and the connection's end.
final class DeviceHandshake: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  /// The bound of a refusal's body.
  private static let detailBytesMax = 4096

  private let uri: String
  private let configuration: DeviceClientConfiguration
  private let session: DeviceSession
  private let attempt: Int
  private let handshake: WebSocketClientHandshake
  private let splitter: HeadSplitter
  private var status: HTTPResponseStatus?
  private var retryAfter: String?
  private var detail = ByteBuffer()
  private var failure = "the connection was closed in the handshake"
  private var isUpgraded = false

  private init(
    uri: String, configuration: DeviceClientConfiguration, session: DeviceSession, attempt: Int, splitter: HeadSplitter
  ) {
    handshake = WebSocketClientHandshake(
      subprotocols: ["penstock.v1"], deflate: configuration.deflate ? WebSocketDeflateSettings() : nil)
    self.splitter = splitter
    self.uri = uri
    self.configuration = configuration
    self.session = session
    self.attempt = attempt
  }

  /// Sets up a channel that is about to connect.
  static func configure(
    _ channel: any Channel, uri: String, configuration: DeviceClientConfiguration, session: DeviceSession, attempt: Int
  ) throws {
    let splitter = HeadSplitter()
    let operations = channel.pipeline.syncOperations
    try operations.addHandler(splitter)
    try operations.addHTTPClientHandlers()
    try operations.addHandler(
      DeviceHandshake(uri: uri, configuration: configuration, session: session, attempt: attempt, splitter: splitter))
  }

  func channelActive(context: ChannelHandlerContext) {
    let head = handshake.requestHead(
      uri: uri, host: configuration.authority,
      headers: HTTPHeaders(configuration.headers.map { ($0.name, $0.value) }))
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    context.eventLoop.scheduleTask(in: .nanoseconds(Int64(configuration.connectTimeout / .nanoseconds(1)))) {
      guard !bound.value.handler.isUpgraded else { return }
      bound.value.handler.failure = "the server did not answer the handshake"
      bound.value.context.close(promise: nil)
    }
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isUpgraded else { return }
    switch unwrapInboundIn(data) {
    case .head(let head):
      if head.status == .switchingProtocols { return upgrade(context, head) }
      status = head.status
      retryAfter = head.headers.first(name: "Retry-After")
    case .body(var part):
      if detail.readableBytes < DeviceHandshake.detailBytesMax { detail.writeBuffer(&part) }
    case .end:
      refuse()
      context.close(promise: nil)
    }
  }

  private func upgrade(_ context: ChannelHandlerContext, _ head: HTTPResponseHead) {
    do throws(WebSocketHandshakeError) {
      let agreement = try handshake.check(head)
      isUpgraded = true
      do {
        // Before what speaks HTTP, which sees nothing more.
        try context.pipeline.syncOperations.addHandler(
          DeviceHandler(session: session, attempt: attempt, agreement: agreement), position: .after(splitter))
      } catch {
        context.fireErrorCaught(error)
      }
    } catch {
      session.refused(attempt, DeviceClientError(.refused, "the server's handshake is not WebSocket's (\(error))"))
      context.close(promise: nil)
    }
  }

  private func refuse() {
    guard let status else { return }
    let said = String(buffer: detail).trimmingSuffix { $0.isWhitespace }
    failure = "the server answered \(status.code)" + (said.isEmpty ? "" : ": \(said)")
    switch status.code {
    case let code where RetryRules.isTriedAgain(status: code):
      session.postponed(attempt, by: RetryRules.retryAfter(retryAfter))
    default:
      session.refused(
        attempt, DeviceClientError(.refused, "\(failure). Is \(configuration.authority) the ingest service?"))
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    if !isUpgraded {
      refuse()
      session.connectionEnded(attempt, failure)
    }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // An HTTP decoder that is left behind is not asked.
    guard !isUpgraded else { return }
    failure = "\(error)"
    context.close(promise: nil)
  }
}

/// Lets an answer's head through by itself, and what comes with it after that: by then the next handler may be another.
private final class HeadSplitter: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private static let end = Array("\r\n\r\n".utf8)
  /// How much of the head's end has come.
  private var matched = 0

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard matched < HeadSplitter.end.count else { return context.fireChannelRead(data) }
    var bytes = unwrapInboundIn(data)
    let length = bytes.readableBytesView.prefix { byte in
      guard matched < HeadSplitter.end.count else { return false }
      matched = byte == HeadSplitter.end[matched] ? matched + 1 : byte == HeadSplitter.end[0] ? 1 : 0
      return true
    }.count
    if let head = bytes.readSlice(length: length) { context.fireChannelRead(wrapInboundOut(head)) }
    if bytes.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(bytes)) }
  }
}

extension String {
  fileprivate func trimmingSuffix(_ isTrimmed: (Character) -> Bool) -> String {
    var text = self[...]
    while let last = text.last, isTrimmed(last) { text.removeLast() }
    return String(text)
  }
}
