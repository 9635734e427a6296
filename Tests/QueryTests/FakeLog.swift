import Events
import Synchronization

/// A log in memory.
final class FakeLog: EventLog {
  struct Partition: Sendable {
    var batches: [ColumnBatch] = []
    /// Retention has deleted the events below.
    var start = Offset.zero
    var error: LogError?
    var end: Offset { batches.last?.endOffset ?? .zero }
  }

  let partitionCount: Int
  let identity = LogIdentity(high: 1, low: 1, epoch: 1)
  /// How often someone has found nothing new.
  let waits = Mutex(0)
  let partitions: Mutex<[Partition]>

  init(partitionCount: Int = 4) {
    self.partitionCount = partitionCount
    partitions = Mutex(Array(repeating: Partition(), count: partitionCount))
  }

  /// Appends events to their source's partition, `batchSize` a batch.
  func append(_ events: [Event], batchSize: Int = 7) {
    var byPartition: [PartitionID: [Event]] = [:]
    for event in events { byPartition[partition(of: event.source), default: []].append(event) }
    partitions.withLock { partitions in
      for (partition, events) in byPartition {
        for start in stride(from: 0, to: events.count, by: batchSize) {
          var batch = ColumnBatch(events: Array(events[start..<min(start + batchSize, events.count)]), partition: partition)
          batch.place(
            partition: partition, baseOffset: partitions[partition.index].end, appendTime: Timestamp(nanoseconds: 0))
          partitions[partition.index].batches.append(batch)
        }
      }
    }
  }

  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    completion(.failure(LogError(.unavailable, "not of this fake")))
  }

  private func partition(_ partition: PartitionID) throws(LogError) -> Partition {
    let known = partitions.withLock { $0[partition.index] }
    if let error = known.error { throw error }
    return known
  }

  nonisolated(nonsending) func read(_ id: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError) -> [ColumnBatch]
  {
    let partition = try partition(id)
    guard start >= partition.start, start <= partition.end else { throw LogError(.outOfRange, partition: id, "no such offset") }
    var result: [ColumnBatch] = []
    var bytes = 0
    for batch in partition.batches where batch.endOffset > start {
      guard result.isEmpty || bytes + batch.encoded.count <= bytesMax else { break }
      bytes += batch.encoded.count
      result.append(batch)
    }
    return result
  }

  nonisolated(nonsending) func bounds(of id: PartitionID) async throws(LogError) -> PartitionBounds {
    let partition = try partition(id)
    return PartitionBounds(startOffset: partition.start, highWatermark: partition.end)
  }

  nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    while !Task.isCancelled {
      let isPast = partitions.withLock { partitions in
        positions.offsets.contains { partitions[$0.key.index].end > $0.value }
      }
      if isPast { return }
      waits.withLock { $0 += 1 }
      await Task.yield()
    }
  }

  nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError) -> [UTF8Text: ProducerPosition] {
    [:]
  }

  nonisolated(nonsending) func firstOffset(of id: PartitionID, atOrAfter time: Timestamp) async throws(LogError) -> Offset? {
    let partition = try partition(id)
    return partition.batches.first { $0.header.lastEventTime >= time && $0.endOffset > partition.start }?.baseOffset
  }
}
