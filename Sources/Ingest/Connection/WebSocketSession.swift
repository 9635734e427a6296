import Events
import Logging
import NIOCore
import Serving
import WebSocket

/// A device's connection: messages in, acknowledgements and rejects out. It knows no socket: its transport gives it the
/// received bytes, and after each call reads `outgoing`, `receivableBytesMax` and `isClosing`.
final class WebSocketSession: MessageTracker, DrainableConnection {
  enum Subprotocol: String, CaseIterable {
    case penstock = "penstock.v1"
    /// The CloudEvents WebSocket binding: one structured event a message, no replies.
    case cloudEvents = "cloudevents.json"
  }

  private enum State {
    /// The welcome waits until the log tells the named sources' positions.
    case welcoming
    case open
    /// No more is read; the connection ends when the received messages are answered for.
    case finishing
    /// The close frame is in `outgoing`, or the connection is gone: all bytes that come are dropped.
    case closing
  }

  /// How long a peer may take to close after our close frame.
  static let closeTimeout = Duration.seconds(2)
  /// The beats for which an ending connection waits until its messages are answered for.
  private static let finishingBeatsMax = 2

  private let ingest: IngestLoop
  private let pipeline: IngestPipeline
  private let unackedMessagesMax: Int
  private let subprotocol: Subprotocol
  private let sources: [String]
  private let defaultSource: [UInt8]?
  private var decoder: WebSocketFrameDecoder
  private var state = State.welcoming
  /// Until `end`: the two hold each other.
  private var transport: (any SessionTransport)?
  /// Bytes read and not decoded: of at most one read, and those that `peer` wants for hearing the peer.
  private var received = ByteBuffer()
  /// Frames to be sent, in order.
  private(set) var outgoing = ByteBuffer()
  private var isWritable = true
  private var isWaitingForPipeline = false
  private var isAckWanted = false
  /// Whether messages could be answered for if their rejects had room in `outgoing`.
  private var isAnswerHeld = false
  /// Whether a message had no event for the log: empty, or all rejected. No sync will answer for it.
  private var isAnsweredAtOnce = false
  private var peer = PeerWatch()
  private var finishingBeats = 0
  private let admission: DeviceAdmission
  /// The close frame to send once all received messages are answered for.
  private var ending: (code: WebSocketCloseCode?, reason: String) = (.goingAway, "shutting down")
  /// Ends the session when its token expires.
  private var expiry: Task<Void, Never>?
  /// Running while the device has sent more than its rate: it is not read until this ends.
  private var throttle: Task<Void, Never>?
  /// Whether the rest of a read waits for the loop's next turn.
  private var isTurnSpent = false

  /// - Parameters:
  ///   - agreement: Its subprotocol is one of `Subprotocol`, or nil for the default.
  ///   - sources: The values of `?source=`.
  ///   - admission: The device's admission, which it leaves with the session.
  init(ingest: IngestLoop, agreement: WebSocketAgreement, sources: [String], admission: DeviceAdmission) {
    self.admission = admission
    self.ingest = ingest
    pipeline = ingest.pipeline
    unackedMessagesMax = ingest.configuration.unackedMessagesMax
    subprotocol = agreement.subprotocol.flatMap(Subprotocol.init) ?? .penstock
    self.sources = sources
    defaultSource = sources.count == 1 ? Array(sources[0].utf8) : nil
    decoder = WebSocketFrameDecoder(
      role: .server, limits: WebSocketLimits(messageBytesMax: ingest.configuration.messageBytesMax), deflate: agreement.deflate)
    super.init()
    permission = admission.caller?.sources
  }

  // MARK: life

  /// Begins the session. The transport calls `end` when the connection is gone.
  func start(on transport: any SessionTransport) {
    self.transport = transport
    ingest.add(self)
    ingest.counters.streams.add(1)
    if let end = admission.caller?.expiry {
      expiry = after(.nanoseconds(max(0, end.nanoseconds - Timestamp.systemNow().nanoseconds))) { $0.deny(.expired) }
    }
    guard subprotocol == .penstock else {
      state = .open
      return
    }
    guard !sources.isEmpty else {
      welcome([:])
      return
    }
    let log = ingest.log, sources = sources, loop = ingest.loop
    let bound = LoopBound(self, loop)
    Task {
      do throws(LogError) {
        let positions = try await log.producerPositions(of: sources)
        loop.execute {
          bound.value.welcome(positions)
          bound.value.transport?.sessionChanged()
        }
      } catch {
        loop.execute {
          bound.value.fail(error)
          bound.value.transport?.sessionChanged()
        }
      }
    }
  }

