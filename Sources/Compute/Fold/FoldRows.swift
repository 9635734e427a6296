import Aggregates
import Events
import Views

/// The rows of one view and partition that are in memory: to which row each event goes, which rows have changed, which are left
/// to the state file.
///
/// Asked once a batch, once a checkpoint, once a read: what is done for each event is within. Belongs to one `ViewFold`.
///
/// It knows nothing of the file: whoever stores rows asks for what has changed, gives back what was stored, and says when all of
/// it is. State that is kept as sorted runs of changed rows would be asked for here.
protocol FoldRows: AnyObject {
  var count: Int { get }
  /// Rows that only memory has.
  var unsavedCount: Int { get }
  var byteCount: Int { get }

  // MARK: folding

  /// Whether all rows of a key that can still change must be in memory before an event of it is placed, and some may not be.
  var isMissingKeys: Bool { get }
  /// Whether memory has rows of a key.
  func hasRows(ofKey key: UnsafeRawBufferPointer) -> Bool
  /// Finds the rows of a batch's events, and makes those that are not there.
  func place(
    _ batch: ColumnBatch, times: [Int64], _ events: inout EventIntake, _ keys: inout BatchKeys
  ) -> EventIntake.Counts
  func withStates(_ body: (inout StateRows) -> Void)

  /// Events that the rows in memory count. Costs a look at all rows, as `fault` does: for assertions.
  var eventCount: Int64 { get }
  /// Names an invariant that does not hold; nil when all do.
  var fault: String? { get }

  // MARK: checkpoints

  /// Adds to changed rows what was stored of them and memory has let go of, all at once.
  /// - Parameter read: Appends a stored row's state in canonical form; gives the events it counts, nil when none is stored.
  func completeChanged(_ read: (RowAddress, UnsafeRawBufferPointer, inout [UInt64]) throws -> Int64?) throws
  /// The rows that are stored and should be no longer.
  func forEachOutdated(_ body: (RowAddress, UnsafeRawBufferPointer) throws -> Void) throws
  /// The rows that differ from what is stored.
  func forEachChanged(_ body: (borrowing ChangedRow) throws -> Void) throws
  /// All changes are stored. Lets go of rows that can change no more.
  /// - Parameter closedEnd: Rows that end at or before this are closed.
  func checkpointed(closedEnd: Int64)

  // MARK: rows that were stored

  func leaveClosed(_ closedEnd: Int64)
  /// The stored rows that can still change.
  var open: OpenRows { get }
  /// Puts a stored row back.
  /// - Parameters:
  ///   - state: In canonical form.
  ///   - events: The number of events that the row counts.
  func restore(_ row: RowAddress, key: UnsafeRawBufferPointer, _ state: UnsafeBufferPointer<UInt64>, events: Int64)
  /// Memory is full before all open rows are put back.
  /// - Parameter slot: The first that was not.
  func leaveRest(from slot: Int64)
  /// Lets go of rows that changed longest ago, so that about this many bytes are left. All must be stored.
  func shrink(toBytes bytes: Int)

  // MARK: reads

  /// Whether rows from a slot on that can still change may be in the file only.
  func isCold(from slot: Int64) -> Bool
  /// The stored rows of a range of slots that memory does not have, or not all of; nil when there are none.
  /// - Parameters:
  ///   - keptAfter: Rows that end at or before this are left out.
  ///   - isCold: Whether rows that can still change are to be among them.
  func stored(_ slots: ClosedRange<Int64>, keptAfter: Int64, isCold: Bool) -> StoredRows?
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
    _ batch: ColumnBatch, times: [Int64], _ events: inout EventIntake, _ keys: inout BatchKeys
  ) -> EventIntake.Counts {
    #if DEBUG
      guard count <= checkedRowsMax else { return place(batch, times: times, &events, &keys) }
      let before = eventCount
      let counts = place(batch, times: times, &events, &keys)
      precondition(eventCount == before + Int64(counts.applied), "an event that is applied is counted in one row")
      if let fault { preconditionFailure("broken: \(fault)") }
      return counts
    #else
      return place(batch, times: times, &events, &keys)
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
  let events: Int64
}

/// Which stored rows can still change.
enum OpenRows {
  /// Rows of this slot and of later ones. The latest rows are put back first.
  case slots(from: Int64)
  case ends(after: Int64)
}

/// Rows that the file has and memory has not, or not all of.
struct StoredRows: Sendable {
  var slots: ClosedRange<Int64>
  /// Bounds of the rows' ends: after `endAfter`, up to and with `endThrough`.
  var endAfter = Int64.min
  var endThrough = Int64.max
  /// Keys whose rows are left out if they end after a time, because memory has them. Nil when there are none.
  var inMemory: KeysInMemory?
}

/// Keys all of whose rows that end after a time are in memory.
struct KeysInMemory: Sendable {
  var keys: KeyTable
  var endAfter: Int64
}
