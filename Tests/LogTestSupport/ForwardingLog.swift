import Events

/// A log that passes on what it is asked, but for what a test has it do otherwise.
public protocol ForwardingLog: EventLog {
  var log: any EventLog { get }
}

extension ForwardingLog {
  public var partitionCount: Int { log.partitionCount }
  public var identity: LogIdentity { log.identity }

  public func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    log.append(batch, completion: completion)
  }

  public nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  { try await log.read(partition, from: start, bytesMax: bytesMax) }

  public nonisolated(nonsending) func readSome(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead] {
    await log.readSome(from: positions, bytesMax: bytesMax)
  }

  public nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    try await log.bounds(of: partition)
  }

  public nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    try await log.waitForAppend(past: positions)
  }

  public nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError)
    -> [UTF8Text: ProducerPosition]
  { try await log.producerPositions(of: sources) }

  public nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
  { try await log.firstOffset(of: partition, atOrAfter: time) }
}
