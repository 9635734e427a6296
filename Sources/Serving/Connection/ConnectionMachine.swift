import NIOCore
import NIOHTTP1

/// The state of one HTTP/1.1 connection, and the actions that follow from each event. It knows no socket, no clock and no route.
///
/// ```
/// awaiting ─head─▶ reading ─end─▶ answering ─answer's end─▶ awaiting, or lingering after the last answer
/// ```
/// Each transition returns what is to be done. An answer may begin while the request is still being read: it is the connection's
/// last, and the rest of the request is dropped. Whoever drives it looks at `deadline` after each transition, and says when it is
/// over.
struct ConnectionMachine: ~Copyable {
  enum State: Equatable {
    /// Waits for a request's head.
    case awaiting
    /// The head has come; the end of the body has not.
    case reading
    /// The request has come whole.
    case answering
    /// The last answer is out and our side is ended. Bytes that the peer still sends are dropped, since closing with
    /// bytes unread would send a reset, which can overtake the answer.
    case lingering
    /// The connection speaks another protocol from now on.
    case upgraded
    case closed
  }

  struct Times {
    /// From a connection's beginning to the end of its first head, from the first byte of any head to its end, and to that of its
    /// body.
    var request: TimeAmount
    /// From an answer to the first byte of the next head.
    var idle: TimeAmount
    /// The time after the last answer: for a peer that has sent all, and for one that is still sending.
    var linger = TimeAmount.milliseconds(500), lingerUnread = TimeAmount.seconds(5)
  }

  /// A head's statements about its request and connection.
  struct Head {
    var hasBody = false
    /// The body's length; nil where the head does not say.
    var declaredBytes: Int?
    var isKeepAlive = true
    var expectsContinue = false
    /// HTTP/1.1 or later: its sender understands a 100.
    var knowsContinue = true
  }

  enum Refusal { case now, whenWhole }
  enum Part { case take, drop, tooLarge }
  enum End { case answer, drop }
  enum AnswerEnd { case next, last }
  enum Timer: Equatable { case none, wait(NIODeadline), close }

  /// The body of a refused request is read, and the connection goes on, if the body is at most this long.
  static let strayBodyBytesMax = 64 << 10

  private let times: Times
  /// Whether the connection is beyond the allowed number; it may make one request.
  private let isExtra: Bool
  private(set) var state = State.awaiting
  /// The time by which the peer must have sent the next part; nil while nothing is awaited.
  private(set) var deadline: NIODeadline?
  private var head = Head()
  private var bodyBytes = 0
  /// The longest body to accept; nil while no body is accepted.
  private var bodyBytesMax: Int?
  /// Bytes of the next head have come.
  private var isHeadBegun = false
  private var isAnswerBegun = false
  /// Whether the answer is written to its end; the request may not be read to its end yet.
  private var isAnswered = false
  private var isLast = false
  private var isFinishing = false
  private var isInputClosed = false

  init(_ times: Times, begunAt: NIODeadline, isExtra: Bool = false, extraTime: TimeAmount = .seconds(5)) {
    self.times = times
    self.isExtra = isExtra
    deadline = begunAt + (isExtra ? min(times.request, extraTime) : times.request)
  }

  /// Whether a request waits for its answer to begin.
  var isAsked: Bool { (state == .reading || state == .answering) && !isAnswerBegun && !isAnswered }

  // MARK: requests

  /// Bytes have come, of whatever kind. Bytes after a whole request belong to the next head.
  mutating func bytesCame(_ now: NIODeadline) {
    guard !isHeadBegun else { return }
    switch state {
    case .awaiting:
      isHeadBegun = true
      deadline = deadline.map { min($0, now + times.request) }
    case .answering: isHeadBegun = true
    case .reading, .lingering, .upgraded, .closed: break
    }
  }

  /// - Returns: False for a head that is not awaited.
  mutating func begin(_ head: Head, _ now: NIODeadline) -> Bool {
    guard state == .awaiting else { return false }
    state = .reading
    self.head = head
    (bodyBytes, bodyBytesMax) = (0, nil)
    (isHeadBegun, isAnswerBegun, isAnswered, isLast) = (false, false, false, false)
    deadline = now + times.request
    return true
  }

  /// The request is to be answered.
  /// - Parameter bodyBytesMax: The longest body that is taken.
  /// - Returns: Whether the sender waits for a 100 before it sends the body.
  mutating func admit(bodyBytesMax: Int) -> Bool {
    precondition(state == .reading, "there is no request")
    self.bodyBytesMax = bodyBytesMax
    return head.expectsContinue && head.knowsContinue
  }

