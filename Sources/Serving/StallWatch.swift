import NIOCore

/// Watches that a peer takes the bytes written to it, and closes the connection of one that takes nothing for a time.
/// Ends by itself once all is taken. Belongs to the channel's event loop.
final class StallWatch {
  /// Checks in a time limit, which give its precision.
  private static let looks = 8

  private let context: ChannelHandlerContext
  private let ended: () -> Void
  private var task: RepeatedTask?
  private var lowest: Int
  private var looksWithoutProgress = 0

  /// - Parameters:
  ///   - time: How long a peer may take nothing.
  ///   - ended: Called when all is taken; not when it is cancelled.
  init(_ context: ChannelHandlerContext, within time: TimeAmount, ended: @escaping () -> Void) {
    self.context = context
    self.ended = ended
    lowest = StallWatch.buffered(context)
    let pause = TimeAmount.nanoseconds(max(1_000_000, time.nanoseconds / Int64(StallWatch.looks)))
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    task = context.eventLoop.scheduleRepeatedTask(initialDelay: pause, delay: pause) { _ in bound.value.look() }
  }

  /// Bytes that are written and not given to the system yet.
  static func buffered(_ context: ChannelHandlerContext) -> Int {
    // If a channel does not say, nothing is known to wait.
    (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
  }

  /// More is written: earlier bytes have been taken, or these follow them at once.
  func noteWrite() { lowest = .max }

  func cancel() {
    task?.cancel()
    task = nil
  }

  private func look() {
    let buffered = StallWatch.buffered(context)
    guard buffered > 0 else {
      cancel()
      ended()
      return
    }
    looksWithoutProgress = buffered < lowest ? 0 : looksWithoutProgress + 1
    lowest = buffered
    if looksWithoutProgress >= StallWatch.looks { context.channel.reset() }
  }
}
