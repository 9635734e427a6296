import Events

/// A log that passes on what it is asked, but for what a test has it do otherwise.
package protocol ForwardingLog: EventLog {
  var log: any EventLog { get }
}

extension ForwardingLog {
  package var partitionCount: Int { log.partitionCount }
  package var identity: LogIdentity { log.identity }

  package func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    log.append(batch, completion: completion)
  }

  package nonisolated(nonsending) func read(_ partition: PartitionID, from start: Offset, bytesMax: Int) async throws(LogError)
    -> [ColumnBatch]
  { try await log.read(partition, from: start, bytesMax: bytesMax) }

  package nonisolated(nonsending) func readSome(from positions: OffsetVector, bytesMax: Int) async -> [PartitionRead] {
    await log.readSome(from: positions, bytesMax: bytesMax)
  }

  package nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    try await log.bounds(of: partition)
  }

  package nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    try await log.waitForAppend(past: positions)
  }

  package nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError)
    -> [UTF8Text: ProducerPosition]
  { try await log.producerPositions(of: sources) }

  package nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
  { try await log.firstOffset(of: partition, atOrAfter: time) }
}
