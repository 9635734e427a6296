import NIOCore
import NIOPosix
import Synchronization
import Testing

/// A connection that gathers what comes.
final class RawConnection: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  private let received = Mutex("")

  var text: String { received.withLock { $0 } }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let text = String(buffer: unwrapInboundIn(data))
    received.withLock { $0 += text }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  /// Connects, and sends a text.
  static func dial(_ address: SocketAddress, _ text: String) async throws -> RawConnection {
    let connection = RawConnection()
    let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .channelInitializer { channel in channel.pipeline.addHandler(connection) }
      .connect(to: address).get()
    try await channel.writeAndFlush(ByteBuffer(string: text)).get()
    return connection
  }
}

/// Waits until a condition holds, and fails the test after a minute.
func eventually(_ condition: () async throws -> Bool) async throws {
  let deadline = ContinuousClock.now + .seconds(60)
  while try await !condition() {
    try #require(ContinuousClock.now < deadline, "waited too long")
    try await Task.sleep(for: .milliseconds(2))
  }
}
