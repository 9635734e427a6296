import Logging
import NIOCore

/// A device's side of `penstock.v1`: sends messages over one WebSocket, and comes back after a lost connection until everything
/// is acknowledged.
///
/// ```swift
/// let client = DeviceClient(DeviceClientConfiguration(port: 4000), eventLoop: group.next(), logger: logger)
/// client.start()
/// for event in events { try await client.send(DeviceMessage(event.utf8, line: 0)) }
/// let totals = try await client.finish()
/// ```
/// Messages go out in the order given, also after a reconnection, so the order within a source is kept. Messages sent and not
/// acknowledged are sent again: the server leaves out events whose `sequence` or `id` it knows; events with neither can be
/// appended twice.
///
/// Messages that are not acknowledged lie in memory: a crash of the process loses them, unless `configuration.spool` keeps them.
public final class DeviceClient: Sendable {
  private let outbox: Outbox
  private let spool: DeviceSpool?
  private let eventLoop: any EventLoop
  private let session: NIOLoopBoundBox<DeviceSession>

  /// - Parameters:
  ///   - configuration: Values within its bounds.
  ///   - eventLoop: The loop that carries the connections.
  ///   - logger: Logs connections that end and come again.
  public init(_ configuration: DeviceClientConfiguration, eventLoop: any EventLoop, logger: Logger) {
    let outbox = Outbox(messagesMax: configuration.queuedMessagesMax, bytesMax: configuration.queuedBytesMax)
    self.outbox = outbox
    spool = configuration.spool
    self.eventLoop = eventLoop
    session = NIOLoopBoundBox.makeBoxSendingValue(
      DeviceSession(configuration, outbox: outbox, eventLoop: eventLoop, logger: logger), eventLoop: eventLoop)
  }

  /// Connects, in the background. To be called once.
  public func start() {
    eventLoop.execute { [session] in session.value.start() }
  }

  /// Gives a message to the client. Returns when it is queued, and in the spool if there is one; waits while the queue is full.
  /// - Parameter message: At least one event.
  /// - Throws: The reason why the client gave up, if it has.
  public func send(_ message: DeviceMessage) async throws(DeviceClientError) {
    precondition(message.eventCount > 0, "a message without events")
    if let spool {
      // Each of several callers that wait here may put one message beyond the queue's bound.
      await outbox.waitForRoom()
      if let failure = outbox.failure { throw failure }
      try await spool.keep(message) { [outbox, eventLoop, session] kept in
        if outbox.push(kept) { eventLoop.execute { session.value.pump() } }
      }
      return
    }
    while true {
      switch outbox.offer(message) {
      case .taken(let mustTellLoop):
        if mustTellLoop { eventLoop.execute { [session] in session.value.pump() } }
        return
      case .full: await outbox.waitForRoom()
      case .failed(let error): throw error
      }
    }
  }

  /// Returns once so many events are answered for, or the client has ended: then `send` says why.
  /// - Parameter events: Counted from the first event given to the client.
  public func waitUntilAnswered(_ events: Int) async { await outbox.waitUntilAnswered(events) }

  /// Waits until everything given is acknowledged, and closes the connection. Nothing may be sent afterwards.
  public func finish() async throws(DeviceClientError) -> DeviceTotals {
    outbox.finish()
    eventLoop.execute { [session] in session.value.pump() }
    await outbox.waitForEnd()
    if let failure = outbox.failure { throw failure }
    return outbox.totals
  }

  /// Drops the connection and all queued messages; callers that wait get an error with the code `.cancelled`.
  public func cancel() {
    eventLoop.execute { [session] in session.value.fail(DeviceClientError(.cancelled, "sending was cancelled")) }
  }

  public var totals: DeviceTotals { outbox.totals }
}
