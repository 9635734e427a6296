import Synchronization

/// The state that callers and the event loop share: messages on their way to the loop, and totals on their way back.
final class Outbox: Sendable {
  private struct State {
    var queued: [DeviceMessage] = []
    var queuedStart = 0
    var queuedBytes = 0
    /// Whether the loop knows of queued messages; it takes them when it can.
    var isLoopTold = false
    var isFinished = false
    var isEnded = false
    var failure: DeviceClientError?
    var totals = DeviceTotals()
    var roomWaiters: [CheckedContinuation<Void, Never>] = []
    var endWaiters: [CheckedContinuation<Void, Never>] = []
    var answerWaiters: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []

    func hasRoom(_ messagesMax: Int, _ bytesMax: Int) -> Bool {
      queued.count - queuedStart < messagesMax && queuedBytes < bytesMax
    }
  }

  enum Offer {
    case taken(mustTellLoop: Bool)
    case full
    case failed(DeviceClientError)
  }

  private let messagesMax: Int
  private let bytesMax: Int
  private let state = Mutex(State())

  init(messagesMax: Int, bytesMax: Int) {
    self.messagesMax = messagesMax
    self.bytesMax = bytesMax
  }

  // MARK: callers

  func offer(_ message: DeviceMessage) -> Offer {
    state.withLock { state in
      if let failure = state.failure { return .failed(failure) }
      precondition(!state.isFinished, "send after finish")
      guard state.hasRoom(messagesMax, bytesMax) else { return .full }
      state.queued.append(message)
      state.queuedBytes += message.byteCount
      defer { state.isLoopTold = true }
      return .taken(mustTellLoop: !state.isLoopTold)
    }
  }

  /// Takes a message whatever the bounds; if the client has ended meanwhile, the message stays in the spool.
  /// - Returns: Whether the loop must be told.
  func push(_ message: DeviceMessage) -> Bool {
    state.withLock { state in
      guard !state.isEnded else { return false }
      state.queued.append(message)
      state.queuedBytes += message.byteCount
      defer { state.isLoopTold = true }
      return !state.isLoopTold
    }
  }

  /// Returns once there may be room, or the client has ended.
  func waitForRoom() async {
    await withCheckedContinuation { continuation in
      let isDone = state.withLock { state in
        if state.isEnded || state.hasRoom(messagesMax, bytesMax) { return true }
        state.roomWaiters.append(continuation)
        return false
      }
      if isDone { continuation.resume() }
    }
  }

  /// Returns once so many events are answered for, or the client has ended.
  func waitUntilAnswered(_ count: Int) async {
    await withCheckedContinuation { continuation in
      let isDone = state.withLock { state in
        if state.isEnded || state.totals.answered >= count { return true }
        state.answerWaiters.append((count, continuation))
        return false
      }
      if isDone { continuation.resume() }
    }
  }

  /// No more messages will come.
  func finish() { state.withLock { $0.isFinished = true } }

  func waitForEnd() async {
    await withCheckedContinuation { continuation in
      let isDone = state.withLock { state in
        if state.isEnded { return true }
        state.endWaiters.append(continuation)
        return false
      }
      if isDone { continuation.resume() }
    }
  }

  var failure: DeviceClientError? { state.withLock { $0.failure } }
  var totals: DeviceTotals { state.withLock { $0.totals } }

  // MARK: the loop

  /// Moves queued messages to `window`, as long as `fits` says.
  func take(into window: inout MessageWindow, while fits: (MessageWindow) -> Bool) {
    let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      while state.queuedStart < state.queued.count, fits(window) {
        let message = state.queued[state.queuedStart]
        state.queued[state.queuedStart] = DeviceMessage()
        state.queuedStart += 1
        state.queuedBytes -= message.byteCount
        window.append(message)
      }
      if state.queuedStart == state.queued.count {
        state.queued.removeAll(keepingCapacity: true)
        state.queuedStart = 0
        state.isLoopTold = false
      } else if state.queuedStart > 1024 {
        state.queued.removeFirst(state.queuedStart)
        state.queuedStart = 0
      }
      guard state.hasRoom(messagesMax / 2 + 1, bytesMax) else { return [] }
      defer { state.roomWaiters = [] }
      return state.roomWaiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Whether the queue is empty and stays so.
  var isDrained: Bool { state.withLock { $0.isFinished && $0.queuedStart == $0.queued.count } }

  func update(_ body: (inout DeviceTotals) -> Void) {
    let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      body(&state.totals)
      guard !state.answerWaiters.isEmpty else { return [] }
      let answered = state.totals.answered
      let waiters = state.answerWaiters.filter { $0.count <= answered }.map(\.continuation)
      if !waiters.isEmpty { state.answerWaiters.removeAll { $0.count <= answered } }
      return waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// The client has ended: all is acknowledged, or it failed.
  func end(_ failure: DeviceClientError?) {
    let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      guard !state.isEnded else { return [] }
      state.isEnded = true
      state.failure = failure
      state.totals.isConnected = false
      state.queued = []
      state.queuedStart = 0
      state.queuedBytes = 0
      defer {
        state.roomWaiters = []
        state.endWaiters = []
        state.answerWaiters = []
      }
      return state.roomWaiters + state.endWaiters + state.answerWaiters.map(\.continuation)
    }
    for waiter in waiters { waiter.resume() }
  }
}
