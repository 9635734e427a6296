import Events
import Logging
import NIOCore
import Synchronization

/// Appends on their way to the log: a lane for each partition, in order, and one request for the waiting batches of all lanes.
///
/// A batch keeps the number it got when it was offered, so the log recognises one that it has appended already. While the lanes
/// are open, an append is never given up: if a batch failed here while a later one of the same source got through, it would be
/// taken for a duplicate when its device sends it again. So while the log is away the lanes fill, and appenders stop.
final class AppendLanes: Sendable {
  /// Requests under way at once; no two have a partition in common. Batches that come meanwhile wait, and go together.
  static let requestsMax = 2
  /// The least time between the begins of two requests: a request has a fixed cost, and the busier the devices, the more it
  /// carries.
  static let interval = TimeAmount.milliseconds(2)
  /// Rows in one request: each may be an exception, and the answer is bounded.
  static let rowsMax = 1 << 20

  private struct Pending {
    var batch: ColumnBatch
    var number: UInt64
    var completion: @Sendable (Result<AppendReceipt, LogError>) -> Void
    var bytes: Int { batch.encoded.count }
  }

  private struct Lane {
    var pending: [Pending] = []
    var bytes = 0
    var nextNumber: UInt64 = 1
    /// Whether its first batches are under way, or wait for a retry.
    var isHeld = false
    var retries = Retries()
  }

  /// The retries, and how often they are logged.
  private struct Retries {
    var backoff = Backoff()
    var lastWarning: ContinuousClock.Instant?

    mutating func next() -> (delay: Duration, isWorthSaying: Bool) {
      let now = ContinuousClock.now
      let isWorthSaying = lastWarning.map { now - $0 > .seconds(10) } ?? true
      if isWorthSaying { lastWarning = now }
      return (backoff.delay(), isWorthSaying)
    }
  }

  /// The state that any thread may use.
  private struct State {
    var lanes: [Lane]
    var requests = 0
    /// The lane that the next request begins with: a request's bytes are bounded, and must not always leave out the same lanes.
    var first = 0
    /// Whether the loop is about to send.
    var isWoken = false
    /// Whether no log has answered; all is retried after a while.
    var isPaused = false
    /// Whether a request has begun just now.
    var isResting = false
    var retries = Retries()
    var isClosed = false

    var mayBegin: Bool { !isPaused && !isResting && requests < AppendLanes.requestsMax }
  }

  private struct Share {
    var partition: Int
    var batches: [Pending]
  }

  /// A `Share` whose answer has not come.
  private struct Sent {
    var partition: Int
    var rows: [Int]
  }

  private let appender: AppendTag.Appender
  private let contact: LogContact
  private let client: WireClient
  private let eventLoop: any EventLoop
  private let configuration: RemoteLog.Configuration
  private let metrics: RemoteLogMetrics
  private let logger: Logger
  private let state: Mutex<State>

  init(
    partitions: Int, appender: AppendTag.Appender, contact: LogContact, client: WireClient,
    configuration: RemoteLog.Configuration,
    metrics: RemoteLogMetrics, logger: Logger
  ) {
    self.appender = appender
    self.contact = contact
    self.client = client
    self.configuration = configuration
    self.metrics = metrics
    self.logger = logger
    eventLoop = client.nextLoop()
    state = Mutex(State(lanes: Array(repeating: Lane(), count: partitions)))
  }

