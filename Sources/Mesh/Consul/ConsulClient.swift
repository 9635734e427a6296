import Foundation
import HTTPClient
import Logging
import NIOCore
import Synchronization

/// Asks the local Consul agent, over HTTP on loopback.
///
/// Nothing is tried again here: watches (`watch`) and the loops of the registration and of leases do so with their own backoff.
public final class ConsulClient: Sendable {
  let configuration: ConsulConfiguration
  let logger: Logger
  private let group: any EventLoopGroup
  private let token: Mutex<String?>

  /// - Throws: If the token's file cannot be read.
  public init(_ configuration: ConsulConfiguration, group: any EventLoopGroup, logger: Logger) throws(ConsulError) {
    self.configuration = configuration
    self.group = group
    self.logger = logger
    token = Mutex(try ConsulClient.readToken(configuration))
  }

  /// - Returns: Any answer whose status is 200, or 404 where `mayMiss`.
  func send(_ request: ConsulRequest, mayMiss: Bool = false) async throws(ConsulError) -> ConsulResponse {
    let used = token.withLock { $0 }
    var response = try await exchange(request, token: used)
    if response.status == 403, configuration.tokenFile != nil {
      // The token may have been replaced since it was read.
      let fresh = try ConsulClient.readToken(configuration)
      token.withLock { $0 = fresh }
      if fresh != used { response = try await exchange(request, token: fresh) }
    }
    switch response.status {
    case 200: return response
    case 404 where mayMiss: return response
    case 403: throw ConsulError(.forbidden, request: request.place, response.text)
    case 404: throw ConsulError(.missing, request: request.place, response.text)
    default: throw ConsulError(.failed, request: request.place, "\(response.status): \(response.text)")
    }
  }

  /// Each request has a connection of its own: the agent is on this machine and is asked a few times a second, so a pool would
  /// cost more.
  private func exchange(_ request: ConsulRequest, token: String?) async throws(ConsulError) -> ConsulResponse {
    let place = configuration.place
    var exchange =
      configuration.socket.map { HTTPExchange(.unixSocket(path: $0), host: "localhost", request.http(token: token)) }
      ?? HTTPExchange(.host(configuration.host, port: configuration.port), host: place, request.http(token: token))
    exchange.timeout = request.timeout ?? configuration.timeout
    exchange.connectTimeout = configuration.timeout
    do throws(ClientFailure) {
      return ConsulResponse(try await exchange.run(group: group))
    } catch {
      throw ConsulError(error, request, at: place, timeout: exchange.timeout)
    }
  }

  func decode<Value: Decodable>(_ type: Value.Type, _ response: ConsulResponse, of request: ConsulRequest)
    throws(ConsulError) -> Value
  {
    do {
      return try JSONDecoder().decode(type, from: Data(response.body.readableBytesView))
    } catch {
      throw ConsulError(.malformed, request: request.place, "\(error)")
    }
  }

  func encode(_ value: some Encodable, for place: String) throws(ConsulError) -> ByteBuffer {
    do {
      return ByteBuffer(bytes: try JSONEncoder().encode(value))
    } catch {
      throw ConsulError(.malformed, request: place, "\(error)")
    }
  }

  private static func readToken(_ configuration: ConsulConfiguration) throws(ConsulError) -> String? {
    guard let path = configuration.tokenFile else { return nil }
    func failure(_ detail: String) -> ConsulError { ConsulError(.forbidden, request: "token file \(path)", detail) }
    guard let file = FileHandle(forReadingAtPath: path) else { throw failure("cannot be opened") }
    defer { file.closeFile() }
    do {
      let data = try file.read(upToCount: ConsulConfiguration.tokenBytesMax + 1) ?? Data()
      guard data.count <= ConsulConfiguration.tokenBytesMax, let text = String(validating: data, as: UTF8.self)
      else { throw failure("is no token") }
      let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
      guard !token.isEmpty, token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw failure("is no token") }
      return token
    } catch let error as ConsulError {
      throw error
    } catch {
      throw failure("cannot be read: \(error)")
    }
  }
}

extension ConsulResponse {
  /// For messages.
  var text: String { String(buffer: body.getSlice(at: body.readerIndex, length: min(body.readableBytes, 512)) ?? ByteBuffer()) }
}
