import Events

/// A log that is only read: its events are all there from the start.
protocol GeneratedLog: EventLog {
  /// The offset after a partition's last event.
  func end(of partition: PartitionID) -> Offset
}

extension GeneratedLog {
  var identity: LogIdentity { LogIdentity(high: 1, low: 1, epoch: 1) }

  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    completion(.failure(LogError(.unavailable, "this log is only read")))
  }

  nonisolated(nonsending) func bounds(of partition: PartitionID) async throws(LogError) -> PartitionBounds {
    PartitionBounds(startOffset: .zero, highWatermark: end(of: partition))
  }

  nonisolated(nonsending) func waitForAppend(past positions: OffsetVector) async throws(LogError) {
    for partition in (0..<partitionCount).map({ PartitionID($0) })
    where (positions[partition] ?? .zero) < end(of: partition) { return }
    do {
      try await Task.sleep(for: .seconds(3600))
    } catch {
      // Cancelled: the protocol says to return.
      return
    }
  }

  nonisolated(nonsending) func producerPositions(of sources: [String]) async throws(LogError) -> [UTF8Text: ProducerPosition] {
    [:]
  }

  nonisolated(nonsending) func firstOffset(of partition: PartitionID, atOrAfter time: Timestamp) async throws(LogError)
    -> Offset?
  { .zero }
}
