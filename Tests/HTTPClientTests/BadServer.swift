import NIOCore
import NIOPosix

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A server on loopback that answers bytes with what it is told to, sound or not.
final class BadServer: Sendable {
  enum Step: Sendable {
    case bytes(String)
    /// One byte a turn of the event loop.
    case byByte(String)
    case close
    case reset
    /// The next steps are for the next request.
    case awaitRequest
  }

  private let channel: any Channel
  let port: Int

  /// - Parameter steps: Begun anew on each connection, with the first byte of its first request.
  init(_ steps: [Step]) async throws {
    channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Steps(steps)) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    port = channel.localAddress?.port ?? 0
  }

  func stop() async throws { try await channel.close() }
}

private final class Steps: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var steps: [BadServer.Step]
  private var request = ""

  init(_ steps: [BadServer.Step]) { self.steps = steps }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    request += String(buffer: unwrapInboundIn(data))
    guard request.hasSuffix("\r\n\r\n") else { return }
    request = ""
    go(context)
  }

  private func go(_ context: ChannelHandlerContext) {
    while !steps.isEmpty {
      switch steps.removeFirst() {
      case .bytes(let text): write(context, text)
      case .byByte(let text):
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        for character in text { context.eventLoop.execute { bound.value.0.write(bound.value.1, String(character)) } }
        context.eventLoop.execute { bound.value.0.go(bound.value.1) }
        return
      case .close: return context.close(promise: nil)
      case .reset:
        guard let socket = context.channel as? any SocketOptionProvider else { return }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        return socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in bound.value.close(promise: nil) }
      case .awaitRequest: return
      }
    }
  }

  private func write(_ context: ChannelHandlerContext, _ text: String) {
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
  }
}
