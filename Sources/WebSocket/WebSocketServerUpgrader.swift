import NIOCore
import NIOHTTP1

/// A server's decision about a well-formed handshake.
public enum WebSocketUpgradeDecision: Sendable {
  /// - Parameters:
  ///   - subprotocol: A subprotocol that the request names, or nil.
  ///   - headers: Headers to add to the 101 response.
  case accept(subprotocol: String?, headers: HTTPHeaders = [:])
  /// The request goes on to the next HTTP handler; see `WebSocketServerUpgrader`.
  case refuse(WebSocketRefusal)
}

/// Upgrades an HTTP/1.1 server's connection to WebSocket, by NIO's `HTTPServerUpgradeHandler`.
///
/// One per channel, made in its initialiser: it remembers what its request agreed on, and is not Sendable.
///
/// A refused request, by `shouldUpgrade` or because it is malformed, is not answered here: the next handler gets the
/// `WebSocketRefusal` by `errorCaught`, then the request as if it asked for no upgrade, and answers with the refusal.
public final class WebSocketServerUpgrader: HTTPServerProtocolUpgrader {
  /// Looks at path, query and headers; called on the channel's event loop.
  public typealias ShouldUpgrade = (any Channel, HTTPRequestHead) -> EventLoopFuture<WebSocketUpgradeDecision>
  /// Adds the handlers that speak WebSocket and removes those that speak HTTP and NIO doesn't know of; all bytes that arrive
  /// until it is done are kept for them.
  public typealias UpgradePipeline = (ChannelHandlerContext, WebSocketAgreement, HTTPRequestHead) -> EventLoopFuture<Void>

  public let supportedProtocol = "websocket"
  // NIO wants names given here in the request's Connection header, where clients name Upgrade only.
  public let requiredUpgradeHeaders: [String] = []

  private let deflate: WebSocketDeflateSettings?
  private let shouldUpgrade: ShouldUpgrade
  private let upgradePipelineHandler: UpgradePipeline
  private var agreement = WebSocketAgreement()

  /// - Parameters:
  ///   - deflate: The compression to accept; nil for none.
  ///   - shouldUpgrade: Decides about each well-formed handshake.
  ///   - upgradePipelineHandler: Sets up the connection's pipeline after the upgrade.
  public init(
    deflate: WebSocketDeflateSettings?, shouldUpgrade: @escaping ShouldUpgrade,
    upgradePipelineHandler: @escaping UpgradePipeline
  ) {
    self.deflate = deflate
    self.shouldUpgrade = shouldUpgrade
    self.upgradePipelineHandler = upgradePipelineHandler
  }

  public func buildUpgradeResponse(
    channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
  ) -> EventLoopFuture<HTTPHeaders> {
    let key: String
    do throws(WebSocketHandshakeError) {
      key = try WebSocketHandshake.check(upgradeRequest)
    } catch {
      return channel.eventLoop.makeFailedFuture(WebSocketHandshake.refusal(of: error))
    }
    return shouldUpgrade(channel, upgradeRequest).assumeIsolated().flatMapThrowing { decision in
      switch decision {
      case .refuse(let refusal):
        throw refusal
      case .accept(let subprotocol, let added):
        let (agreement, headers) = WebSocketHandshake.accept(
          upgradeRequest, key: key, subprotocol: subprotocol, deflate: self.deflate)
        self.agreement = agreement
        var response = initialResponseHeaders
        response.add(contentsOf: headers)
        response.add(contentsOf: added)
        return response
      }
    }.nonisolated()
  }

  public func upgrade(context: ChannelHandlerContext, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
    upgradePipelineHandler(context, agreement, upgradeRequest)
  }
}
