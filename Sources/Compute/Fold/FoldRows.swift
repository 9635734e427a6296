import Aggregates
import Events
import Views

/// The rows of one view and partition that are in memory: to which row each event goes, which rows have changed, which are left
/// to the state file.
///
/// Asked once a batch, once a checkpoint, once a read: what is done for each event is within. Belongs to one `ViewFold`.
///
/// It knows nothing of the file: whoever stores rows asks for what has changed, gives back what was stored, and says when all of
/// it is.
protocol FoldRows: AnyObject {
  var count: Int { get }
  /// Rows that only memory has.
  var unsavedCount: Int { get }
  var byteCount: Int { get }

  // MARK: folding

  /// Whether stored rows must be put back before some events are placed.
  var mayMissRows: Bool { get }
  /// The end up to which stored rows of a key must be put back, from those that end after `end` on, before an event is placed
  /// that may go to any of these; nil when memory has them.
  func missingRows(ofKey key: UnsafeRawBufferPointer, endingAfter end: Int64) -> Int64?
  /// The missing rows have been put back.
  func noteRestored(key: UnsafeRawBufferPointer, endingAfter end: Int64)
  /// Finds the rows of a batch's events, and makes those that are not there.
  func place(
    _ batch: ColumnBatch, _ times: BatchTimes, _ events: inout EventIntake, _ keys: inout BatchKeys
  ) -> EventIntake.Counts
  func withStates(_ body: (inout StateRows) -> Void)

  /// Events that the rows in memory count; of windows, those that are not stored yet. Costs a look at all rows, as `fault`
  /// does: for assertions.
  var eventCount: Int64 { get }
  /// Names an invariant that does not hold; nil when all do.
  var fault: String? { get }

  // MARK: checkpoints

  /// The rows that are stored and should be no longer.
  func forEachOutdated(_ body: (RowAddress, UnsafeRawBufferPointer) throws -> Void) throws
  /// The rows that differ from what is stored. Windows come in the order of slot and key.
  func forEachChanged(_ body: (borrowing ChangedRow) throws -> Void) throws
  /// Whether some changed rows are among those that reads take from the file.
  var amendsStored: Bool { get }
  /// All changes are stored. Lets go of rows that few events may still change.
  /// - Parameter closedEnd: Rows that end at or before this are closed by the partition's largest time.
  func checkpointed(closedEnd: Int64)

  // MARK: rows that were stored

  /// Leaves rows that end at or before this to the file.
  func leaveClosed(_ closedEnd: Int64)
  /// The stored rows to put back.
  var open: OpenRows { get }
  /// Puts a stored row back, whole.
  /// - Parameters:
  ///   - state: In canonical form.
  ///   - events: The number of events that the row counts.
  func restore(_ row: RowAddress, key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>, events: Int64)
  /// Not all open rows are put back: memory is full.
  /// - Parameter slot: The last of which the file may have rows that memory has not.
  func leaveRest(through slot: Int64)
  /// Lets go of rows that changed longest ago, so that about this many bytes are left. All must be stored.
  func shrink(toBytes bytes: Int)

  // MARK: reads

  /// Whether the file may have parts of rows that memory has, from a slot on.
  /// - Parameter key: Only rows of this key.
  func sharesRows(from slot: Int64, key: [UInt8]?) -> Bool
  /// The stored rows of a range of slots that memory does not have, or not all of; nil when there are none.
  /// - Parameters:
  ///   - key: Only rows of this key.
  ///   - keptAfter: Rows that end at or before this are left out.
  func stored(_ slots: ClosedRange<Int64>, key: [UInt8]?, keptAfter: Int64) -> StoredRows?
  /// Appends the rows of a range of slots, in no order.
  /// - Parameters:
  ///   - key: Only rows of this key.
  ///   - keptAfter: Rows that end at or before this are left out, where that is not known from the slot.
  func copy(
    _ slots: ClosedRange<Int64>, key: [UInt8]?, keptAfter: Int64, partition: PartitionID, into rows: inout PartialRows)
  /// Whether memory has only a part of a row.
  func isPartial(slot: Int64, key: UnsafeRawBufferPointer) -> Bool
}

/// Rows at most that debug builds look at after each batch.
let checkedRowsMax = 512

extension FoldRows {
  /// `place`; debug builds look at what must hold of the rows afterwards.
  func placeChecked(
    _ batch: ColumnBatch, _ times: BatchTimes, _ events: inout EventIntake, _ keys: inout BatchKeys
  ) -> EventIntake.Counts {
    #if DEBUG
      guard count <= checkedRowsMax else { return place(batch, times, &events, &keys) }
      let before = eventCount
      let counts = place(batch, times, &events, &keys)
      precondition(eventCount == before + Int64(counts.applied), "an event that is applied is counted in one row")
      if let fault { preconditionFailure("broken: \(fault)") }
      return counts
    #else
      return place(batch, times, &events, &keys)
    #endif
  }
}

/// Where a row lies in event time; its key says the rest. Nanoseconds.
struct RowAddress: Hashable, Sendable {
  /// The row's slot: a window's start, or what `WindowRows.swift` says of hops.
  var slot: Int64
  var end: Int64
}

/// A row as a checkpoint stores it. Valid for as long as the call that gives it.
struct ChangedRow: ~Copyable {
  let address: RowAddress
  let key: UnsafeRawBufferPointer
  /// In canonical form.
  let state: UnsafeBufferPointer<UInt64>
  /// The events that it counts; of windows, those that are not stored yet.
  let events: Int64
  /// Whether this is all of the row; else a part that adds to what is stored.
  let isWhole: Bool
}

/// Which stored rows are put back into memory.
enum OpenRows {
  /// Rows of this slot and of later ones.
  case slots(from: Int64)
  case ends(after: Int64)
}

/// Rows that the file has and memory has not, or not all of.
struct StoredRows: Sendable {
  var slots: ClosedRange<Int64>
  /// Bounds of the rows' ends: after `endAfter`, up to and with `endThrough`.
  var endAfter = Int64.min
  var endThrough = Int64.max
  /// Keys whose later rows are left out, because memory has them. Nil when there are none.
  var inMemory: KeysInMemory?
}

/// Keys all of whose rows that end after a time of the key's are in memory.
struct KeysInMemory: Sendable {
  var keys: KeyTable
  /// By the key's number.
  var heldAfter: [Int64]

  func has(_ key: UnsafeRawBufferPointer, end: Int64) -> Bool { keys.find(key).map { end > heldAfter[$0] } ?? false }
}
