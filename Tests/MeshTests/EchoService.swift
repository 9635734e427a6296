import Logging
import Mesh
import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// Sends back what it gets, and counts it; what asks for `/readyz` is Consul's check, told that all is well and not counted.
final class EchoService: Sendable {
  let port: Int
  private let counts: Counts
  private let channel: any Channel

  final class Counts: Sendable {
    let bytes = Atomic<Int>(0)
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    let counts: Counts
    init(_ counts: Counts) { self.counts = counts }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let bytes = unwrapInboundIn(data)
      if String(buffer: bytes).hasPrefix("GET /readyz ") {
        let answer = ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
      }
      counts.bytes.add(bytes.readableBytes, ordering: .relaxed)
      context.writeAndFlush(data, promise: nil)
    }
  }

  static func start(_ group: any EventLoopGroup) async throws -> EchoService {
    let counts = Counts()
    let channel = try await ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Handler(counts)) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    return EchoService(port: channel.localAddress?.port ?? 0, counts: counts, channel: channel)
  }

  private init(port: Int, counts: Counts, channel: any Channel) {
    self.port = port
    self.counts = counts
    self.channel = channel
  }

  var bytesReceived: Int { counts.bytes.load(ordering: .relaxed) }
}

/// A caller's end: what came, and how it ended.
final class EchoClient: Sendable {
  private struct State {
    var received = 0
    var error: (any Error)?
    var isClosed = false
  }
  private let state = Mutex(State())
  private let channel: Mutex<(any Channel)?> = Mutex(nil)

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    let client: EchoClient
    init(_ client: EchoClient) { self.client = client }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let count = unwrapInboundIn(data).readableBytes
      client.state.withLock { $0.received += count }
    }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      client.state.withLock { $0.error = $0.error ?? error }
      context.close(promise: nil)
    }
    func channelInactive(context: ChannelHandlerContext) { client.state.withLock { $0.isClosed = true } }
  }

  #if Secure
    static func connect(_ dialler: ConnectDialler, to instance: MeshInstance, on loop: any EventLoop) async throws -> EchoClient {
      let client = EchoClient()
      let channel = try await dialler.connect(to: instance, on: loop) { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Handler(client)) }
      }.get()
      client.channel.withLock { $0 = channel }
      return client
    }
  #endif

  var received: Int { state.withLock { $0.received } }
  var error: (any Error)? { state.withLock { $0.error } }
  var isClosed: Bool { state.withLock { $0.isClosed } }

  func send(_ text: String) {
    channel.withLock { $0 }?.writeAndFlush(ByteBuffer(string: text), promise: nil)
  }

  /// Sends, and waits for as much to come back.
  /// - Returns: Whether it came.
  func exchange(_ text: String) async -> Bool {
    let wanted = received + text.utf8.count
    send(text)
    return await eventually { self.received >= wanted || self.isClosed } && received >= wanted
  }

  func close() { channel.withLock { $0 }?.close(promise: nil) }
}

/// Waits for a condition.
/// - Returns: Whether it came true before the deadline.
func eventually(within deadline: Duration = .seconds(20), _ condition: () async -> Bool) async -> Bool {
  let end = ContinuousClock.now + deadline
  while ContinuousClock.now < end {
    if await condition() { return true }
    do { try await Task.sleep(for: .milliseconds(2)) } catch { return false }
  }
  return await condition()
}
