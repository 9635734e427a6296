import NIOCore
import NIOHTTP1

/// Leaves the connection to another protocol.
extension HTTPConnection {
  func upgrade(_ headers: HTTPHeaders, to speaker: @escaping () -> any ChannelHandler, _ number: Int) {
    guard isAwaited(number), let context else { return }
    machine.upgrade()
    leave()
    upgraded()
    let operations = context.pipeline.syncOperations
    let bound = NIOLoopBound((connection: self, speaker: speaker), eventLoop: context.eventLoop)
    let response = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
    // The decoders go first: the bytes after the request are kept here until the other protocol's handler is there.
    EventLoopFuture.andAllSucceed(decoding.map { operations.removeHandler($0) }, on: context.eventLoop).assumeIsolated()
      .flatMap { context.writeAndFlush(self.wrapOutboundOut(.head(response))) }
      .flatMap { operations.removeHandler(self.encoding) }
      .whenComplete { bound.value.connection.hand($0, to: bound.value.speaker) }
  }

  private func hand(_ result: Result<Void, any Error>, to speaker: () -> any ChannelHandler) {
    guard let context else { return }
    do {
      try result.get()
      try context.pipeline.syncOperations.addHandler(speaker(), position: .after(self))
    } catch {
      return context.close(promise: nil)
    }
    while !kept.isEmpty { context.fireChannelRead(kept.removeFirst()) }
    context.fireChannelReadComplete()
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }
}
