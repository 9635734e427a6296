import Events
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import WebSocket

/// A client's connections, one after the other, and its unacknowledged messages. Belongs to one event loop.
final class DeviceSession {
  /// Bytes are written to the channel at the latest when this many have gathered.
  private static let outgoingBytesMax = 128 * 1024
  /// How long a server may take for its part of the closing handshake.
  private static let closeTimeout = TimeAmount.seconds(2)

  private let configuration: DeviceClientConfiguration
  private let outbox: Outbox
  private let eventLoop: any EventLoop
  private let logger: Logger
  private let scratch = WebSocketScratch()
  private var random: SeededGenerator
  private var state = DeviceSessionState.idle

  private var window = MessageWindow()
  private var messageBytesMax = 1 << 20
  private var unackedMessagesMax = 1
  /// Whether the messages that an earlier run left in the spool are in the window.
  private var isRestored = false
  private var sources: NamedSources

  // The present connection.
  /// Callbacks of an earlier connection carry an earlier number.
  private var attempt = 0
  private var context: ChannelHandlerContext?
  private var encoder = WebSocketMessageEncoder(role: .client)
  private var outgoing = ByteBuffer()
  private var lastAck = ServerMessage.Ack()
  private var heartbeat: RepeatedTask?
  private var silentBeats = 0
  private var refusal: DeviceClientError?
  /// The pause that the server asks for before the next try.
  private var pauseLeast = TimeAmount.zero
  private var openedAt = NIODeadline.now()

  // The time without a good connection.
  private var outage: Outage
  private var retry: Scheduled<Void>?

  init(_ configuration: DeviceClientConfiguration, outbox: Outbox, eventLoop: any EventLoop, logger: Logger) {
    self.configuration = configuration
    self.outbox = outbox
    self.eventLoop = eventLoop
    self.logger = logger
    random = SeededGenerator(seed: configuration.seed)
    outage = Outage(configuration)
    sources = NamedSources(configuration)
  }

  // MARK: connecting

  func start() {
    guard state == .idle else { return }
    if let left = configuration.spool?.left, !left.isEmpty {
      for message in left { window.append(message) }
      outbox.update { $0.sent += left.count }
    }
    isRestored = true
    connect()
  }

