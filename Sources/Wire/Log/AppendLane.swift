import Events
import Logging
import NIOCore
import Synchronization

/// The appends of one partition on their way to the log: in order, one request at a time, sent again until the log has answered.
///
/// A batch keeps the number it got when it was offered, so the log recognises one that it has appended already. An append is never
/// given up while the lane is open: a batch that failed here while a later one of the same source got through would be taken for a
/// duplicate when its device sends it again. So a log that is away makes the lane fill, and who appends stops.
final class AppendLane: Sendable {
  private struct Pending {
    var batch: ColumnBatch
    var number: UInt64
    var completion: @Sendable (Result<AppendReceipt, LogError>) -> Void
    var bytes: Int { batch.encoded.count }
  }

  /// What any thread may touch.
  private struct Queue {
    var pending: [Pending] = []
    var bytes = 0
    var nextNumber: UInt64 = 1
    /// A request is under way, about to be, or waits to be tried again.
    var isSending = false
    var isClosed = false
    var backoff = Backoff()
    var lastWarning: ContinuousClock.Instant?
  }

  private let partition: PartitionID
  private let appender: AppendTag.Appender
  private let client: WireClient
  private let eventLoop: any EventLoop
  private let configuration: RemoteLog.Configuration
  private let metrics: RemoteLogMetrics
  private let logger: Logger
  private let queue = Mutex(Queue())

  init(
    partition: PartitionID, appender: AppendTag.Appender, client: WireClient, configuration: RemoteLog.Configuration,
    metrics: RemoteLogMetrics, logger: Logger
  ) {
    self.partition = partition
    self.appender = appender
    self.client = client
    self.configuration = configuration
    self.metrics = metrics
    self.logger = logger
    eventLoop = client.nextLoop()
  }

  /// Takes a batch, or refuses it at once when too much waits or the lane is closed. Any thread.
  func offer(_ batch: ColumnBatch, _ completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    let bytes = batch.encoded.count
    enum Outcome { case taken, takenFirst, refused(LogError) }
    let outcome = queue.withLock { queue -> Outcome in
      if queue.isClosed { return .refused(LogError(.unavailable, partition: partition, "shutting down")) }
      guard
        queue.pending.isEmpty
          || (queue.bytes + bytes <= configuration.pendingBytesMax && queue.pending.count < configuration.pendingBatchesMax)
      else {
        return .refused(
          LogError(
            .unavailable, partition: partition,
            "\(queue.pending.count) batches of \(queue.bytes) bytes wait for the log's answer; try again later"))
      }
      queue.pending.append(Pending(batch: batch, number: queue.nextNumber, completion: completion))
      queue.nextNumber += 1
      queue.bytes += bytes
      if queue.isSending { return .taken }
      queue.isSending = true
      return .takenFirst
    }
    switch outcome {
    case .taken: break
    case .takenFirst: eventLoop.execute { self.send() }
    case .refused(let error): completion(.failure(error))
    }
  }

  /// Whether every append has been answered.
  var isEmpty: Bool { queue.withLock { $0.pending.isEmpty } }

  /// Refuses later appends, and fails those that wait: what became of them is not known.
  func close() {
    let failed = queue.withLock { queue in
      queue.isClosed = true
      defer {
        queue.pending = []
        queue.bytes = 0
      }
      return queue.pending
    }
    for one in failed {
      one.completion(.failure(LogError(.unavailable, partition: partition, "shut down before the log had answered")))
    }
  }

  // MARK: on the event loop

  private func send() {
    let (body, rows, numbers) = request()
    guard !rows.isEmpty else { return }
    guard let peer = client.dialler.peers().peers.first else {
      return tryAgain(
        PeerError(.noInstance, service: client.dialler.service, "no instance is known").description)
    }
    let request = WireRequest(
      .POST, "/v1/log/partitions/\(partition)/batches", contentType: WireContent.batches, body: body,
      answerBytesMax: ReceiptCoding.bytesMax)
    client.execute(request, to: peer, on: eventLoop, deadline: .now() + .seconds(30)).whenSuccess { result in
      self.answered(result, rows: rows, numbers: numbers)
    }
  }

