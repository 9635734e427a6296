import Events
import Views

/// A view's rows at one moment, merged over partitions as they are read: what is held is a piece of each fold's file and the copy of what was in memory.
///
/// Of a hop, the panes of the windows that are not complete yet are held too: those of one window's length, whatever the number of windows.
struct MergedRows: RowPieces {
  /// Rows and bytes held over all folds, give or take a row of each.
  static let rowsMax = 8192
  static let bytesMax = 8 << 20

  private let definition: ViewDefinition
  /// The last window start that is wanted.
  private let through: Int64
  private let bounds: PieceBounds
  private let hop: (size: Int64, from: [PartitionID: Int64])?
  private var sources: [FoldSource]
  /// Of a hop: panes of windows that are not complete.
  private var panes: PartialRows
  /// The first window that is not given yet.
  private var nextWindow = Int64.min
  /// Panes with which windows are made next: in proportion to those that stay, so that each is looked at a few times only.
  private var panesWanted = 0
  /// The most rows of the file that were held at a time.
  private(set) var heldRowsMax = 0

  /// - Parameters:
  ///   - folds: Of all partitions.
  ///   - through: The last window start that is wanted.
  ///   - rowsMax: Held over all folds; for each at least one.
  init(_ definition: ViewDefinition, _ folds: [PinnedFold], through: Int64, rowsMax: Int = MergedRows.rowsMax) {
    self.definition = definition
    self.through = through
    sources = folds.map { FoldSource($0) }
    let count = max(1, folds.count)
    bounds = PieceBounds(rowsMax: max(1, rowsMax / count), bytesMax: max(1 << 16, MergedRows.bytesMax / count))
    panes = PartialRows(stride: definition.layout.stride)
    if let size = definition.window.panes?.size {
      hop = (size, Dictionary(folds.map { ($0.partition, $0.from) }) { min($0, $1) })
    } else {
      hop = nil
    }
  }

  mutating func next() async throws(ViewStoreError) -> PartialRows? {
    while true {
      for index in sources.indices {
        do throws(ComputeError) { try await sources[index].fill(definition, bounds) } catch {
          throw .failed(error.description)
        }
      }
      var reach: RowPlace?
      for source in sources {
        guard let place = source.reach(bounds) else { continue }
        if reach.map({ place.isBefore($0) }) ?? true { reach = place }
      }
      var rows = PartialRows(stride: definition.layout.stride)
      for index in sources.indices { sources[index].take(through: reach, into: &rows) }
      heldRowsMax = max(heldRowsMax, rows.count + panes.count + sources.reduce(0) { $0 + $1.heldRows })
      sources.removeAll { $0.isDone }
      if let hop {
        panes.append(contentsOf: rows)
        rows = completeWindows(size: hop.size, from: hop.from, before: reach?.slot)
      }
      if rows.count > 0 { return rows.merged(for: definition) }
      if sources.isEmpty { return nil }
    }
  }

  /// The windows whose panes are all there.
  /// - Parameter slot: The first of which rows may be missing; nil when none are.
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
