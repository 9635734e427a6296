import NIOCore
import NIOHTTP1
import WebSocket

/// The opening handshake: asks for the upgrade, and makes an error of any other answer.
final class DeviceHandshake: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  /// The bound of a refusal's body.
  private static let detailBytesMax = 4096

  private let uri: String
  private let configuration: DeviceClientConfiguration
  private let session: DeviceSession
  private let attempt: Int
  private var upgrader: WebSocketClientUpgrader?
  private var status: HTTPResponseStatus?
  private var retryAfter: String?
  private var detail = ByteBuffer()
  private var failure = "the connection was closed in the handshake"
  private var isUpgraded = false

  private init(uri: String, configuration: DeviceClientConfiguration, session: DeviceSession, attempt: Int) {
    self.uri = uri
    self.configuration = configuration
    self.session = session
    self.attempt = attempt
  }

  /// Sets up a channel that is about to connect.
  static func configure(
    _ channel: any Channel, uri: String, configuration: DeviceClientConfiguration, session: DeviceSession, attempt: Int
  ) throws {
    let handler = DeviceHandshake(uri: uri, configuration: configuration, session: session, attempt: attempt)
    let upgrader = WebSocketClientUpgrader(
      WebSocketClientHandshake(
        subprotocols: ["penstock.v1"], deflate: configuration.deflate ? WebSocketDeflateSettings() : nil)
    ) { context, agreement in
      handler.isUpgraded = true
      let operations = context.pipeline.syncOperations
      do {
        try operations.addHandler(DeviceHandler(session: session, attempt: attempt, agreement: agreement))
      } catch {
        return context.eventLoop.makeFailedFuture(error)
      }
      return operations.removeHandler(handler)
    }
    handler.upgrader = upgrader
    let operations = channel.pipeline.syncOperations
    try operations.addHTTPClientHandlers(
      leftOverBytesStrategy: .forwardBytes, withClientUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
    try operations.addHandler(handler)
  }

  func channelActive(context: ChannelHandlerContext) {
    var headers: HTTPHeaders = ["Host": "\(configuration.host):\(configuration.port)"]
    for (name, value) in configuration.headers { headers.add(name: name, value: value) }
    context.write(
      wrapOutboundOut(.head(HTTPRequestHead(version: .http1_1, method: .GET, uri: uri, headers: headers))), promise: nil)
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
    switch unwrapInboundIn(data) {
    case .head(let head):
      status = head.status
      retryAfter = head.headers.first(name: "Retry-After")
    case .body(var part):
      if detail.readableBytes < DeviceHandshake.detailBytesMax { detail.writeBuffer(&part) }
    case .end:
      refuse()
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
    case 101:
      let reason = upgrader?.failure.map { "\($0)" } ?? "unknown"
      session.refused(attempt, DeviceClientError(.refused, "the server's handshake is not WebSocket's (\(reason))"))
    default:
      session.refused(
        attempt, DeviceClientError(.refused, "\(failure). Is \(configuration.host):\(configuration.port) the ingest service?"))
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
    failure = "\(error)"
    context.close(promise: nil)
  }
}

extension String {
  fileprivate func trimmingSuffix(_ isTrimmed: (Character) -> Bool) -> String {
    var text = self[...]
    while let last = text.last, isTrimmed(last) { text.removeLast() }
    return String(text)
  }
}
