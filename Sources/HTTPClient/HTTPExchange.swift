import NIOCore
import NIOPosix

/// One request, on a connection of its own.
public struct HTTPExchange: Sendable {
  /// Puts TLS first in the pipeline of a connection to the named host.
  public typealias Securing = @Sendable (any Channel, _ host: String) throws -> Void

  public enum Address: Sendable, Hashable {
    case host(String, port: Int)
    case unixSocket(path: String)
  }

  private struct WithoutTLS: Error, CustomStringConvertible {
    let description = "this build has no TLS"
  }

  public var address: Address
  public var isSecure = false
  public var request: ClientRequest
  /// The time for the whole exchange.
  public var timeout = Duration.seconds(60)
  /// The time for its connection.
  public var connectTimeout = Duration.seconds(10)

  /// - Parameters:
  ///   - address: The server's address.
  ///   - host: For the `Host` header.
  ///   - request: The request with all further headers.
  public init(_ address: Address, host: String, _ request: ClientRequest) {
    self.address = address
    self.request = request
    self.request.headers.add(name: "Host", value: host)
    self.request.headers.add(name: "Connection", value: "close")
  }

  public init(_ url: ServiceURL) {
    self.init(
      .host(url.host, port: url.port), host: url.authority, ClientRequest(.GET, url.target.isEmpty ? "/" : url.target))
    isSecure = url.isSecure
  }

  /// - Parameters:
  ///   - secure: Called for `https`; without it, such a request fails.
  ///   - group: The group whose loop carries the connection.
  /// - Throws: `ClientFailure`, at the timeout at the latest.
  public func run(secure: Securing? = nil, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton)
    async throws(ClientFailure) -> ClientAnswer
  {
    if isSecure, secure == nil { throw .broken(WithoutTLS()) }
    let eventLoop = group.next()
    let (request, deadline) = (request, NIODeadline.now() + TimeAmount(timeout))
    let answered = eventLoop.makePromise(of: ClientConnection.Outcome.self)
    let expiry = eventLoop.scheduleTask(deadline: deadline) { answered.succeed(.failure(.timedOut)) }
    let connecting = connect(on: eventLoop, secure)
    connecting.whenComplete { result in
      switch result {
      case .failure(let error): answered.succeed(.failure(.unreachable(error)))
      case .success(let channel):
        do {
          let connection = try channel.pipeline.syncOperations.handler(type: ClientConnection.self)
          connection.send(request, deadline: deadline) { answered.succeed($0) }
        } catch {
          answered.succeed(.failure(.ended))
        }
      }
    }
    // The connection closes in any case, after an answer, the deadline or a cancellation.
    answered.futureResult.whenComplete { _ in
      expiry.cancel()
      connecting.whenSuccess { $0.close(promise: nil) }
    }
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in answered.futureResult.whenSuccess { continuation.resume(returning: $0) } }
    } onCancel: {
      answered.succeed(.failure(.cancelled))
    }
    return try outcome.get()
  }

  private func connect(on eventLoop: any EventLoop, _ secure: Securing?) -> EventLoopFuture<any Channel> {
    let (address, isSecure) = (address, isSecure)
    let bootstrap = ClientBootstrap(group: eventLoop)
      .connectTimeout(TimeAmount(min(connectTimeout, timeout)))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if case .host(let host, _) = address {
            try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
            if isSecure, let secure { try secure(channel, host) }
          }
          try ClientConnection().add(to: channel)
        }
      }
    switch address {
    case .host(let host, let port): return bootstrap.connect(host: host, port: port)
    case .unixSocket(let path): return bootstrap.connect(unixDomainSocketPath: path)
    }
  }
}
