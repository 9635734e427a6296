import Events

/// A connection's messages that are not yet answered for, and its totals: received = appended + duplicates + rejected.
///
/// Belongs to one event loop. Events of one message go to several partitions, whose batches sync in any order; a message is answered when all of
/// its events are, and only after every message before it.
class MessageTracker {
  struct Totals: Equatable {
    var messages = 0
    var appended = 0
    var duplicates = 0
    var rejected = 0
  }

  private struct Message {
    /// Events given to a partition and not yet synced.
    var outstanding = 0
    var appended = 0
    var duplicates = 0
    var rejected = 0
    /// Whether all of its events have been read.
    var isRead = false
  }

  /// Of the answered messages.
  private(set) var totals = Totals()
  /// Partition → next offset after the events of the answered messages.
  private(set) var offsets = OffsetVector()
  /// The oldest message is number `totals.messages + 1`.
  private var open: [Message] = []
  private var openStart = 0
  /// What answered messages brought is in `totals`; what open ones did, here.
  private var openOffsets = OffsetVector()
  /// Set once the log failed one of the connection's events: nothing more will be acknowledged.
  private(set) var failure: LogError?

  var openCount: Int { open.count - openStart }

  /// Begins the next message and gives its number, counting from 1.
  func beginMessage() -> Int {
    open.append(Message())
    return totals.messages + openCount
  }

  private func index(of message: Int) -> Int { openStart + message - totals.messages - 1 }

  func noteQueued(message: Int) { open[index(of: message)].outstanding += 1 }

  func noteRejected(message: Int, count: Int = 1) { open[index(of: message)].rejected += count }

  /// All of the message's events have been read.
  func endMessage(_ message: Int) { open[index(of: message)].isRead = true }

  func noteSynced(message: Int, rows: Int, appended: Int, duplicates: Int, fenced: Int, partition: PartitionID, next: Offset) {
    let at = index(of: message)
    open[at].outstanding -= rows
    open[at].appended += appended
    open[at].duplicates += duplicates
    open[at].rejected += fenced
    if (openOffsets[partition] ?? .zero) < next { openOffsets[partition] = next }
  }

  func noteFailed(_ error: LogError) {
    if failure == nil { failure = error }
  }

  /// Moves messages that are answered for, from the oldest on, into the totals.
  /// - Returns: Whether there were any.
  func advance() -> Bool {
    var index = openStart
    while index < open.count, open[index].isRead, open[index].outstanding == 0 {
      totals.messages += 1
      totals.appended += open[index].appended
      totals.duplicates += open[index].duplicates
      totals.rejected += open[index].rejected
      index += 1
    }
    guard index > openStart else { return false }
    openStart = index
    if openStart == open.count {
      open.removeAll(keepingCapacity: true)
      openStart = 0
    } else if openStart > 1024 {
      open.removeFirst(openStart)
      openStart = 0
    }
    offsets.formMaximum(openOffsets)
    return true
  }

  /// Called on the loop after `advance()` may have something to move, once for each group of syncs.
  func answersMayBeReady() {}

  /// An event was taken out by the log because its epoch is fenced.
  func fenced(message: Int, event: Int, currentEpoch: UInt64) {}

  /// The pipeline reads again after it had stopped.
  func pipelineResumed() {}
}