  /// Takes a batch of an existing partition, or refuses it at once when too much waits or the lanes are closed. Any thread may
  /// call it.
  func offer(_ batch: ColumnBatch, _ completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    let (bytes, partition) = (batch.encoded.count, batch.partition)
    enum Outcome { case taken, wake, refused(LogError) }
    let outcome = state.withLock { state -> Outcome in
      if state.isClosed { return .refused(LogError(.unavailable, partition: partition, "shutting down")) }
      let (waiting, held) = (state.lanes[partition.index].pending.count, state.lanes[partition.index].bytes)
      guard waiting == 0 || (held + bytes <= configuration.pendingBytesMax && waiting < configuration.pendingBatchesMax) else {
        return .refused(
          LogError(
            .unavailable, partition: partition, "\(waiting) batches of \(held) bytes wait for the log's answer; try again later"))
      }
      let number = state.lanes[partition.index].nextNumber
      state.lanes[partition.index].pending.append(Pending(batch: batch, number: number, completion: completion))
      state.lanes[partition.index].nextNumber += 1
      state.lanes[partition.index].bytes += bytes
      if state.isWoken || !state.mayBegin || state.lanes[partition.index].isHeld { return .taken }
      state.isWoken = true
      return .wake
    }
    switch outcome {
    case .taken: break
    case .wake: eventLoop.execute { self.send() }
    case .refused(let error): completion(.failure(error))
    }
  }

  /// Whether every append has been answered.
  var isEmpty: Bool { state.withLock { $0.lanes.allSatisfy(\.pending.isEmpty) } }

  /// Refuses later appends, and fails those that wait: it is not known whether they are in the log.
  func close() {
    let failed = state.withLock { state in
      state.isClosed = true
      var failed: [Pending] = []
      for lane in state.lanes.indices {
        failed += state.lanes[lane].pending
        state.lanes[lane].pending = []
        state.lanes[lane].bytes = 0
      }
      return failed
    }
    for one in failed {
      let error = LogError(.unavailable, partition: one.batch.partition, "shut down before the log had answered")
      one.completion(.failure(error))
    }
  }

  // MARK: on the event loop

  private func send() {
    let shares = nextRequest()
    guard !shares.isEmpty else { return }
    let sent = shares.map { Sent(partition: $0.partition, rows: $0.batches.map(\.batch.count)) }
    guard let peer = client.dialler.peers().peers.first else {
      return pause(sent, PeerError(.noInstance, service: client.dialler.service, "no instance is known").description)
    }
    var request = WireRequest(
      .POST, "/v1/log/batches", contentType: WireContent.batches, body: body(of: shares), answerBytesMax: ReceiptCoding.bytesMax)
    request.log = contact.name
    client.execute(request, to: peer, on: eventLoop, deadline: .now() + .seconds(30)).whenSuccess { result in
      self.answered(result, sent)
    }
    eventLoop.scheduleTask(in: AppendLanes.interval) {
      self.state.withLock { $0.isResting = false }
      self.send()
    }
  }

  /// The first waiting batches of each free lane, as far as one request holds them; none when none is to be sent now.
  private func nextRequest() -> [Share] {
    state.withLock { state in
      state.isWoken = false
      guard state.mayBegin else { return [] }
      var shares: [Share] = []
      var bytes = 0, rows = 0
      let lanes = state.lanes.count
      let first = state.first
      for turn in 0..<lanes {
        let lane = (first + turn) % lanes
        guard !state.lanes[lane].isHeld else { continue }
        var count = 0
        for one in state.lanes[lane].pending.prefix(AppendReceipt.unansweredBatchesMax) {
          let isFirst = shares.isEmpty && count == 0
          guard isFirst || (bytes + one.bytes <= BatchFraming.groupBytesMax && rows + one.batch.count <= AppendLanes.rowsMax)
          else {
            // The first lane that found no room begins the next request.
            if state.first == first { state.first = lane }
            break
          }
          bytes += one.bytes
          rows += one.batch.count
          count += 1
        }
        guard count > 0 else { continue }
        shares.append(Share(partition: lane, batches: Array(state.lanes[lane].pending.prefix(count))))
        state.lanes[lane].isHeld = true
      }
      guard !shares.isEmpty else { return [] }
      state.requests += 1
      state.isResting = true
      return shares
    }
  }

  private func body(of shares: [Share]) -> ByteBuffer {
    var body = ByteBuffer()
    body.reserveCapacity(shares.reduce(0) { $0 + $1.batches.reduce(0) { $0 + $1.bytes + 64 } })
    for one in shares.lazy.flatMap(\.batches) {
      let tag = AppendTag(appender: appender, number: one.number, rows: one.batch.count)
      one.batch.withTagged(tag) { header, payload, tag in
        body.writeBytes(header)
        body.writeBytes(payload)
        body.writeBytes(tag)
      }
    }
    return body
  }