  private func connect() {
    state = .connecting
    attempt += 1
    refusal = nil
    pauseLeast = .zero
    takeQueued()
    let attempt = attempt, uri = uri(), configuration = configuration
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    ClientBootstrap(group: eventLoop)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.writeBufferWaterMark, value: .init(low: 256 * 1024, high: 1024 * 1024))
      .connectTimeout(.nanoseconds(Int64(configuration.connectTimeout / .nanoseconds(1))))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try configuration.secure?(channel, configuration.host)
          try DeviceHandshake.configure(
            channel, uri: uri, configuration: configuration, session: bound.value, attempt: attempt)
        }
      }
      .connect(host: configuration.host, port: configuration.port)
      .whenFailure { error in
        // On the loop: the bootstrap's futures belong to the channel's loop.
        bound.value.connectionEnded(attempt, "\(error)")
      }
  }

  private func uri() -> String {
    let named = sources.next(window)
    guard !named.isEmpty else { return configuration.path }
    let separator = configuration.path.contains("?") ? "&" : "?"
    return configuration.path + separator + named.map { "source=" + PercentText.encode($0) }.joined(separator: "&")
  }

  /// The handshake was refused. The client decides what to do when the connection has ended.
  func refused(_ attempt: Int, _ error: DeviceClientError?) {
    guard attempt == self.attempt else { return }
    refusal = error
  }

  /// The server cannot take the handshake yet.
  func postponed(_ attempt: Int, by pause: TimeAmount) {
    guard attempt == self.attempt else { return }
    pauseLeast = pause
  }

  func upgraded(_ attempt: Int, _ context: ChannelHandlerContext, _ agreement: WebSocketAgreement) {
    guard attempt == self.attempt, state == .connecting else {
      context.close(promise: nil)
      return
    }
    state = .welcoming
    self.context = context
    var settings = WebSocketDeflateSettings()
    settings.compressBytesMin = 64
    encoder = WebSocketMessageEncoder(role: .client, deflate: agreement.deflate, settings: settings)
    outgoing = ByteBuffer()
    lastAck = ServerMessage.Ack()
    silentBeats = 0
    watchSilence(milliseconds: 30_000)
  }

  /// The connection is gone, or never was.
  func connectionEnded(_ attempt: Int, _ reason: String) {
    guard attempt == self.attempt, state != .ended, state != .waiting else { return }
    context = nil
    heartbeat?.cancel()
    heartbeat = nil
    outbox.update { $0.isConnected = false }
    if state == .closing {
      end(nil)
      return
    }
    if let refusal {
      fail(refusal)
      return
    }
    let now = NIODeadline.now()
    if state == .open, window.count == 0, now - openedAt >= Outage.steadyAfter { outage.end() }
    window.markUnsent()
    guard let wait = outage.pause(at: now, least: pauseLeast, using: &random) else {
      fail(
        DeviceClientError(
          .unreachable,
          "no acknowledgement from \(configuration.authority) for "
            + "\(outage.duration(at: now).nanoseconds / 1_000_000_000) s: \(reason); is the ingest service running there?"))
      return
    }
    state = .waiting
    outbox.update { $0.reconnects += 1 }
    logger.debug(
      "connection lost, trying again", metadata: ["reason": "\(reason)", "wait": "\(wait.nanoseconds / 1_000_000) ms"])
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    retry = eventLoop.scheduleTask(in: wait) {
      guard bound.value.state == .waiting else { return }
      bound.value.connect()
    }
  }

  private func watchSilence(milliseconds: Int) {
    heartbeat?.cancel()
    let beat = TimeAmount.milliseconds(Int64(max(milliseconds, 10)))
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    heartbeat = eventLoop.scheduleRepeatedTask(initialDelay: beat, delay: beat) { _ in
      let session = bound.value
      session.silentBeats += 1
      // The server pings each beat; it is given three.
      if session.silentBeats > 3 { session.context?.close(promise: nil) }
    }
  }

  // MARK: received messages

  func received(_ attempt: Int, _ event: WebSocketEvent) {
    guard attempt == self.attempt, state != .ended else { return }
    silentBeats = 0
    switch event {
    case .message(let message): received(message.payload)
    case .ping(let payload):
      outgoing.writeWebSocketFrame(.pong, payload, maskKey: encoder.nextMaskKey())
    case .pong: break
    case .close(let close): closed(close)
    }
  }

  private func received(_ text: UnsafeRawBufferPointer) {
    switch ServerMessage(text) {
    case .welcome(let welcome) where state == .welcoming: begin(welcome)
    case .ack(let ack) where state == .open: acknowledge(ack)
    case .reject(let reject) where state == .open: note(reject)
    case .other: break
    case .welcome, .ack, .reject, nil:
      fail(
        DeviceClientError(
          .protocolViolation, "the server said what is not expected here: \(String(decoding: text.prefix(200), as: UTF8.self))"))
    }
  }

  private func closed(_ close: WebSocketClose) {
    guard state != .closing else { return }
    outgoing.writeWebSocketClose(close.code, maskKey: encoder.nextMaskKey())
    flush()
    let code = close.code?.rawValue
    switch RetryRules.after(close: code) {
    case .end:
      fail(DeviceClientError(.closed, "the server closed the connection with \(code ?? 0): \(close.reason)"))
    case .retry(let pause):
      logger.debug("the server closed", metadata: ["code": "\(code ?? 0)", "reason": "\(close.reason)"])
      pauseLeast = pause
      context?.close(promise: nil)
    }
  }

  func violated(_ attempt: Int, _ violation: WebSocketViolation) {
    guard attempt == self.attempt, state != .ended else { return }
    fail(DeviceClientError(.protocolViolation, "the server broke the WebSocket protocol: \(violation)"))
  }

  private func begin(_ welcome: ServerMessage.Welcome) {
    state = .open
    messageBytesMax = max(1, welcome.messageBytesMax ?? 1 << 20)
    unackedMessagesMax = max(1, min(configuration.unackedMessagesMax, welcome.unackedMessagesMax ?? 1024))
    if let beat = welcome.heartbeatMilliseconds { watchSilence(milliseconds: beat) }
    openedAt = .now()
    sources.learn(welcome.resume)
    let hasDuplicates = outbox.totals.duplicates > 0
    var rejected = 0, resent = 0, answered: [Int64] = []
    window.rewrite { message in
      guard message.wasSent else { return message }
      let rest = message.filtered { mark in
        if mark.isRejected {
          rejected += 1
          answered.append(mark.row)
          return false
        }
        // An event not above the welcome's sequence is durable, or was rejected while later ones were taken: only the server
        // knows.
        if let sequence = mark.sequence, mark.sourceEnd > mark.sourceStart, !welcome.resume.isEmpty {
          let source = message.source(of: mark)
          if let position = welcome.resume[UTF8Text(String(decoding: source, as: UTF8.self))] {
            mark.isResumed =
              mark.epoch == position.epoch && sequence <= position.sequence
              && (mark.isRestored
                || sources.isNew(
                  ResumePosition(epoch: mark.epoch, sequence: sequence), of: source, hasDuplicates: hasDuplicates))
          }
        }
        return true
      }
      resent += rest.eventCount
      return rest
    }
    outbox.update { totals in
      totals.isConnected = true
      totals.resume.merge(welcome.resume) { $1 }
      totals.rejected += rejected
      totals.resent += resent
    }
    forget(answered)
    pump()
  }

  private func acknowledge(_ ack: ServerMessage.Ack) {
    let number = ack.messages - lastAck.messages
    guard (0...window.sentCount).contains(number), ack.appended >= lastAck.appended, ack.duplicates >= lastAck.duplicates,
      ack.rejected >= lastAck.rejected
    else {
      fail(
        DeviceClientError(
          .protocolViolation, "an acknowledgement of \(ack.messages) messages, of which \(window.sentCount) more were sent"))
      return
    }
    let now = NIODeadline.now().uptimeNanoseconds
    var answeredRows: [Int64] = []
    outbox.update { totals in
      var events = 0, line = 0, recovered = 0
      window.acknowledge(number) { message in
        if configuration.spool != nil { answeredRows += message.rows }
        events += message.eventCount
        recovered += message.resumedCount
        line = message.marks.first?.line ?? 0
        totals.ackLatency.record(nanoseconds: now &- message.sentAt)
      }
      // For this connection a duplicate, for the device the answer that was lost.
      recovered = min(recovered, ack.duplicates - lastAck.duplicates)
      totals.appended += ack.appended - lastAck.appended + recovered
      totals.duplicates += ack.duplicates - lastAck.duplicates - recovered
      totals.recovered += recovered
      totals.rejected += ack.rejected - lastAck.rejected
      for (partition, next) in ack.offsets { totals.offsets[partition] = max(totals.offsets[partition] ?? 0, next) }
      // At most one message's events, a line that is an array of events, can be answered for by more than one.
      let answered = ack.appended + ack.duplicates + ack.rejected - lastAck.appended - lastAck.duplicates - lastAck.rejected
      if answered > events { totals.sent += answered - events }
      if answered < events {
        // The server stopped reading a message in the middle.
        totals.rejected += events - answered
        totals.note(
          DeviceReject(line: line, code: "not_read", detail: "\(events - answered) events after a bad one were not read"),
          keptMax: configuration.rejectsKeptMax)
      }
    }
    lastAck = ack
    if number > 0 { outage.end() }
    forget(answeredRows)
    pump()
  }

  /// These events are answered for.
  private func forget(_ rows: [Int64]) {
    guard let spool = configuration.spool else { return }
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    spool.forget(rows.filter { $0 != 0 }) { [eventLoop] error in eventLoop.execute { bound.value.fail(error) } }
  }

  private func note(_ reject: ServerMessage.Reject) {
    let index = reject.message - lastAck.messages - 1
    guard (0..<window.sentCount).contains(index) else {
      fail(DeviceClientError(.protocolViolation, "a reject of message \(reject.message), which is not on its way"))
      return
    }
    var line = 0
    window.update(index) { message in
      line = message.marks[min(reject.event ?? 0, message.marks.count - 1)].line
      if let event = reject.event {
        message.markRejected(event)
      } else {
        for event in message.marks.indices { message.markRejected(event) }
      }
    }
    let told = DeviceReject(line: line, code: reject.code, detail: reject.detail)
    outbox.update { $0.note(told, keptMax: configuration.rejectsKeptMax) }
  }

  // MARK: sent messages

  /// Sends what there is to send, as far as the bounds allow.
  func pump() {
    guard state == .open, let context else {
      // Also while there is no connection: finishing with nothing to send needs none.
      if state == .idle || state == .waiting || state == .connecting { finishIfDone() }
      return
    }
    takeQueued()
    let messagesMax = unackedMessagesMax
    let now = NIODeadline.now().uptimeNanoseconds
    var events = 0, bytes = 0, messages = 0
    // The messages left from an earlier connection may be more than this server allows unacknowledged.
    while window.unsentCount > 0, window.sentCount < messagesMax, context.channel.isWritable {
      guard window.nextUnsent.byteCount <= messageBytesMax else {
        splitNext()
        continue
      }
      window.sendNext { message in
        if !message.wasSent { events += message.eventCount }
        message.wasSent = true
        message.sentAt = now
        messages += 1
        bytes += message.byteCount
        message.withPayload { encoder.write(.text, $0, compress: configuration.deflate, scratch, into: &outgoing) }
      }
      if outgoing.readableBytes >= DeviceSession.outgoingBytesMax { flush() }
    }
    if messages > 0 {
      sources.noteSent()
      outbox.update {
        $0.sent += events
        $0.messages += messages
        $0.bytes += bytes
      }
    }
    flush()
    finishIfDone()
  }

  private func takeQueued() {
    let messagesMax = unackedMessagesMax, bytesMax = configuration.unackedBytesMax
    outbox.take(into: &window) { $0.count < messagesMax && ($0.byteCount < bytesMax || $0.count == 0) }
  }

  /// The next message is larger than the server takes: into single events, and those that are still too large are rejected here.
  private func splitNext() {
    let message = window.nextUnsent
    var parts: [DeviceMessage] = []
    for mark in message.marks {
      let part = message.filtered { $0.start == mark.start }
      if part.byteCount <= messageBytesMax {
        parts.append(part)
        continue
      }
      forget([mark.row])
      outbox.update { totals in
        if !message.wasSent { totals.sent += 1 }
        totals.rejected += 1
        totals.note(
          DeviceReject(
            line: mark.line, code: "too_big",
            detail: "\(part.byteCount) bytes: the server takes messages of at most \(messageBytesMax)"),
          keptMax: configuration.rejectsKeptMax)
      }
    }
    window.replaceNextUnsent(with: parts)
  }

  /// Writes what has gathered. Called by the handler at the end of each read, too.
  func flush() {
    guard outgoing.readableBytes > 0, let context else { return }
    context.writeAndFlush(NIOAny(outgoing), promise: nil)
    outgoing = ByteBuffer()
  }

  private func finishIfDone() {
    guard window.count == 0, outbox.isDrained, state != .ended, state != .closing else { return }
    // The messages in the spool wait for `start`.
    guard isRestored || configuration.spool?.left.isEmpty ?? true else { return }
    guard state == .open, let context else {
      end(nil)
      return
    }
    state = .closing
    outgoing.writeWebSocketClose(.normal, maskKey: encoder.nextMaskKey())
    flush()
    let bound = NIOLoopBound(context, eventLoop: eventLoop)
    eventLoop.scheduleTask(in: DeviceSession.closeTimeout) { bound.value.close(promise: nil) }
  }

  func fail(_ error: DeviceClientError) { end(error) }

  private func end(_ error: DeviceClientError?) {
    guard state != .ended else { return }
    state = .ended
    retry?.cancel()
    heartbeat?.cancel()
    heartbeat = nil
    context?.close(promise: nil)
    context = nil
    outbox.end(error)
  }
}