  /// The first batches that wait, as far as one request holds them. When none waits the lane rests.
  private func request() -> (body: ByteBuffer, rows: [Int], numbers: ClosedRange<UInt64>) {
    let group = queue.withLock { queue -> [Pending] in
      var bytes = 0, count = 0
      while count < min(queue.pending.count, AppendReceipt.unansweredBatchesMax),
        count == 0 || bytes + queue.pending[count].bytes <= BatchFraming.groupBytesMax
      {
        bytes += queue.pending[count].bytes
        count += 1
      }
      if count == 0 { queue.isSending = false }
      return Array(queue.pending.prefix(count))
    }
    guard let first = group.first, let last = group.last else { return (ByteBuffer(), [], 0...0) }
    var body = ByteBuffer()
    body.reserveCapacity(group.reduce(0) { $0 + $1.bytes + 64 })
    for one in group {
      let tag = AppendTag(appender: appender, number: one.number, rows: one.batch.count)
      one.batch.withTagged(tag) { header, payload, tag in
        body.writeBytes(header)
        body.writeBytes(payload)
        body.writeBytes(tag)
      }
    }
    return (body, group.map(\.batch.count), first.number...last.number)
  }

  private func answered(_ result: Result<WireResponse, PeerError>, rows: [Int], numbers: ClosedRange<UInt64>) {
    switch result {
    case .failure(let error): tryAgain(error.description)
    case .success(let response) where response.status != 200:
      let error = LogError(response, partition: partition)
      if AppendLane.passes(error) { return tryAgain(error.description) }
      settle(rows.map { _ in .failure(error) })
      send()
    case .success(let response):
      guard response.contentType == WireContent.receipts, let results = ReceiptCoding.decode(response.body, rows: rows) else {
        return tryAgain("the answer holds no receipts")
      }
      // Up to the first that is to be tried again; behind it the log may have appended more, which it will recognise.
      let settled = results.prefix {
        if case .failure(let error) = $0 { return !AppendLane.passes(error) }
        return true
      }
      settle(Array(settled))
      if settled.count < results.count, case .failure(let error) = results[settled.count] {
        return tryAgain(error.description)
      }
      queue.withLock { $0.backoff.reset() }
      send()
    }
  }

  /// Completes the first batches that wait.
  private func settle(_ results: [Result<AppendReceipt, LogError>]) {
    let settled = queue.withLock { queue -> [Pending] in
      // None of them is there when the lane was closed meanwhile.
      let settled = Array(queue.pending.prefix(results.count))
      queue.pending.removeFirst(settled.count)
      queue.bytes -= settled.reduce(0) { $0 + $1.bytes }
      return settled
    }
    for (one, result) in zip(settled, results) { one.completion(result) }
  }

  /// Whether the log may do later what it does not now: it restarts, or its queue empties. A poisoned partition recovers when the
  /// log restarts; what was written before is found then.
  private static func passes(_ error: LogError) -> Bool {
    switch error.code {
    case .unavailable, .poisoned, .locked: true
    // A full disk is for the device to hear of: it holds back by itself.
    case .corrupt, .io, .outOfRange, .unknownPartition, .incompatible, .diskFull: false
    }
  }

  private func tryAgain(_ reason: String) {
    metrics.retries.increment()
    let (delay, isWorthSaying) = queue.withLock { queue -> (Duration, Bool) in
      let now = ContinuousClock.now
      let isWorthSaying = queue.lastWarning.map { now - $0 > .seconds(10) } ?? true
      if isWorthSaying { queue.lastWarning = now }
      return (queue.backoff.delay(), isWorthSaying)
    }
    logger.log(level: isWorthSaying ? .warning : .debug, "appends to partition \(partition) wait: \(reason)")
    eventLoop.scheduleTask(in: .nanoseconds(delay.nanosecondsHeld)) { self.send() }
  }
}