  /// To be called when the connection is gone. The received messages go on to the log.
  func end() {
    state = .closing
    if transport != nil { ingest.counters.streams.add(-1) }
    transport = nil
    received = ByteBuffer()
    outgoing = ByteBuffer()
    expiry?.cancel()
    throttle?.cancel()
    admission.leave(ingest)
    ingest.remove(self)
  }

  /// Stops reading, and closes once the received messages are answered for.
  func finish() { finish(.goingAway, "shutting down, or connections begin anew") }

  var isFromThisMachine: Bool { transport?.isFromThisMachine ?? false }

  private func finish(_ code: WebSocketCloseCode, _ reason: String) {
    guard state == .open || state == .welcoming else { return }
    endReading(code, reason)
    transport?.sessionChanged()
  }

  private func endReading(_ code: WebSocketCloseCode?, _ reason: String) {
    state = .finishing
    received = ByteBuffer()
    ending = (code, reason)
    if openCount == 0 { close(code, reason) }
  }

  func accessChanged() {
    if let denial = admission.denial(ingest) { deny(denial) }
  }

  private func deny(_ denial: AccessDenial) {
    switch denial {
    case .expired: finish(.credentialsExpired, "the token has expired")
    case .missing, .malformed, .invalid, .insufficient: finish(.policyViolation, "the token is no longer good")
    }
  }

  /// Runs `body` on the loop when `delay` has passed, unless the task is cancelled before.
  private func after(_ delay: Duration, _ body: @escaping @Sendable (WebSocketSession) -> Void) -> Task<Void, Never> {
    let bound = LoopBound(self, ingest.loop), loop = ingest.loop
    return Task {
      // Cancelled with the session's end.
      do { try await Task.sleep(for: delay) } catch { return }
      loop.execute { body(bound.value) }
    }
  }

  private func fail(_ error: LogError) {
    ingest.logger.error("closing a connection: \(error)")
    switch error.code {
    case .unavailable: close(.tryAgainLater, "the log is busy; try again later")
    case .diskFull: close(.tryAgainLater, "the disk is almost full; try again later")
    case .poisoned, .corrupt, .io, .locked, .outOfRange, .unknownPartition, .incompatible, .anotherLog:
      close(.internalError, "the log failed: \(error.code.rawValue)")
    }
  }

  /// Whether the close frame is the last of `outgoing`: our side ends after it, and the connection when the peer has
  /// ended its side or `closeTimeout` is over.
  var isClosing: Bool { state == .closing }

  /// Whether received messages are being answered for, and no more are taken.
  var isFinishing: Bool { state == .finishing }

  private func close(_ code: WebSocketCloseCode?, _ reason: String) {
    guard state != .closing else { return }
    state = .closing
    received = ByteBuffer()
    // For which there has been no room: nothing comes behind the close frame.
    if isAckWanted { DeviceMessages.writeAck(totals, offsets, to: &outgoing) }
    (isAckWanted, isAnswerHeld) = (false, false)
    outgoing.writeWebSocketClose(code, reason: reason)
  }

  // MARK: reading

  /// The bytes that may be taken from the peer now; 0 to wait.
  var receivableBytesMax: Int {
    if mayRead { return .max }
    guard state == .open || state == .welcoming else { return 0 }
    return max(0, peer.keptBytesMax - received.readableBytes)
  }

  /// Whether messages may be taken from the peer now.
  var mayRead: Bool {
    guard state == .open else { return state == .closing }
    return openCount < unackedMessagesMax && isWritable && outgoing.readableBytes < WebSocketSession.outgoingBytesMax
      && !pipeline.isPaused && throttle == nil && !isTurnSpent
  }

