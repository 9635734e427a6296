import Events
import Logging
import Synchronization

/// A log of partitions with a writer each, whatever keeps their bytes: all of `EventLog` that engines share, and of
/// `LogAdministration` what is not the engine's own.
public protocol PartitionedLog: EventLog, LogAdministration {
  var partitions: LogPartitions { get }
}

/// The partitions of a log, and what their writers share. A damaged one does not keep the others from opening: it answers with
/// its error, and `status` lists it.
public struct LogPartitions: Sendable {
  package struct Shared: Sendable {
    let configuration: LogConfiguration
    let clock: LogClock
    let logger: Logger
    var scheduler: any LogScheduler = DispatchScheduler()
    let waiters = AppendWaiters()
    let metrics = LogMetrics()

    package init(_ configuration: LogConfiguration, clock: LogClock, logger: Logger) {
      self.configuration = configuration
      self.clock = clock
      self.logger = logger
    }
  }

  struct OpenPartition: Sendable {
    let queue: AppendQueue
    let tail: PartitionTail
    let writer: PartitionWriter

    fileprivate init(_ partition: PartitionID, _ opened: sending OpenedStore, _ shared: Shared) {
      let configuration = shared.configuration
      queue = AppendQueue(
        partition: partition, bytesMax: configuration.pendingBytesMax, batchesMax: configuration.pendingBatchesMax)
      tail = PartitionTail(
        partition, reader: opened.store.reader, end: opened.end, recentBytesMax: configuration.recentBytesMax)
      writer = PartitionWriter(opened, queue: queue, tail: tail, shared)
    }
  }

  let shared: Shared
  private let all: [Result<OpenPartition, LogError>]

  /// Opens all partitions at once, on threads that may block.
  /// - Parameters:
  ///   - shared: Values that all partitions share.
  ///   - open: Opens one partition's store.
  package init(
    _ shared: Shared, open: @escaping @Sendable (PartitionID) throws(LogError) -> sending OpenedStore
  ) async {
    let results = Mutex([Result<OpenPartition, LogError>?](repeating: nil, count: shared.configuration.partitions))
    await shared.scheduler.perform(shared.configuration.partitions) { index in
      let partition = PartitionID(index)
      let result: Result<OpenPartition, LogError>
      do throws(LogError) {
        result = .success(OpenPartition(partition, try open(partition), shared))
      } catch {
        shared.metrics.failed.increment()
        shared.logger.error("partition does not open", metadata: ["partition": "\(partition)", "failure": "\(error)"])
        result = .failure(error)
      }
      results.withLock { $0[index] = result }
    }
    self.shared = shared
    all = results.withLock { $0.compactMap { $0 } }
    precondition(all.count == shared.configuration.partitions)
  }

  var count: Int { all.count }
  var open: [OpenPartition] { all.compactMap { if case .success(let open) = $0 { open } else { nil } } }

  func partition(_ partition: PartitionID) throws(LogError) -> OpenPartition {
    guard partition.index < all.count else {
      throw LogError(.unknownPartition, partition: partition, "the log has partitions 0 to \(all.count - 1)")
    }
    return try all[partition.index].get()
  }

  var status: [PartitionStatus] {
    all.enumerated().map { index, partition in
      switch partition {
      case .failure(let error):
        return PartitionStatus(partition: PartitionID(index), state: .failed(error), bounds: nil, segments: 0, bytes: 0)
      case .success(let open):
        let size = open.tail.reader.size
        return PartitionStatus(
          partition: PartitionID(index), state: open.queue.refusal.map { .refusing($0) } ?? .open, bounds: open.tail.bounds,
          segments: size.pieces, bytes: size.bytes)
      }
    }
  }

  /// As `LogAdministration.close`, but for what is the engine's own.
  package func close() async {
    for partition in open {
      partition.queue.close(LogError(.unavailable, partition: partition.tail.partition, "the log is shut down"))
    }
    for partition in open { await partition.writer.close() }
    shared.waiters.close()
  }
}

extension PartitionedLog {
  public var partitionCount: Int { partitions.count }

  public func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    let partition: LogPartitions.OpenPartition
    do throws(LogError) { partition = try partitions.partition(batch.partition) } catch { return completion(.failure(error)) }
    switch partition.queue.offer(PendingAppend(batch, completion)) {
    case .taken: break
    case .takenFirst: partition.writer.schedule()
    case .refused(let error):
      partitions.shared.metrics.refused.increment()
      completion(.failure(error))
    }
  }

  /// May block the caller's thread while it reads, unless the batches are still in memory.
  public nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  {
    try await partitions.partition(partition).tail.read(from: start, bytesMax: bytesMax)
  }

  public nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    try partitions.partition(partition).tail.bounds
  }

  public nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    var watched: [(tail: PartitionTail, offset: Offset)] = []
    for (partition, offset) in positions.sorted { watched.append((try partitions.partition(partition).tail, offset)) }
    await partitions.shared.waiters.wait(past: positions) { [watched] in
      watched.contains { $0.tail.highWatermark > $0.offset }
    }
    if partitions.shared.waiters.isClosed { throw LogError(.unavailable, "the log is shut down") }
  }

  public nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError)
    -> [UTF8Text: ProducerPosition]
  {
    var byPartition: [PartitionID: [String]] = [:]
    for source in sources { byPartition[partition(of: source), default: []].append(source) }
    var result: [UTF8Text: ProducerPosition] = [:]
    for (partition, sources) in byPartition {
      let found = try await partitions.partition(partition).writer.positions(of: sources)
      for (source, position) in found { result[UTF8Text(source)] = position }
    }
    return result
  }

  public nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
  {
    try await partitions.partition(partition).tail.firstOffset(atOrAfter: time)
  }

  // MARK: LogAdministration

  public func status() -> [PartitionStatus] { partitions.status }

  /// Removes whole segments that are too old or too many for `retention`, from each partition's front: never the active
  /// one, never one with events that `hold` keeps. An active segment that was begun longer than `retention.age` ago is
  /// sealed first, so that it can go later: an event stays for `age` at least, and for about twice that at most.
  @discardableResult
  public func enforceRetention(_ hold: RetentionHold) async throws(LogError) -> Int {
    let shared = partitions.shared
    let (now, floor) = (shared.clock.now(), shared.clock.floor)
    let retention = shared.configuration.retention
    guard retention.age != nil || retention.bytes != nil else { return 0 }
    var removed = 0
    var failure: LogError?
    for partition in partitions.open {
      guard case .below(let limit) = hold.limit(in: partition.tail.partition) else { continue }
      do throws(LogError) {
        removed += try await partition.writer.enforce(
          RetentionRule(retention: retention, now: now, floor: floor, limit: limit))
      } catch {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
    return removed
  }

  public func runRetention(every interval: Duration, hold: @Sendable () async -> RetentionHold) async {
    let shared = partitions.shared
    guard shared.configuration.retention != LogConfiguration.Retention() else { return }
    while !Task.isCancelled {
      do throws(LogError) {
        let removed = try await enforceRetention(await hold())
        if removed > 0 { shared.logger.info("retention has removed segments", metadata: ["segments": "\(removed)"]) }
      } catch {
        shared.logger.error("retention has failed and is tried again", metadata: ["failure": "\(error)"])
      }
      do { try await Task.sleep(for: interval) } catch { return }
    }
  }
}
