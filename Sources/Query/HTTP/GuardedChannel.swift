import HummingbirdCore
import Logging
import NIOCore

/// A connection of HTTP/1.1, behind TLS where there is any.
struct GuardedChannel: ServerChildChannel {
  typealias Value = HTTP1Channel.Value

  let base: HTTP1Channel
  /// Puts TLS first in the pipeline; nil for plain text.
  let secure: (@Sendable (any Channel) throws -> Void)?

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
    guard let secure else { return base.setup(channel: channel, logger: logger) }
    return channel.eventLoop.makeCompletedFuture { try secure(channel) }.flatMap {
      base.setup(channel: channel, logger: logger)
    }
  }

  func handle(value: Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}
