import Events
import NIOCore
import NIOHTTP1
import Serving

/// One connection to a peer, with at most one request under way. Belongs to its channel's event loop.
final class PeerConnection: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  /// A request under way.
  private struct Exchange {
    var promise: EventLoopPromise<Result<WireResponse, PeerError>>
    var answerBytesMax: Int
    var head: HTTPResponseHead?
    var body = ByteBuffer()
    var deadline: Scheduled<Void>?
  }

  /// Connections idle for this long are closed: what is not used need not be kept authorised.
  static let idleTimeout = TimeAmount.seconds(60)

  let peer: Peer
  private let service: String
  private var context: ChannelHandlerContext?
  private var exchange: Exchange?
  private(set) var isUsable = true
  /// Told when the connection can take another request, or (false) never will.
  var onIdle: ((Bool) -> Void)?

  init(peer: Peer, service: String) {
    self.peer = peer
    self.service = service
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    fail(.disconnected, "the connection ended")
    self.context = nil
  }

  /// Sends a request; the connection is idle.
  /// - Parameter promise: Succeeds once, with the answer or with what went wrong.
  func send(_ request: WireRequest, deadline: NIODeadline, promise: EventLoopPromise<Result<WireResponse, PeerError>>) {
    precondition(exchange == nil, "one request at a time")
    guard let context, isUsable else {
      return promise.succeed(.failure(PeerError(.disconnected, service: service, peer: peer, "the connection ended")))
    }
    var exchange = Exchange(promise: promise, answerBytesMax: request.answerBytesMax)
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    exchange.deadline = context.eventLoop.scheduleTask(deadline: deadline) {
      bound.value.fail(.timeout, "no answer in time to \(request.method) \(request.path)")
    }
    self.exchange = exchange
    var head = HTTPRequestHead(version: .http1_1, method: request.method, uri: request.target)
    head.headers.add(name: "Host", value: service)
    head.headers.add(name: WireVersion.header, value: String(WireVersion.current))
    if let log = request.log { head.headers.add(name: WireVersion.logHeader, value: log) }
    if let id = request.id { head.headers.add(name: RequestID.header, value: id.description) }
    if let contentType = request.contentType { head.headers.add(name: "Content-Type", value: contentType) }
    if request.body.readableBytes > 0 || request.method == .POST {
      head.headers.add(name: "Content-Length", value: String(request.body.readableBytes))
    }
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if request.body.readableBytes > 0 { context.write(wrapOutboundOut(.body(.byteBuffer(request.body))), promise: nil) }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  /// Gives the request under way up, and the connection with it.
  func cancel() { fail(.closed, "given up by the caller") }

  func close() {
    isUsable = false
    context?.close(promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard exchange != nil else { return fail(.malformed, "bytes that answer nothing") }
    switch unwrapInboundIn(data) {
    case .head(let head):
      guard head.headers.first(name: WireVersion.header) == String(WireVersion.current) else {
        return fail(.malformed, "the answer (\(head.status.code)) is none of wire version \(WireVersion.current)")
      }
      exchange?.head = head
      if let length = head.headers.first(name: "Content-Length").flatMap({ Int($0) }) {
        guard length <= exchange?.answerBytesMax ?? 0 else { return failTooLarge() }
        exchange?.body.reserveCapacity(length)
      }
    case .body(var part):
      guard let held = exchange?.body.readableBytes, held + part.readableBytes <= exchange?.answerBytesMax ?? 0 else {
        return failTooLarge()
      }
      if held == 0, part.readableBytes > exchange?.body.writableBytes ?? 0 {
        exchange?.body = part
      } else {
        exchange?.body.writeBuffer(&part)
      }
    case .end:
      guard let ended = exchange, let head = ended.head else { return fail(.malformed, "an answer without a head") }
      ended.deadline?.cancel()
      exchange = nil
      if !head.isKeepAlive { close() }
      var headers: [String: String] = [:]
      for (name, value) in head.headers { headers[name.lowercased()] = value }
      let response = WireResponse(
        status: Int(head.status.code), contentType: headers["content-type"] ?? "", headers: headers, body: ended.body)
      // The pool first, so that who is told can send its next request on this connection.
      onIdle?(isUsable)
      ended.promise.succeed(.success(response))
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    fail(.disconnected, "the connection ended")
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let error = error as? PeerError {
      fail(error.code, error.detail)
    } else {
      fail(.disconnected, "\(error)")
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent, exchange == nil { fail(.closed, "idle") }
    context.fireUserInboundEventTriggered(event)
  }

  private func failTooLarge() { fail(.malformed, "the answer is longer than \(exchange?.answerBytesMax ?? 0) bytes") }

  private func fail(_ code: PeerError.Code, _ detail: String) {
    let wasUsable = isUsable
    close()
    guard let failed = exchange else {
      if wasUsable { onIdle?(false) }
      return
    }
    failed.deadline?.cancel()
    exchange = nil
    if wasUsable { onIdle?(false) }
    failed.promise.succeed(.failure(PeerError(code, service: service, peer: peer, detail)))
  }
}
