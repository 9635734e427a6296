import Events
import Synchronization

/// A log that keeps what it is given until the test says what became of it.
final class HeldLog: EventLog {
  struct Held: Sendable {
    var batch: ColumnBatch
    var completion: @Sendable (Result<AppendReceipt, LogError>) -> Void
  }

  let partitionCount: Int
  let identity = LogIdentity(high: 1, low: 1, epoch: 1)
  private let state = Mutex<(held: [Held], next: [PartitionID: Offset])>(([], [:]))

  init(partitionCount: Int = 4) { self.partitionCount = partitionCount }

  var heldCount: Int { state.withLock { $0.held.count } }
  var heldBatches: [ColumnBatch] { state.withLock { $0.held.map(\.batch) } }

  func append(_ batch: ColumnBatch, completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    state.withLock { $0.held.append(Held(batch: batch, completion: completion)) }
  }

  /// Completes one held batch, the first of its partition among those held.
  /// - Parameters:
  ///   - exceptions: Rows that were not appended.
  ///   - named: Whose the first of them are.
  func complete(_ index: Int, exceptions: [AppendReceipt.Exception] = [], named: [AppendReceipt.Named] = []) {
    let (held, receipt) = state.withLock { state in
      let held = state.held.remove(at: index)
      let base = state.next[held.batch.partition] ?? .zero
      let end = base.advanced(by: held.batch.count - exceptions.count)
      state.next[held.batch.partition] = end
      var receipt = AppendReceipt(baseOffset: base, endOffset: end, exceptions: exceptions)
      receipt.named = named
      return (held, receipt)
    }
    held.completion(.success(receipt))
  }

  func fail(_ index: Int, _ error: LogError) {
    let held = state.withLock { $0.held.remove(at: index) }
    held.completion(.failure(error))
  }

  nonisolated(nonsending) func read(_: PartitionID, from: Offset, bytesMax: Int) async throws(LogError) -> [ColumnBatch] { [] }
  nonisolated(nonsending) func bounds(of: PartitionID) async throws(LogError) -> PartitionBounds {
    PartitionBounds(startOffset: .zero, highWatermark: .zero)
  }
  nonisolated(nonsending) func waitForAppend(past: OffsetVector) async throws(LogError) {}
  nonisolated(nonsending) func producerPositions(of: [String]) async throws(LogError) -> [UTF8Text: ProducerPosition] { [:] }
  nonisolated(nonsending) func firstOffset(of: PartitionID, atOrAfter: Timestamp) async throws(LogError) -> Offset? { nil }
}
