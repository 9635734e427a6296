import Aggregates
import Events
import Views

/// The read engine: a snapshot's rows, piece by piece. A page is all pieces, a stream gives one after the other; one key's rows
/// are read by `PointRead`.
///
/// ```
/// ReadSnapshot   one moment: rows in memory, copied, and the file, pinned
/// FoldCursor     one partition: memory merged with pieces of the file
/// SnapshotReader all partitions: up to where every cursor has come; of a hop, windows made of panes
/// ```
/// Invariants, which tests name:
/// - **one offset vector**: all rows are as of `ReadSnapshot.asOf`, from the first piece to the last
/// - **whole or not at all**: a row has all events of its partition below that offset, those in memory and those in the file; or
///   retention has taken it
/// - **each once**: no two rows are alike in window, key and partition, over all pieces
/// - **canonical order**: by window start, then the key's bytes, the window's end and the partition, over all pieces
/// - **bounded**: beside the copy of memory, `rowsMax` rows and `bytesMax` bytes of the files are held, give or take a row of
///   each fold; of a hop also the panes of the windows that are not complete, those of one window's length, whatever the number
///   of windows
struct SnapshotReader: Sendable {
  /// The rows and bytes held over all folds, give or take a row of each.
  static let rowsMax = 8192
  static let bytesMax = 8 << 20

  private let definition: ViewDefinition
  /// The last window start that is wanted.
  private let through: Int64
  private let hop: (size: Int64, from: [PartitionID: Int64])?
  private var folds: MergedRows<FoldCursor>
  /// For a hop: the panes of incomplete windows.
  private var panes: PartialRows
  /// The first window that is not given yet.
  private var nextWindow = Int64.min
  /// The panes with which windows are made next: in proportion to those that stay, so that each is looked at a few times only.
  private var panesWanted = 0
  private var given: RowPlace?
  /// The most rows of the file that were held at a time.
  private(set) var heldRowsMax = 0

  /// - Parameters:
  ///   - through: The last window start that is wanted.
  ///   - rowsMax: The rows held over all folds; at least one for each.
  init(_ snapshot: ReadSnapshot, through: Int64, rowsMax: Int = SnapshotReader.rowsMax) {
    definition = snapshot.head.definition
    self.through = through
    let sorted = snapshot.folds.sorted { $0.partition < $1.partition }
    let count = max(1, sorted.count)
    let bounds = PieceBounds(rowsMax: max(1, rowsMax / count), bytesMax: max(1 << 16, SnapshotReader.bytesMax / count))
    folds = MergedRows(sorted.map { FoldCursor($0, snapshot.head.definition, bounds) })
    panes = PartialRows(stride: definition.layout.stride)
    if let size = definition.window.panes?.size {
      hop = (size, Dictionary(uniqueKeysWithValues: sorted.map { ($0.partition, $0.from) }))
    } else {
      hop = nil
    }
  }

  /// The rows that follow, of each partition by itself.
  /// - Returns: At least one; nil after the last.
  mutating func next() async throws(ViewStoreError) -> PartialRows? {
    while !folds.isDone {
      var (rows, reach) = try await folds.next(stride: panes.stride)
      heldRowsMax = max(heldRowsMax, rows.count + panes.count + folds.sources.reduce(0) { $0 + $1.heldRows })
      if let hop {
        panes.append(contentsOf: rows)
        rows = completeWindows(size: hop.size, from: hop.from, before: reach?.slot)
      }
      if rows.count > 0 { return checked(rows.ordered()) }
    }
    return nil
  }

  mutating func drain() async throws(ViewStoreError) -> PartialRows {
    var rows = PartialRows(stride: definition.layout.stride)
    while let piece = try await next() { rows.append(contentsOf: piece) }
    return rows
  }

  private mutating func checked(_ rows: PartialRows) -> PartialRows {
    assert((1..<rows.count).allSatisfy { rows.isCanonical($0 - 1) }, "rows are in the canonical order, each once")
    if let given { precondition(rows.order(0, given) > 0, "a piece follows the one before it") }
    given = rows.place(rows.count - 1)
    return rows
  }

  /// The windows whose panes are all there.
  /// - Parameter slot: The first slot of which rows may be missing; nil when none are.
  private mutating func completeWindows(size: Int64, from: [PartitionID: Int64], before slot: Int64?) -> PartialRows {
    let none = PartialRows(stride: panes.stride)
    var last = through
    if let slot {
      guard panes.count >= panesWanted else { return none }
      let (complete, overflow) = slot.subtractingReportingOverflow(size)
      guard !overflow else { return none }
      last = min(through, complete)
    }
    guard last >= nextWindow else { return none }
    let next = nextWindow
    let windows = panes.windows(of: definition, from: { max(next, from[$0] ?? .max) }, through: last)
    nextWindow = WindowDefinition.end(of: last, size: 1)
    // A window has the panes that begin in it.
    panes = panes.filtered { $0 > last }
    panesWanted = panes.count * 2
    return windows
  }
}

/// A stream of a snapshot's rows, merged over partitions.
struct MergedPieces: RowPieces {
  let definition: ViewDefinition
  var reader: SnapshotReader

  mutating func next() async throws(ViewStoreError) -> PartialRows? { try await reader.next()?.merged(for: definition) }
}
