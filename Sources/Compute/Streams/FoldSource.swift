import Events
import Views

/// One fold's rows, in the order of slot and key: those in memory beside a piece of those in the file.
struct FoldSource: Sendable {
  let partition: PartitionID
  /// The first window start that is wanted.
  let from: Int64
  private let store: CheckpointStore
  private let hot: HotRows
  private var hotPosition = 0
  /// Nil once all of it has been read, and so the pin is let go.
  private var stored: CheckpointStore.StoredRange?
  private var cold: PartialRows
  private var coldPosition = 0
  /// Up to where the file has been read; nil before the first piece and after the last.
  private var through: RowPlace?

  init(_ fold: PinnedFold) {
    partition = fold.partition
    from = fold.from
    store = fold.store
    hot = HotRows(fold.rows, isPartial: fold.isPartial)
    stored = fold.stored
    cold = PartialRows(stride: fold.rows.stride)
  }

  /// Rows of the file that are held.
  var heldRows: Int { cold.count }

  var isDone: Bool { stored == nil && coldPosition == cold.count && hotPosition == hot.count }

  /// Reads on in the file when what was read has been taken.
  mutating func fill(_ definition: ViewDefinition, _ bounds: PieceBounds) async throws(ComputeError) {
    guard let stored, coldPosition == cold.count else { return }
    let piece = try await store.piece(of: stored, after: through, hot: hot, definition, bounds)
    cold = piece.rows
    coldPosition = 0
    through = piece.through
    if through == nil { self.stored = nil }
  }

  /// Up to where the fold's rows are there to be taken; nil when all that are left are.
  func reach(_ bounds: PieceBounds) -> RowPlace? {
    let end = hotPosition + bounds.rowsMax
    let hotReach = end < hot.count ? hot.rows.place(hot.row(end - 1)) : nil
    guard let through else { return hotReach }
    guard let hotReach, hotReach.isBefore(through) else { return through }
    return hotReach
  }

  /// Moves the rows up to a place to others, the place included.
  mutating func take(through place: RowPlace?, into rows: inout PartialRows) {
    while coldPosition < cold.count {
      if let place, cold.order(coldPosition, place) > 0 { break }
      rows.append(coldPosition, of: cold)
      coldPosition += 1
    }
    while hotPosition < hot.count {
      let row = hot.row(hotPosition)
      if let place, hot.rows.order(row, place) > 0 { break }
      rows.append(row, of: hot.rows)
      hotPosition += 1
    }
  }
}