  private func answered(_ result: Result<WireResponse, PeerError>, _ sent: [Sent]) {
    switch result {
    case .failure(let error): return pause(sent, error.description)
    case .success(let response) where contact.judge(response) != nil:
      // If that log has taken anything, nobody here counts it.
      return pause(sent, contact.replacement?.description ?? "another log answers")
    case .success(let response) where response.status != 200:
      let error = LogError(response, partition: nil)
      if AppendLanes.passes(error) { return pause(sent, error.description) }
      for share in sent {
        var error = error
        error.partition = PartitionID(share.partition)
        settle(share, share.rows.map { _ in .failure(error) }[...])
      }
    case .success(let response):
      guard response.contentType == WireContent.receipts,
        let results = ReceiptCoding.decode(response.body, rows: sent.flatMap(\.rows))
      else { return pause(sent, "the answer holds no receipts") }
      var rest = results[...]
      for share in sent {
        settle(share, rest.prefix(share.rows.count))
        rest = rest.dropFirst(share.rows.count)
      }
      state.withLock { $0.retries.backoff.reset() }
    }
    state.withLock { $0.requests -= 1 }
    send()
  }

  /// Completes the first waiting batches of a lane, up to the first that must be retried. The log may have appended
  /// later ones, which it will recognise.
  private func settle(_ share: Sent, _ results: ArraySlice<Result<AppendReceipt, LogError>>) {
    let settled = results.prefix {
      if case .failure(let error) = $0 { return !AppendLanes.passes(error) }
      return true
    }
    let completed = state.withLock { state -> [Pending] in
      // None of them is there when the lanes were closed meanwhile.
      let completed = Array(state.lanes[share.partition].pending.prefix(settled.count))
      state.lanes[share.partition].pending.removeFirst(completed.count)
      state.lanes[share.partition].bytes -= completed.reduce(0) { $0 + $1.bytes }
      if settled.count == results.count {
        state.lanes[share.partition].isHeld = false
        state.lanes[share.partition].retries.backoff.reset()
      }
      return completed
    }
    for (one, result) in zip(completed, settled) { one.completion(result) }
    guard settled.count < results.count, case .failure(let error) = results[settled.endIndex] else { return }
    let (delay, isWorthSaying) = state.withLock { $0.lanes[share.partition].retries.next() }
    say(isWorthSaying, "appends to partition \(share.partition) wait: \(error)")
    tryAgain(after: delay) { $0.lanes[share.partition].isHeld = false }
  }

  /// Whether the log may accept later what it refuses now: it restarts, or its queue empties. A poisoned partition
  /// recovers when the log restarts, and then finds the batches written before.
  private static func passes(_ error: LogError) -> Bool {
    switch error.code {
    case .unavailable, .poisoned, .locked, .anotherLog: true
    // A device must learn of a full disk: it holds back by itself.
    case .corrupt, .io, .outOfRange, .unknownPartition, .incompatible, .diskFull: false
    }
  }

  /// Begins no request for a while, since no log has answered one.
  private func pause(_ sent: [Sent], _ reason: String) {
    let (delay, isWorthSaying) = state.withLock { state in
      for share in sent { state.lanes[share.partition].isHeld = false }
      state.requests -= 1
      state.isPaused = true
      state.isResting = false
      return state.retries.next()
    }
    say(isWorthSaying, "appends wait: \(reason)")
    tryAgain(after: delay) { $0.isPaused = false }
  }

  private func tryAgain(after delay: Duration, _ release: @escaping @Sendable (inout State) -> Void) {
    metrics.retries.increment()
    eventLoop.scheduleTask(in: .nanoseconds(delay.nanosecondsHeld)) {
      self.state.withLock { release(&$0) }
      self.send()
    }
  }

  private func say(_ isWorthSaying: Bool, _ text: String) {
    logger.log(level: isWorthSaying ? .warning : .debug, "\(text)")
  }
}
