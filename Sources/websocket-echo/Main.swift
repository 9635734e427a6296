import ArgumentParser
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import WebSocket

/// Answers each WebSocket message with itself, so that conformance suites can be run against our frame code.
@main
struct Echo: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "websocket-echo",
    abstract: "Answers each WebSocket message with itself, on loopback, for conformance suites.")

  @Option(help: "The port to listen on; 0 takes a free one.")
  var port: Int

  @Option(help: "The largest message taken, in bytes.")
  var messageBytesMax = 16 << 20

  @Option(help: "The most frames of one message before its last.")
  var fragmentsMax = 65_536

  func validate() throws {
    guard (0...65_535).contains(port) else { throw ValidationError("--port is not in 0 ... 65535") }
    guard (1...1 << 30).contains(messageBytesMax) else { throw ValidationError("--message-bytes-max is not in 1 ... 1 GiB") }
    guard fragmentsMax >= 1 else { throw ValidationError("--fragments-max is below 1") }
  }

  func run() async throws {
    let group = MultiThreadedEventLoopGroup.singleton
    let scratches = WebSocketScratchPool(group)
    let limits = WebSocketLimits(messageBytesMax: messageBytesMax, fragmentsMax: fragmentsMax)
    let channel = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try addHTTP(to: channel, limits: limits, scratches: scratches)
        }
      }
      .bind(host: "127.0.0.1", port: port)
      .get()
    let bound = channel.localAddress?.port ?? port
    // In one write, and not through `stderr`, a C variable that Swift's concurrency check refuses.
    let line = "listening websocket-echo 127.0.0.1:\(bound)\n"
    _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    try await channel.closeFuture.get()
  }
}

/// The pipeline before the handshake.
private func addHTTP(to channel: any Channel, limits: WebSocketLimits, scratches: WebSocketScratchPool) throws {
  let deflate = WebSocketDeflateSettings()
  let refuser = RefusalHandler()
  let upgrader = WebSocketServerUpgrader(deflate: deflate) { channel, _ in
    channel.eventLoop.makeSucceededFuture(.accept(subprotocol: nil))
  } upgradePipelineHandler: { context, agreement, _ in
    let operations = context.pipeline.syncOperations
    let echo = EchoHandler(
      limits: limits, agreement: agreement, settings: deflate, scratch: scratches.scratch(on: context.eventLoop))
    do {
      try operations.addHandler(echo)
    } catch {
      return context.eventLoop.makeFailedFuture(error)
    }
    return operations.removeHandler(refuser)
  }
  let operations = channel.pipeline.syncOperations
  try operations.configureHTTPServerPipeline(withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
  try operations.addHandler(refuser)
}
