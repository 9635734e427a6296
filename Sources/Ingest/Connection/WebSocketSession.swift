import Events
import Logging
import NIOCore
import WebSocket

/// A device's connection: messages in, acknowledgements and rejects out.
final class WebSocketSession: MessageTracker, ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  enum Subprotocol: String, CaseIterable {
    case penstock = "penstock.v1"
    /// The CloudEvents WebSocket binding: one structured event a message, no replies.
    case cloudEvents = "cloudevents.json"
  }

  private enum State {
    /// The welcome waits for the log to say where the named sources are.
    case welcoming
    case open
    /// No more is read; the connection ends when what was read is answered for.
    case finishing
    /// Our close frame is on its way: whatever comes is dropped.
    case closing
  }

  /// How long a peer may take to close after our close frame.
  private static let closeTimeout = TimeAmount.seconds(2)
  /// Beats without a byte from the peer after which it is taken for gone.
  private static let silentBeatsMax = 2

  private let ingest: IngestLoop
  private let pipeline: IngestPipeline
  private let unackedMessagesMax: Int
  private let subprotocol: Subprotocol
  private let sources: [String]
  private let defaultSource: [UInt8]?
  private var decoder: WebSocketFrameDecoder
  private var state = State.welcoming
  private var context: ChannelHandlerContext?
  /// What was read and not decoded: of one read at most.
  private var received = ByteBuffer()
  private var outgoing = ByteBuffer()
  /// As the channel last said: to ask it costs more than a small message does.
  private var isWritable = true
  private var isReadWanted = false
  private var isWaitingForPipeline = false
  private var isAckWanted = false
  /// A message had no event for the log: empty, or all rejected. No sync will answer for it.
  private var isAnsweredAtOnce = false
  private var silentBeats = 0
  private var heartbeat: RepeatedTask?
  private var closeTask: Scheduled<Void>?

  init(ingest: IngestLoop, subprotocol: Subprotocol, sources: [String], deflate: WebSocketDeflateParameters?) {
    self.ingest = ingest
    pipeline = ingest.pipeline
    unackedMessagesMax = ingest.configuration.unackedMessagesMax
    self.subprotocol = subprotocol
    self.sources = sources
    defaultSource = sources.count == 1 ? Array(sources[0].utf8) : nil
    decoder = WebSocketFrameDecoder(
      role: .server, limits: WebSocketLimits(messageBytesMax: ingest.configuration.messageBytesMax), deflate: deflate)
  }

  // MARK: life

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    ingest.add(self)
    let beat = TimeAmount.nanoseconds(Int64(ingest.configuration.heartbeat / .nanoseconds(1)))
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    heartbeat = context.eventLoop.scheduleRepeatedTask(initialDelay: beat, delay: beat) { _ in bound.value.sendHeartbeat() }
    guard subprotocol == .penstock else {
      state = .open
      return
    }
    guard !sources.isEmpty else {
      welcome([:])
      return
    }
    let log = ingest.log, sources = sources, eventLoop = context.eventLoop
    Task {
      do throws(LogError) {
        let positions = try await log.producerPositions(of: sources)
        eventLoop.execute { bound.value.welcome(positions) }
      } catch {
        eventLoop.execute { bound.value.fail(error) }
      }
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) { end() }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  private func end() {
    state = .closing
    context = nil
    heartbeat?.cancel()
    heartbeat = nil
    closeTask?.cancel()
    closeTask = nil
    ingest.remove(self)
  }

  /// Stops reading, and closes once what was read is answered for.
  func finish() {
    guard state == .open || state == .welcoming else { return }
    state = .finishing
    received = ByteBuffer()
    if openCount == 0 { close(.goingAway, "shutting down") }
  }

  private func fail(_ error: LogError) {
    ingest.logger.error("closing a connection: \(error)")
    switch error.code {
    case .unavailable: close(.tryAgainLater, "the log is busy; try again later")
    case .diskFull: close(.tryAgainLater, "the disk is almost full; try again later")
    default: close(.internalError, "the log failed: \(error.code.rawValue)")
    }
  }

  // MARK: reading

  /// Whether bytes may be taken from the peer now.
  private var mayRead: Bool {
    guard state == .open else { return state == .closing }
    return openCount < unackedMessagesMax && isWritable && !pipeline.isPaused
  }

  func read(context: ChannelHandlerContext) {
    if mayRead { context.read() } else { isReadWanted = true }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard state == .open || state == .welcoming else { return }
    silentBeats = 0
    var buffer = unwrapInboundIn(data)
    if received.readableBytes == 0 { received = buffer } else { received.writeBuffer(&buffer) }
    if state == .open { decode() }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    flushOutgoing()
    context.fireChannelReadComplete()
  }

  /// Decodes what was read, until it is used up or the bounds say to wait.
  private func decode() {
    // A local copy: an inout access to a property each message would cost a check each time.
    var bytes = received
    received = ByteBuffer()
    let arrival = Timestamp.systemNow(), now = NIODeadline.now().uptimeNanoseconds
    do throws(WebSocketViolation) {
      while mayRead, let event = try decoder.next(&bytes, ingest.scratch) {
        switch event {
        case .message(let message):
          guard message.kind == .text else {
            close(.unsupportedData, "send JSON text, not binary messages")
            return
          }
          take(message.payload, arrival: arrival, receivedAt: now)
        case .ping(let payload): outgoing.writeWebSocketFrame(.pong, payload)
        case .pong: break
        case .close(let peer):
          close(peer.code, "")
          return
        }
      }
    } catch {
      close(error.closeCode, error.description)
      return
    }
    if bytes.readableBytes > 0, !decoder.isEnded { received = bytes }
    if pipeline.isPaused, !isWaitingForPipeline {
      isWaitingForPipeline = true
      pipeline.waitForResume(self)
    }
    if isAnsweredAtOnce {
      isAnsweredAtOnce = false
      answersMayBeReady()
    }
  }

  private func take(_ payload: UnsafeRawBufferPointer, arrival: Timestamp, receivedAt: UInt64) {
    let message = beginMessage(receivedAt: receivedAt)
    let queued = pipeline.submit(
      payload, framing: subprotocol == .penstock ? .json : .single, arrival: arrival, defaultSource: defaultSource,
      tracker: self, message: message
    ) { event, reject in writeReject(message: message, event: event, code: reject.code, detail: reject.detail) }
    if queued == 0 { isAnsweredAtOnce = true }
  }

  private func resumeReading() {
    guard mayRead, let context else { return }
    if received.readableBytes > 0 { decode() }
    if isReadWanted, mayRead {
      isReadWanted = false
      context.read()
    }
  }

  override func pipelineResumed() {
    isWaitingForPipeline = false
    resumeReading()
    flushOutgoing()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    isWritable = context.channel.isWritable
    if isWritable {
      if isAckWanted { writeAck() }
      resumeReading()
      flushOutgoing()
    }
    context.fireChannelWritabilityChanged()
  }

  // MARK: answers

  override func answersMayBeReady() {
    guard state == .open || state == .finishing else { return }
    if advance() {
      ingest.counters.ackLatency.recordNanoseconds(
        Int64(clamping: NIODeadline.now().uptimeNanoseconds &- lastReceivedAt))
      writeAck()
    }
    if let failure {
      fail(failure)
      return
    }
    if state == .finishing, openCount == 0 {
      close(.goingAway, "shutting down")
      return
    }
    flushOutgoing()
    if received.readableBytes > 0 || isReadWanted { resumeReading() }
  }

  private func welcome(_ positions: [String: ProducerPosition]) {
    guard state == .welcoming else { return }
    state = .open
    outgoing.writeWebSocketText(
      DeviceMessages.welcome(configuration: ingest.configuration, sources: sources, positions: positions))
    flushOutgoing()
    resumeReading()
    flushOutgoing()
  }

  /// Acknowledgements are cumulative, so one that the peer has no room for is left out: the next says all.
  private func writeAck() {
    guard subprotocol == .penstock, context != nil else { return }
    guard isWritable else {
      isAckWanted = true
      return
    }
    isAckWanted = false
    outgoing.writeWebSocketText(DeviceMessages.ack(totals, offsets))
  }

  override func fenced(message: Int, event: Int, currentEpoch: UInt64) {
    writeReject(
      message: message, event: event, code: .fenced,
      detail: "the source's epoch is \(currentEpoch) now: another device or a later start has taken it over")
  }

  private func writeReject(message: Int, event: Int?, code: RejectCode, detail: String) {
    guard subprotocol == .penstock, context != nil else { return }
    outgoing.writeWebSocketText(DeviceMessages.reject(message: message, event: event, code: code, detail: detail))
  }

  private func flushOutgoing() {
    guard outgoing.readableBytes > 0, let context else { return }
    context.writeAndFlush(wrapOutboundOut(outgoing), promise: nil)
    outgoing = ByteBuffer()
  }

  private func sendHeartbeat() {
    guard state == .open, context != nil else { return }
    guard mayRead else { return }
    if silentBeats >= WebSocketSession.silentBeatsMax {
      close(.goingAway, "nothing was heard for \(silentBeats) heartbeats")
      return
    }
    silentBeats += 1
    outgoing.writeWebSocketFrame(.ping, UnsafeRawBufferPointer(start: nil, count: 0))
    flushOutgoing()
  }

  // MARK: closing

  /// Sends what is left, the close frame last, then the end of our side. The connection itself is closed when the peer has closed its side:
  /// to close with bytes unread would send a reset, which can overtake the close frame.
  private func close(_ code: WebSocketCloseCode?, _ reason: String) {
    guard state != .closing, let context else { return }
    state = .closing
    received = ByteBuffer()
    outgoing.writeWebSocketClose(code, reason: reason)
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(outgoing)).assumeIsolated().whenComplete { _ in
      bound.value.close(mode: .output, promise: nil)
    }
    outgoing = ByteBuffer()
    closeTask = context.eventLoop.scheduleTask(in: WebSocketSession.closeTimeout) { bound.value.close(promise: nil) }
    if isReadWanted {
      isReadWanted = false
      context.read()
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // The connection broke: nothing can be said any more, and what was read goes on to the log.
    context.close(promise: nil)
  }
}
