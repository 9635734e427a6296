import Events
import Logging
import Metrics
import NIOCore
import Synchronization

/// The log of another process. Keeps the promises of `EventLog` across lost connections and restarts of the log:
/// appends in order, each once, answered when synced; reads that fail are retried for as long as its `patience` lasts.
public final class RemoteLog: EventLog, Sendable {
  public struct Configuration: Sendable {
    /// The bytes that may wait for the log's answer, per partition; beyond it, `.unavailable`. One batch is always accepted.
    public var pendingBytesMax = 16 << 20
    public var pendingBatchesMax = 4096
    /// How long reads and waits are retried while the log does not answer; nil: until their task is cancelled.
    public var patience: Duration?
    /// The patience of `bounds` and `producerPositions`, for which somebody waits.
    public var questionPatience = Duration.seconds(5)

    public init(patience: Duration? = nil) { self.patience = patience }
  }

  /// The timeout of a question whose answer the caller can do without.
  private static let probeTimeout = Duration.milliseconds(800)
  /// The time between two reads at a partition's end: a request has a fixed cost, and the busier the log, the more it carries.
  private static let readInterval = Duration.milliseconds(10)

  public let partitionCount: Int
  private let contact: LogContact
  let link: LogLink
  let configuration: Configuration
  private let lanes: AppendLanes
  private let logger: Logger
  /// The time at which each partition that was read to its end may be read again.
  private let nextReads: Mutex<[PartitionID: ContinuousClock.Instant]> = Mutex([:])
  private let gathered = GatheredReads()

  /// Asks the log for its partitions until one answers or the task is cancelled.
  /// - Throws: `.incompatible` when the answer is not from a log of this version, `.unavailable` when cancelled.
  public static func connect(_ client: WireClient, configuration: Configuration = Configuration(), logger: Logger)
    async throws(LogError)
    -> RemoteLog
  {
    let response = try await LogLink(client, contact: nil, logger).ask(WireRequest(.GET, "/v1/log"), patience: nil)
    guard case .int(let partitions)? = response.json?["partitions"],
      (1...PartitionID.countMax).contains(Int(clamping: partitions))
    else { throw LogError(.incompatible, "what answers as \(client.dialler.service) does not say how many partitions it has") }
    guard case .string(let name)? = response.json?["log"], let identity = LogIdentity(parsing: name) else {
      throw LogError(.incompatible, "what answers as \(client.dialler.service) does not say which log it is")
    }
    return RemoteLog(client, identity, partitions: Int(partitions), configuration: configuration, logger: logger)
  }

  init(_ client: WireClient, _ identity: LogIdentity, partitions: Int, configuration: Configuration, logger: Logger) {
    partitionCount = partitions
    contact = LogContact(identity)
    link = LogLink(client, contact: contact, logger)
    self.configuration = configuration
    self.logger = logger
    lanes = AppendLanes(
      partitions: partitions, appender: .random(), contact: contact, client: client, configuration: configuration,
      metrics: RemoteLogMetrics(),
      logger: logger)
  }

  public var identity: LogIdentity { contact.identity }
  public var replacement: LogError? { contact.replacement }
  /// The reports that services exchange through this log's process.
  public var reports: RemoteReports { RemoteReports(link: link, patience: configuration.questionPatience) }

  /// Waits until appends are answered, then refuses more and fails the rest. The client stays open: its owner closes it.
  public func close(timeout: Duration = .seconds(5)) async {
    let deadline = ContinuousClock.now + timeout
    while !lanes.isEmpty, ContinuousClock.now < deadline {
      do { try await Task.sleep(for: .milliseconds(5)) } catch { break }
    }
    lanes.close()
  }

  /// The reason why the log does not answer; nil when it does. Asks it, for less than the second that Consul waits for `/readyz`.
  public nonisolated(nonsending) func problem() async -> String? {
    do throws(LogError) {
      _ = try await link.ask(WireRequest(.GET, "/v1/log"), patience: .zero, timeout: RemoteLog.probeTimeout)
      return nil
    } catch {
      return error.description
    }
  }

  // MARK: EventLog

