import Events
import Serving

/// A connection's messages that are not yet answered for, and its totals: received = appended + duplicates + rejected.
///
/// Belongs to one event loop. Events of one message go to several partitions, whose batches sync in any order; a message is
/// answered when all of its events are, and only after every message before it. Subclasses handle the answers.
class MessageTracker {
  /// Rejects of one message that are sent one by one; the rest are sent as one, with their number.
  static let rejectsToldMax = 256

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
    /// Nanoseconds of a clock that only rises.
    var receivedAt: UInt64
  }

  private struct Rejects {
    var told = 0
    /// The first of those that are not sent one by one, and their number.
    var rest: (reject: EventReject, event: Int?, count: Int)?
  }

  /// The sources that its events may have; nil for any.
  var permission: SourcePermission?
  private(set) var totals = Totals()
  /// The next offset after the synced events, in the order of the partitions.
  private(set) var offsets: [(partition: PartitionID, next: Offset)] = []
  /// Set once the log failed one of the connection's events: nothing more will be acknowledged.
  private(set) var failure: LogError?
  /// The time when the newest answered message was received.
  private(set) var lastReceivedAt: UInt64 = 0
  /// The oldest message, at `openStart`, is number `totals.messages + 1`.
  private var open: [Message] = []
  private var openStart = 0
  /// The rejects of messages that are not answered for, by message.
  private var rejects: [Int: Rejects] = [:]

  var openCount: Int { open.count - openStart }

  /// Begins the next message and gives its number, counting from 1.
  func beginMessage(receivedAt: UInt64) -> Int {
    // One outstanding event stands for those not yet read.
    open.append(Message(outstanding: 1, receivedAt: receivedAt))
    return totals.messages + openCount
  }

  private func index(of message: Int) -> Int { openStart + message - totals.messages - 1 }

  /// All of the message's events have been read.
  func endMessage(_ message: Int, queued: Int, rejected: Int) {
    let at = index(of: message)
    open[at].outstanding += queued - 1
    open[at].rejected += rejected
  }

  /// More events wait for the log, of a message that is read in pieces.
  func addQueued(_ count: Int, to message: Int) { open[index(of: message)].outstanding += count }

  func noteSynced(message: Int, rows: Int, duplicates: Int, fenced: Int, partition: PartitionID, next: Offset) {
    let at = index(of: message)
    open[at].outstanding -= rows
    open[at].appended += rows - duplicates - fenced
    open[at].duplicates += duplicates
    open[at].rejected += fenced
    if let place = offsets.firstIndex(where: { $0.partition >= partition }) {
      if offsets[place].partition == partition {
        offsets[place].next = max(offsets[place].next, next)
      } else {
        offsets.insert((partition, next), at: place)
      }
    } else {
      offsets.append((partition, next))
    }
  }

  func noteFailed(_ error: LogError) {
    if failure == nil { failure = error }
  }

  /// Sends the reject of an event of the message, or of all of it (nil).
  func note(_ reject: EventReject, event: Int?, of message: Int) {
    var noted = rejects[message] ?? Rejects()
    if noted.rest == nil, noted.told < MessageTracker.rejectsToldMax, mayTell {
      noted.told += 1
      tell(reject, event: event, of: message, count: 1)
    } else {
      noted.rest = (noted.rest?.reject ?? reject, noted.rest == nil ? event : noted.rest?.event, (noted.rest?.count ?? 0) + 1)
    }
    rejects[message] = noted
  }

  /// Moves messages that are answered for, from the oldest on, into the totals.
  /// - Returns: Whether there were any.
  func advance() -> Bool {
    var index = openStart
    while index < open.count, open[index].outstanding == 0 {
      if !rejects.isEmpty {
        let message = totals.messages + 1
        if let rest = rejects[message]?.rest {
          guard mayTell else { break }
          tell(rest.reject, event: rest.event, of: message, count: rest.count)
        }
        rejects[message] = nil
      }
      totals.messages += 1
      totals.appended += open[index].appended
      totals.duplicates += open[index].duplicates
      totals.rejected += open[index].rejected
      lastReceivedAt = open[index].receivedAt
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
    return true
  }

  /// Used by the pipeline: whether it will call `answersMayBeReady` at the end of this group of syncs.
  var isTouched = false

  /// Called on the loop when `advance()` may have something to move, once for each group of syncs.
  func answersMayBeReady() {}

  /// Whether there is room to send a reject. While there is none, messages that have rejects to send are not answered for.
  var mayTell: Bool { true }

  /// Sends the reject of an event of the message, or of all of it (nil).
  /// - Parameter count: Above 1, the number of its events that this reject, the first, stands for.
  func tell(_ reject: EventReject, event: Int?, of message: Int, count: Int) {}

  /// A message that was read in pieces has been read to its end; `queued` of its events wait, or have waited, for the log.
  func messageRead(queued: Int) {}

  /// The pipeline reads again after it had stopped.
  func pipelineResumed() {}
}
