import Events
import NIOCore

/// Bodies that are written in pieces, each when the one before has gone out.
extension HTTPConnection {
  func stream(_ first: [UInt8], _ rest: any BodyPieces, _ farewell: (@Sendable (HTTPProblem) -> [UInt8])?) {
    guard let context, let exchange, let route = exchange.route else { return }
    let (channel, eventLoop) = (context.channel, context.eventLoop)
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    self.exchange?.isStreaming = true
    rest.attach(cut: { channel.reset() })
    task = Task(executorPreference: exchange.threads) {
      var pieces = rest
      do {
        try await eventLoop.flatSubmit { bound.value.write(first, on: eventLoop) }.get()
        while let piece = try await pieces.next() {
          try await eventLoop.flatSubmit { bound.value.write(piece, on: eventLoop) }.get()
        }
        eventLoop.execute { bound.value.endPieces(farewell) }
      } catch {
        // The reader has left, or the body cannot be completed.
        channel.close(promise: nil)
      }
    }
    watch = service.standing(exchange.request, route).map { access in
      AccessWatch(access, on: eventLoop) { bound.value.deny(isTold: farewell != nil) }
    }
  }

  /// The reader's token is no longer valid.
  private func deny(isTold: Bool) {
    task?.cancel()
    guard let context else { return }
    guard isTold else { return context.close(promise: nil) }
    // The reader does not take even that much.
    let (bound, channel) = (NIOLoopBound(self, eventLoop: context.eventLoop), context.channel)
    context.eventLoop.scheduleTask(in: .seconds(1)) { if bound.value.watch?.denial != nil { channel.reset() } }
  }

  private func endPieces(_ farewell: (@Sendable (HTTPProblem) -> [UInt8])?) {
    guard let context, context.channel.isActive else { return }
    if let denial = watch?.denial, let farewell {
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: farewell(denial.problem))))), promise: nil)
    }
    writeEnd()
  }
}
