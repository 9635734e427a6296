import Events
import Synchronization

/// A batch that waits to be written, and its appender.
struct PendingAppend: Sendable {
  /// Nil once the writer has taken it.
  var batch: ColumnBatch?
  let bytes: Int
  var completion: @Sendable (Result<AppendReceipt, LogError>) -> Void

  init(_ batch: ColumnBatch, _ completion: @escaping @Sendable (Result<AppendReceipt, LogError>) -> Void) {
    self.batch = batch
    bytes = batch.encoded.count
    self.completion = completion
  }
}

/// The queue of one partition's writer: bounded in bytes and batches, filled from any thread, emptied by the writer.
final class AppendQueue: Sendable {
  enum Offer {
    case taken
    /// Accepted, and the writer is not scheduled yet: the caller schedules it.
    case takenFirst
    case refused(LogError)
  }

  private struct State {
    var waiting: [PendingAppend] = []
    var bytes = 0
    var isScheduled = false
    var refusal: LogError?
    /// A `refusal` that is lifted by `resume`.
    var suspension: LogError?
  }

  private let partition: PartitionID
  private let bytesMax: Int
  private let batchesMax: Int
  private let state = Mutex(State())

  init(partition: PartitionID, bytesMax: Int, batchesMax: Int) {
    self.partition = partition
    self.bytesMax = bytesMax
    self.batchesMax = batchesMax
  }

  /// - Complexity: One uncontended lock.
  func offer(_ append: PendingAppend) -> Offer {
    state.withLock { state in
      if let refusal = state.refusal ?? state.suspension { return .refused(refusal) }
      let bytes = append.bytes
      guard state.waiting.isEmpty || (state.bytes + bytes <= bytesMax && state.waiting.count < batchesMax) else {
        return .refused(
          LogError(
            .unavailable, partition: partition,
            "\(state.waiting.count) batches of \(state.bytes) bytes wait to be written; try again later"))
      }
      state.waiting.append(append)
      state.bytes += bytes
      if state.isScheduled { return .taken }
      state.isScheduled = true
      return .takenFirst
    }
  }

  /// The next batches to write, in order: at least one if any waits, and as many as fit into `groupBytesMax`. When none
  /// waits, the next `offer` asks for the writer anew.
  func take(groupBytesMax: Int) -> [PendingAppend] {
    state.withLock { state in
      guard !state.waiting.isEmpty else {
        state.isScheduled = false
        return []
      }
      if state.bytes <= groupBytesMax {
        defer {
          state.waiting = []
          state.bytes = 0
        }
        return state.waiting
      }
      var count = 0
      var bytes = 0
      repeat {
        bytes += state.waiting[count].bytes
        count += 1
      } while count < state.waiting.count && bytes + state.waiting[count].bytes <= groupBytesMax
      let group = Array(state.waiting.prefix(count))
      state.waiting.removeFirst(count)
      state.bytes -= bytes
      return group
    }
  }

  /// Refuses every later offer. Waiting batches stay; the first refusal stands.
  func close(_ refusal: LogError) {
    state.withLock { state in
      if state.refusal == nil { state.refusal = refusal }
    }
  }

  /// Refuses offers until `resume`. Waiting batches stay.
  func suspend(_ refusal: LogError) { state.withLock { $0.suspension = refusal } }

  func resume() { state.withLock { $0.suspension = nil } }

  /// The reason why an offer would be refused now, however little waits.
  var refusal: LogError? { state.withLock { $0.refusal ?? $0.suspension } }
}