  /// Takes bytes from the peer. Bytes that the bounds don't let in now are kept: at most one read more than
  /// `receivableBytesMax`, if the transport asks for that before each read.
  func receive(_ bytes: UnsafeRawBufferPointer) {
    guard state == .open || state == .welcoming else { return }
    peer.heard()
    guard state == .open, received.readableBytes == 0 else {
      received.writeBytes(bytes)
      decodeReceived()
      return
    }
    let rest = decode(bytes)
    if !rest.isEmpty { received.writeBytes(rest) }
  }

  private func decodeReceived() {
    guard state == .open, received.readableBytes > 0 else { return }
    var bytes = received
    received = ByteBuffer()
    let used = bytes.withUnsafeReadableBytes { $0.count - decode($0).count }
    bytes.moveReaderIndex(forwardBy: used)
    if bytes.readableBytes > 0 { received = bytes }
  }

  /// Decodes messages until the bytes are used up or the bounds say to wait.
  /// - Returns: The bytes to be kept.
  private func decode(_ received: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
    var bytes = received
    let (now, arrival) = ingest.turnNow
    var inflatedBytes = 0
    do throws(WebSocketViolation) {
      while state == .open, mayRead, let event = try decoder.next(&bytes, ingest.scratch) {
        switch event {
        case .message(let message):
          guard message.kind == .text else {
            close(.unsupportedData, "send JSON text, not binary messages")
            return nothing
          }
          take(message.payload, arrival: arrival, receivedAt: now)
          if message.wasCompressed { inflatedBytes += message.payload.count }
          if inflatedBytes >= WebSocketSession.inflatedBytesPerTurnMax { goOnNextTurn() }
          // Messages that no sync will answer must not fill the bound on unanswered messages.
          if isAnsweredAtOnce, !mayRead { answerAtOnce() }
        case .ping(let payload): outgoing.writeWebSocketFrame(.pong, payload)
        case .pong: break
        case .close(let peer):
          // First all messages before it are answered for.
          if isAnsweredAtOnce { answerAtOnce() }
          if state == .open { endReading(peer.code, "") }
          return nothing
        }
      }
    } catch {
      close(error.closeCode, error.description)
      return nothing
    }
    if pipeline.isPaused, !isWaitingForPipeline {
      isWaitingForPipeline = true
      pipeline.waitForResume(self)
    }
    if isAnsweredAtOnce { answerAtOnce() }
    return decoder.isEnded || state == .closing ? nothing : bytes
  }

  /// Leaves the rest of a read to a later turn: a kilobyte may inflate to a message of a MiB, so that a read may hold many.
  private func goOnNextTurn() {
    isTurnSpent = true
    let bound = LoopBound(self, ingest.loop)
    ingest.loop.execute {
      bound.value.isTurnSpent = false
      guard bound.value.mayRead else { return }
      bound.value.decodeReceived()
      bound.value.transport?.sessionChanged()
    }
  }

  private func answerAtOnce() {
    isAnsweredAtOnce = false
    answer()
  }

  private func take(_ payload: UnsafeRawBufferPointer, arrival: Timestamp, receivedAt: UInt64) {
    let message = beginMessage(receivedAt: receivedAt)
    let queued = pipeline.submit(
      payload, framing: subprotocol == .penstock ? .json : .single, arrival: arrival, defaultSource: defaultSource,
      tracker: self, message: message)
    guard let queued else { return }
    if queued == 0 { isAnsweredAtOnce = true }
    if let meter = admission.meter { pay(meter, events: queued, now: receivedAt) }
  }

  override func messageRead(queued: Int) {
    if let meter = admission.meter { pay(meter, events: queued, now: NIODeadline.now().uptimeNanoseconds) }
    guard queued == 0 || failure != nil, state == .open || state == .finishing else { return }
    answer()
    transport?.sessionChanged()
  }

  /// Stops reading for as long as the device is ahead of its rate.
  private func pay(_ meter: DeviceMeter, events: Int, now: UInt64) {
    meter.take(events: events, now: now)
    let wait = meter.wait(now: now)
    guard wait > 0, throttle == nil else { return }
    throttle = after(.nanoseconds(Int64(clamping: wait))) { session in
      session.throttle = nil
      if session.mayRead { session.decodeReceived() }
      session.transport?.sessionChanged()
    }
  }

  override func pipelineResumed() {
    isWaitingForPipeline = false
    if mayRead { decodeReceived() }
    transport?.sessionChanged()
  }