  /// The service does not answer the request. The refusal is sent at once where the body is long or its sender waits for a 100.
  mutating func refuse() -> Refusal {
    precondition(state == .reading, "there is no request")
    bodyBytesMax = nil
    guard head.hasBody else { return .whenWhole }
    guard let bytes = head.declaredBytes, bytes <= ConnectionMachine.strayBodyBytesMax, !head.expectsContinue else { return .now }
    return .whenWhole
  }

  /// A part of the body has come.
  mutating func body(_ bytes: Int) -> Part {
    guard state == .reading, !isAnswerBegun, let bodyBytesMax else { return .drop }
    bodyBytes += bytes
    return bodyBytes <= bodyBytesMax ? .take : .tooLarge
  }

  /// The request has come whole.
  mutating func end(_ now: NIODeadline) -> End {
    guard state == .reading else { return .drop }
    guard isAnswerBegun else {
      state = .answering
      deadline = nil
      return .answer
    }
    // Answered early: our side is ended or about to be, and now the peer has sent all, too.
    state = .lingering
    deadline = now + times.linger
    return .drop
  }

  // MARK: answers

  /// - Parameter closes: Whether the answer itself is marked as the connection's last.
  /// - Returns: Whether it is the connection's last answer; its head must say so.
  mutating func beginAnswer(closes: Bool = false) -> Bool {
    precondition(isAsked, "an answer to no request")
    isAnswerBegun = true
    isLast = closes || isExtra || isFinishing || isInputClosed || !head.isKeepAlive || state != .answering
    return isLast
  }

  /// The answer is about to be written to its end, which may let the next request in at once.
  mutating func endAnswer() -> AnswerEnd {
    precondition(isAnswerBegun && !isAnswered, "no answer to end")
    isAnswered = true
    // Streams begin before it is known that they are the connection's last.
    if isFinishing || isInputClosed { isLast = true }
    guard !isLast else { return .last }
    state = .awaiting
    deadline = nil
    return .next
  }

  /// The written bytes have been given to the system, or wait for the peer.
  /// - Returns: Whether the connection is idle from now on.
  mutating func flushed(_ now: NIODeadline) -> Bool {
    guard state == .awaiting, isAnswered, deadline == nil else { return false }
    deadline = now + (isHeadBegun ? times.request : times.idle)
    return true
  }

  /// The last answer is out.
  /// - Returns: Whether to close at once; else our side is to be ended, and the peer's end awaited.
  mutating func outputEnded(_ now: NIODeadline) -> Bool {
    guard isAnswered, isLast, state != .closed else { return true }
    guard !isInputClosed else { return true }
    let isWhole = state != .reading
    if state == .answering { state = .lingering }
    deadline = now + (isWhole ? times.linger : times.lingerUnread)
    return false
  }

  // MARK: ends

  /// The service is to end the connection once the answer under way is out.
  /// - Returns: Whether to close at once. At a second call, a request that is still being read is not awaited.
  mutating func finish() -> Bool {
    defer { isFinishing = true }
    switch state {
    case .awaiting: return true
    case .reading: return isFinishing
    case .answering, .lingering, .upgraded, .closed: return false
    }
  }

  /// The peer has ended its side.
  /// - Returns: Whether to close at once; else the peer may still wait for its answer.
  mutating func inputClosed() -> Bool {
    isInputClosed = true
    return state != .answering && state != .upgraded
  }

  /// Whether a 100 may be sent to a peer that has ended its side: one that has left answers that with a reset, which ends the
  /// connection and with it whatever is done for nobody.
  var mayProbe: Bool { state == .answering && isInputClosed && isAsked && head.knowsContinue }

  /// The request is answered by another protocol.
  mutating func upgrade() {
    precondition(state == .answering && isAsked, "nobody asks for another protocol")
    state = .upgraded
    deadline = nil
  }

  mutating func closed() {
    state = .closed
    deadline = nil
  }

  /// A timer has fired: the deadline has passed, or it has moved since.
  /// - Parameter isUnsent: Whether the peer has not taken all of the last answer; `StallWatch` times that.
  mutating func timerFired(_ now: NIODeadline, isUnsent: Bool) -> Timer {
    guard let deadline else { return .none }
    guard deadline <= now else { return .wait(deadline) }
    guard state == .awaiting, isUnsent, !isHeadBegun else { return .close }
    self.deadline = now + times.idle
    return .wait(now + times.idle)
  }
}

extension ConnectionMachine.Head {
  init(_ head: HTTPRequestHead) {
    let isChunked = head.headers.contains(name: "transfer-encoding")
    declaredBytes = isChunked ? nil : head.headers.first(name: "content-length").flatMap { Int($0) }
    hasBody = isChunked || declaredBytes ?? 0 > 0
    isKeepAlive = head.isKeepAlive
    expectsContinue = head.headers["expect"].contains { $0.lowercased() == "100-continue" }
    knowsContinue = (head.version.major, head.version.minor) >= (1, 1)
  }
}
