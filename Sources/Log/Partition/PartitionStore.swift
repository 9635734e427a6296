import Events
import Producers

/// Keeps one partition's batches. The writer above it decides which are appended; engines differ below this protocol.
///
/// Its partition's writer alone calls it, one call at a time and on a thread of the writer's own, which a call may block. Offsets
/// and append times stand in the batches' headers: batches come dense, all of a group with one append time, which no other group
/// has.
package protocol PartitionStore: AnyObject {
  /// Reads the stored batches, on any thread.
  var reader: any PartitionReader { get }

  // MARK: appending

  /// The reason why there is no room for so many bytes; nil where there is room, or where only `append` can find out.
  /// - Parameters:
  ///   - bytes: The bytes that the caller is about to append.
  ///   - isFresh: Whether to look anew in any case, since the caller waits for room.
  func shortage(of bytes: Int, isFresh: Bool) -> String?

  /// Whether `roll` is to come before a batch of so many bytes, once a group of `groupBytes` is appended.
  func isRollDue(before bytes: Int, behind groupBytes: Int) -> Bool

  /// Appends a group of batches. After a failure, none of them is ever seen.
  func append(_ group: [ColumnBatch]) throws(StoreFailure)

  /// Makes durable all that was appended.
  func sync() throws(LogError)

  /// Lets readers find batches that were appended.
  func publish(_ batches: [ColumnBatch])

  /// Keeps in mind that all that was published is synced, so that the next opening may rely on it. Need not be durable itself.
  func mark()

  /// After `append` has failed for want of room: takes back what it may have left, durably.
  /// - Returns: The producer state according to the remaining batches.
  func takeBack() throws(LogError) -> ProducerState

  // MARK: opening and closing

  /// Notes that the partition exists.
  func noteOpened() throws(LogError)

  /// A difference between the stored files and this store's own writes, after which new batches would not be found again; nil
  /// where there is none.
  func problem() -> LogError?

  /// Notes the partition's end. Everything was synced before, and no call follows.
  func close() throws(LogError)

  // MARK: snapshots and retention

  /// Stores the state of all producers as of the end, so that opening need not read earlier batches. Everything was
  /// published before.
  func roll(_ producers: ProducerState, lastAppendTime: Timestamp) throws(StoreFailure)

  /// Whether a roll is due so that the oldest event since the last one can be removed by its age.
  func isBegun(before time: Timestamp) -> Bool

  /// Stores the state of all producers again where needed: once events are removed, no other record of their producers is left.
  /// - Returns: False where only a roll can do that.
  func renewSnapshot(_ producers: ProducerState, lastAppendTime: Timestamp) throws(LogError) -> Bool

  /// Whether `removeSurplus` would remove anything.
  func hasSurplus(_ rule: RetentionRule) throws(LogError) -> Bool

  /// Removes whole pieces from the front while the rule takes them, never the one that is appended to.
  /// - Returns: The number of removed pieces.
  func removeSurplus(_ rule: RetentionRule) throws(LogError) -> Int
}

/// Reads a partition's stored batches, on any thread. The caller decides how far readers may see.
package protocol PartitionReader: AnyObject, Sendable {
  /// The first offset kept; at most the end.
  var startOffset: Offset { get }
  /// Pieces that are removed whole, one at least, and their bytes.
  var size: (pieces: Int, bytes: Int) { get }

  /// Whole batches from the one that holds `start` on, in order and without a gap, one at least, and as many as fit into
  /// `bytesMax`; none from `end` on.
  /// - Parameters:
  ///   - start: An offset that was still stored when the caller last looked, and below `end`.
  ///   - end: The end of a batch.
  ///   - bytesMax: Bytes of batches; one batch at least is returned.
  /// - Throws: `.corrupt` for any damage: all of it was published.
  nonisolated(nonsending) func read(from start: Offset, below end: Offset, bytesMax: Int) async throws(LogError) -> [ColumnBatch]

  /// As `EventLog.firstOffset`.
  nonisolated(nonsending) func firstOffset(atOrAfter time: Timestamp) async throws(LogError) -> Offset?
}

/// The reason why a group or a roll failed.
package enum StoreFailure: Error {
  /// There is no room. Nothing that was acknowledged is touched, and what was written can be taken back.
  case full(LogError)
  /// The stored bytes are unknown until the partition is opened anew.
  case fatal(LogError)
}

/// A partition's opened store, and its own account of the content.
package struct OpenedStore {
  package var store: any PartitionStore
  /// The offset after the last batch.
  package var end: Offset
  /// The append time of the last group, as far as it is known; 0 where there was none.
  package var lastAppendTime: Timestamp
  package var producers: ProducerState

  package init(_ store: any PartitionStore, end: Offset, lastAppendTime: Timestamp, producers: ProducerState) {
    self.store = store
    self.end = end
    self.lastAppendTime = lastAppendTime
    self.producers = producers
  }
}
