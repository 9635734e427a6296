import NIOCore
import NIOHTTP1
import NIOPosix

/// One HTTP/1.1 request, on a connection of its own.
public struct HTTPExchange: Sendable {
  /// Puts TLS first in the pipeline of a connection to the named host.
  public typealias Securing = @Sendable (any Channel, _ host: String) throws -> Void

  public struct Response: Sendable {
    public var status: Int
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]
  }

  /// Why there is no answer.
  public enum Failure: Error, Sendable, CustomStringConvertible {
    /// Nobody takes connections there.
    case unreachable(String)
    case timedOut
    /// The answer is larger than was allowed.
    case tooLarge
    /// TLS was not agreed on, or the connection ended before the answer had.
    case broken(String)
    case cancelled

    public var description: String {
      switch self {
      case .unreachable(let reason): "no connection: \(reason)"
      case .timedOut: "no answer in time"
      case .tooLarge: "the answer is too large"
      case .broken(let reason): reason
      case .cancelled: "cancelled"
      }
    }
  }

  public var url: ServiceURL
  public var method = "GET"
  /// Besides `Host`, `Content-Length` and `Connection`.
  public var headers: [(name: String, value: String)] = []
  public var body: [UInt8] = []
  /// Of the whole exchange.
  public var timeout = Duration.seconds(60)
  /// Of the answer's body.
  public var bodyBytesMax = 64 << 20

  public init(_ url: ServiceURL) { self.url = url }

  /// - Parameters:
  ///   - secure: Called for `https`; without it, such a request fails.
  ///   - group: Whose loop carries the connection.
  /// - Throws: `Failure`.
  public func run(secure: Securing?, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton) async throws(Failure)
    -> Response
  {
    if url.isSecure, secure == nil { throw .broken("this build has no TLS") }
    let eventLoop = group.next()
    let answered = eventLoop.makePromise(of: Response.self)
    let deadline = eventLoop.scheduleTask(in: .nanoseconds(Int64(timeout / .nanoseconds(1)))) { answered.fail(Failure.timedOut) }
    defer { deadline.cancel() }
    let exchange = self
    let connecting = ClientBootstrap(group: eventLoop)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let operations = channel.pipeline.syncOperations
          if exchange.url.isSecure, let secure { try secure(channel, exchange.url.host) }
          try operations.addHTTPClientHandlers()
          try operations.addHandler(HTTPExchangeHandler(exchange, answered: answered))
        }
      }
      .connect(host: url.host, port: url.port)
    connecting.whenFailure { answered.fail(Failure.unreachable("\($0)")) }
    // However it ends, by an answer, the deadline or a cancellation, the connection goes.
    answered.futureResult.whenComplete { _ in connecting.whenSuccess { $0.close(promise: nil) } }
    do {
      return try await withTaskCancellationHandler {
        try await answered.futureResult.get()
      } onCancel: {
        answered.fail(Failure.cancelled)
      }
    } catch let failure as Failure {
      throw failure
    } catch {
      throw .broken("\(error)")
    }
  }
}

/// Sends the request once connected, and gathers the answer.
private final class HTTPExchangeHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private let exchange: HTTPExchange
  private let answered: EventLoopPromise<HTTPExchange.Response>
  private var response: HTTPExchange.Response?

  init(_ exchange: HTTPExchange, answered: EventLoopPromise<HTTPExchange.Response>) {
    self.exchange = exchange
    self.answered = answered
  }

  func channelActive(context: ChannelHandlerContext) {
    var headers: HTTPHeaders = ["Host": exchange.url.authority, "Connection": "close"]
    for (name, value) in exchange.headers { headers.add(name: name, value: value) }
    if !exchange.body.isEmpty || exchange.method != "GET" { headers.add(name: "Content-Length", value: "\(exchange.body.count)") }
    let head = HTTPRequestHead(
      version: .http1_1, method: HTTPMethod(rawValue: exchange.method),
      uri: exchange.url.target.isEmpty ? "/" : exchange.url.target, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if !exchange.body.isEmpty {
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: exchange.body)))), promise: nil)
    }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      // 1xx come before the answer.
      guard head.status.code >= 200 else { return }
      response = HTTPExchange.Response(
        status: Int(head.status.code), headers: head.headers.map { (name: $0.name, value: $0.value) }, body: [])
    case .body(let part):
      guard (response?.body.count ?? 0) + part.readableBytes <= exchange.bodyBytesMax else {
        answered.fail(HTTPExchange.Failure.tooLarge)
        return
      }
      response?.body.append(contentsOf: part.readableBytesView)
    case .end:
      if let response { answered.succeed(response) }
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    answered.fail(HTTPExchange.Failure.broken("the connection ended before the answer had"))
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    answered.fail(HTTPExchange.Failure.broken("\(error)"))
    context.close(promise: nil)
  }
}
