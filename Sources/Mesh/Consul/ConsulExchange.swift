import NIOCore
import NIOHTTP1

struct ConsulRequest: Sendable {
  var method: HTTPMethod = .GET
  /// The path from `/v1/` on, in characters that need no escaping.
  var path: String
  /// The query, without `?`, escaped.
  var query = ""
  var body: ByteBuffer?
  var timeout: Duration?

  var place: String { "\(method.rawValue) \(path)" }
  var uri: String { query.isEmpty ? path : "\(path)?\(query)" }
}

struct ConsulResponse: Sendable {
  var status: Int
  /// `X-Consul-Index`: the next blocking query waits for an index beyond it. At least 1 where there is one.
  var index: UInt64?
  var body: ByteBuffer
}

/// One request and its answer, on a connection of its own.
///
/// The agent is on this machine and asked a few times a second: a connection each costs less than the care that pooled ones need.
final class ConsulExchange: ChannelInboundHandler {
  typealias InboundIn = NIOHTTPClientResponseFull
  typealias OutboundOut = HTTPClientRequestPart

  private let request: ConsulRequest
  private let host: String
  private let token: String?
  private let promise: EventLoopPromise<ConsulResponse>
  private let timeout: Duration
  private var deadline: Scheduled<Void>?

  init(
    _ request: ConsulRequest, host: String, token: String?, timeout: Duration, promise: EventLoopPromise<ConsulResponse>
  ) {
    self.request = request
    self.host = host
    self.token = token
    self.timeout = timeout
    self.promise = promise
  }

  func channelActive(context: ChannelHandlerContext) {
    // A cancellation closed the channel before it was announced.
    guard context.channel.isActive else { return }
    var headers: HTTPHeaders = ["Host": host, "Connection": "close", "Accept": "application/json"]
    if let token { headers.add(name: "X-Consul-Token", value: token) }
    if let body = request.body {
      headers.add(name: "Content-Type", value: "application/json")
      headers.add(name: "Content-Length", value: String(body.readableBytes))
    } else if request.method != .GET {
      headers.add(name: "Content-Length", value: "0")
    }
    let head = HTTPRequestHead(version: .http1_1, method: request.method, uri: request.uri, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if let body = request.body { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)

    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: TimeAmount(timeout)) {
      let (handler, context) = bound.value
      handler.fail(ConsulError(.timeout, request: handler.request.place, "no answer within \(handler.timeout)"), context)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let answer = unwrapInboundIn(data)
    deadline?.cancel()
    let index = answer.head.headers.first(name: "X-Consul-Index").flatMap { UInt64($0) }
    promise.succeed(
      ConsulResponse(status: Int(answer.head.status.code), index: index.map { max(1, $0) }, body: answer.body ?? ByteBuffer()))
    context.close(promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    let code: ConsulError.Code = error is NIOHTTPObjectAggregatorError || error is HTTPParserError ? .malformed : .unreachable
    fail(ConsulError(code, request: request.place, "\(error)"), context)
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    promise.fail(ConsulError(.unreachable, request: request.place, "the connection ended before the answer"))
  }

  private func fail(_ error: ConsulError, _ context: ChannelHandlerContext) {
    promise.fail(error)
    context.close(promise: nil)
  }
}

extension TimeAmount {
  /// Exact to the nanosecond; longer durations than 292 years become 292 years.
  init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    self = .nanoseconds(overflow ? .max : whole + attoseconds / 1_000_000_000)
  }
}