  public func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    guard batch.partition.index < partitionCount else { return completion(.failure(unknown(batch.partition))) }
    lanes.offer(batch, completion)
  }

  public nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  {
    guard partition.index < partitionCount else { throw unknown(partition) }
    // Cancelled: the following call will be, too.
    if let next = nextRead(of: [partition]) { try? await Task.sleep(until: next) }
    let request = WireRequest(
      .GET, "/v1/log/partitions/\(partition)/batches?from=\(start)&bytes_max=\(bytesMax)", answerBytesMax: BatchFraming.bytesMax)
    let response = try await link.ask(request, of: partition, patience: configuration.patience)
    let batches = try ReadCoding.batches(response.body, partition, from: start).get()
    noteRead([partition], isAtEnd: response.body.readableBytes < bytesMax / 2)
    return batches
  }

  public nonisolated(nonsending) func readSome(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead] {
    guard !positions.offsets.isEmpty else { return [] }
    if let next = nextRead(of: positions.offsets.keys) {
      let reads = await gathered.read(from: positions, at: next) { await self.readNow(from: $0, bytesMax: bytesMax) }
      if !reads.isEmpty { return reads }
    }
    return await readNow(from: positions, bytesMax: bytesMax)
  }

  private nonisolated(nonsending) func readNow(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead] {
    guard let first = positions.sorted.first?.partition, let from = try? JSONValue(parsing: positions.description) else {
      preconditionFailure("a vector's text is JSON, and this one is not empty")
    }
    var request = WireRequest(posting: ["from": from, "bytes_max": .int(Int64(bytesMax))], to: "/v1/log/read")
    // The last of several may be a batch that is as long alone.
    request.answerBytesMax = BatchFraming.bytesMax * 2
    do throws(LogError) {
      let response = try await link.ask(request, patience: configuration.patience)
      guard response.contentType == WireContent.reads, let reads = ReadCoding.decode(response.body, from: positions) else {
        throw LogLink.malformed(first)
      }
      noteRead(reads.map(\.partition), isAtEnd: response.body.readableBytes < bytesMax / 2)
      return reads
    } catch {
      return [PartitionRead(first, .failure(error))]
    }
  }

  /// The last time at which some partitions that were read to their end may be read again; nil when all may be now.
  private func nextRead(of partitions: some Collection<PartitionID>) -> ContinuousClock.Instant? {
    let next = nextReads.withLock { nextReads in partitions.compactMap { nextReads[$0] }.max() }
    return next.flatMap { $0 > .now ? $0 : nil }
  }

  private func noteRead(_ partitions: [PartitionID], isAtEnd: Bool) {
    let next = isAtEnd ? ContinuousClock.now + RemoteLog.readInterval : nil
    nextReads.withLock { nextReads in for partition in partitions { nextReads[partition] = next } }
  }

  public nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    try await bounds(of: partition, patience: configuration.questionPatience, timeout: LogLink.timeout)
  }

  private nonisolated(nonsending) func bounds(
    of partition: PartitionID, patience: Duration, timeout: Duration
  ) async throws(LogError) -> PartitionBounds {
    guard partition.index < partitionCount else { throw unknown(partition) }
    let response = try await link.ask(
      WireRequest(.GET, "/v1/log/partitions/\(partition)"), of: partition, patience: patience, timeout: timeout)
    guard case .int(let start)? = response.json?["start"], case .int(let end)? = response.json?["high_watermark"],
      0 <= start, start <= end
    else { throw LogLink.malformed(partition) }
    let bounds = PartitionBounds(startOffset: Offset(start), highWatermark: Offset(end))
    link.presence.note(bounds, of: partition)
    return bounds
  }

  public nonisolated(nonsending) func lastBounds(of partition: PartitionID) async -> KnownBounds? {
    if link.presence.isWorthAsking {
      do throws(LogError) {
        return KnownBounds(try await bounds(of: partition, patience: .zero, timeout: RemoteLog.probeTimeout))
      } catch {
        logger.debug("no bounds of partition \(partition): \(error)")
      }
    }
    return link.presence.bounds(of: partition).map { KnownBounds($0, isCurrent: false) }
  }

  public nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    for partition in positions.offsets.keys where partition.index >= partitionCount { throw unknown(partition) }
    var past = JSONObject()
    for (partition, offset) in positions.sorted { past[partition.description] = .int(offset.rawValue) }
    try await link.waitUntilAppended("/v1/log/wait", past: .object(past), patience: configuration.patience)
  }

  public nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError)
    -> [UTF8Text: ProducerPosition]
  {
    var result: [UTF8Text: ProducerPosition] = [:]
    var rest = sources[...]
    while !rest.isEmpty {
      let some = rest.prefix(256)
      rest = rest.dropFirst(some.count)
      let request = WireRequest(posting: ["sources": .array(some.map { .string($0) })], to: "/v1/log/producers")
      let response = try await link.ask(request, patience: configuration.questionPatience)
      guard case .array(let found)? = response.json?["producers"] else { throw LogLink.malformed() }
      for one in found {
        guard case .string(let source)? = one["source"], case .string(let epoch)? = one["epoch"],
          case .string(let sequence)? = one["sequence"], let epoch = UInt64(epoch), let sequence = UInt64(sequence)
        else { throw LogLink.malformed() }
        result[UTF8Text(source)] = ProducerPosition(epoch: epoch, sequence: sequence)
      }
    }
    return result
  }

  public nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
  {
    guard partition.index < partitionCount else { throw unknown(partition) }
    let response = try await link.ask(
      WireRequest(.GET, "/v1/log/partitions/\(partition)/first_offset?at=\(time.nanoseconds)"), of: partition,
      patience: configuration.questionPatience)
    switch response.json?["offset"] {
    case .int(let offset)? where offset >= 0: return Offset(offset)
    case .null?: return nil
    default: throw LogLink.malformed(partition)
    }
  }

  private func unknown(_ partition: PartitionID) -> LogError {
    LogError(.unknownPartition, partition: partition, "the log has partitions 0 to \(partitionCount - 1)")
  }
}

/// The metrics of a process that appends over the wire.
struct RemoteLogMetrics: Sendable {
  /// Requests with batches that were sent again, or postponed because no log answers.
  let retries = Counter(label: "penstock_wire_append_retries_total")
}