  /// Notes whether the transport has room for more to send.
  func writabilityChanged(to isWritable: Bool) {
    self.isWritable = isWritable
    guard isWritable else { return }
    if isAckWanted { writeAck() }
    if isAnswerHeld { answer() }
    if mayRead { decodeReceived() }
  }

  /// Inflated messages are not taken beyond this many bytes in one turn, but for the last: a millisecond's work.
  private static let inflatedBytesPerTurnMax = 256 * 1024

  // MARK: answers

  override func answersMayBeReady() {
    guard state == .open || state == .finishing else { return }
    answer()
    if received.readableBytes > 0, mayRead { decodeReceived() }
    transport?.sessionChanged()
  }

  private func answer() {
    if advance() {
      ingest.counters.ackLatency.recordNanoseconds(
        Int64(clamping: ingest.turnNow.uptime &- lastReceivedAt))
      writeAck()
    }
    isAnswerHeld = !mayTell && openCount > 0
    if let failure {
      fail(failure)
    } else if state == .finishing, openCount == 0 {
      close(ending.code, ending.reason)
    }
  }

  private func welcome(_ positions: [UTF8Text: ProducerPosition]) {
    guard state == .welcoming else { return }
    state = .open
    outgoing.writeWebSocketText(
      DeviceMessages.welcome(configuration: ingest.configuration, sources: sources, positions: positions))
    decodeReceived()
  }

  /// Acknowledgements are cumulative, so one for which there is no room is left out: the next covers it.
  private func writeAck() {
    guard subprotocol == .penstock, transport != nil else { return }
    guard isWritable else {
      isAckWanted = true
      return
    }
    isAckWanted = false
    DeviceMessages.writeAck(totals, offsets, to: &outgoing)
  }

  override var mayTell: Bool { subprotocol != .penstock || outgoing.readableBytes < WebSocketSession.outgoingBytesMax }

  override func tell(_ reject: EventReject, event: Int?, of message: Int, count: Int) {
    guard subprotocol == .penstock, transport != nil, state != .closing else { return }
    outgoing.writeWebSocketText(DeviceMessages.reject(reject, message: message, event: event, count: count))
  }

  /// Gives the bytes to send, all of them or a part: to be called until `outgoing` is empty.
  func takeOutgoing() -> ByteBuffer {
    let taken = outgoing
    outgoing = ByteBuffer()
    if isAnswerHeld { answer() }
    if mayRead { decodeReceived() }
    return taken
  }

  /// Lends the bytes of `takeOutgoing` to `write`; they then count as sent. The memory is kept for the next, unless it has grown
  /// large.
  func sendOutgoing(_ write: (UnsafeRawBufferPointer) -> Void) {
    // Moved out of the session meanwhile: `write` may find the connection broken, and end it.
    var bytes = ByteBuffer()
    swap(&bytes, &outgoing)
    bytes.withUnsafeReadableBytes(write)
    if outgoing.readableBytes == 0, state != .closing, bytes.capacity <= WebSocketSession.keptOutgoingBytesMax {
      bytes.clear()
      outgoing = bytes
    }
    if isAnswerHeld { answer() }
    if received.readableBytes > 0, mayRead { decodeReceived() }
  }

  private static let keptOutgoingBytesMax = 1024
  /// With this many bytes to send, no message is taken and no reject written before they are sent: a small message may be
  /// answered with large ones.
  private static let outgoingBytesMax = 64 * 1024

  // MARK: heartbeat

  var heartbeat: Duration { ingest.configuration.heartbeat }

  /// A heartbeat has passed: pings the peer, or gives it up, whatever this side waits for.
  func beat() {
    switch state {
    case .closing: break
    case .finishing:
      finishingBeats += 1
      if finishingBeats >= WebSocketSession.finishingBeatsMax { close(ending.code, ending.reason) }
    case .welcoming, .open:
      if let denial = admission.denial(ingest) { return deny(denial) }
      let unsent = isWritable ? nil : transport?.unsentBytes
      if let reason = peer.beat(isReading: mayRead, keptBytes: received.readableBytes, unsentBytes: unsent) {
        return close(.goingAway, reason)
      }
      outgoing.writeWebSocketFrame(.ping, UnsafeRawBufferPointer(start: nil, count: 0))
    }
  }
}
