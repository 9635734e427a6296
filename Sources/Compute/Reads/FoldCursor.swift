import Aggregates
import Events
import Views

/// One fold's rows in the order of slot, key and end, each once and whole: those in memory beside a piece of those in the file.
struct FoldCursor: OrderedRows {
  let partition: PartitionID
  /// The first window start that is wanted.
  let from: Int64
  private let definition: ViewDefinition
  private let bounds: PieceBounds
  private var hot: HotRows
  /// The sources that rows in memory are still to be given; nil once they have been.
  private var sources: PinnedSources?
  private var hotPosition = 0
  /// Nil once all of it has been read; the pin is released then.
  private var file: PinnedRange?
  private var cold: PartialRows
  private var coldPosition = 0
  /// The last piece read of the file, without its rows; nil before the first and after the last.
  private var last: StoredPiece?
  private var given: RowPlace?

  /// - Parameter bounds: The most rows of the file that are held, and of memory that are given, at a time.
  init(_ fold: FoldSnapshot, _ definition: ViewDefinition, _ bounds: PieceBounds) {
    self.definition = definition
    self.bounds = bounds
    partition = fold.partition
    from = fold.from
    hot = HotRows(fold.rows, isPartial: fold.isPartial)
    file = fold.stored
    sources = fold.sources
    cold = PartialRows(stride: fold.rows.stride)
  }

  var heldRows: Int { cold.count }

  var isDone: Bool { file == nil && coldPosition == cold.count && hotPosition == hot.count }

  mutating func fill() async throws(ViewStoreError) {
    if let known = sources {
      do throws(ComputeError) { hot.rows = try await known.fill(hot.rows, of: definition) } catch {
        throw .failed(error.description)
      }
      sources = nil
    }
    guard let file, coldPosition == cold.count else { return }
    var piece: StoredPiece
    do throws(ComputeError) { piece = try await file.piece(after: last, definition, bounds) } catch {
      throw .failed(error.description)
    }
    cold = piece.rows
    coldPosition = 0
    piece.rows = PartialRows(stride: cold.stride)
    last = piece.through == nil ? nil : piece
    if last == nil { self.file = nil }
  }

  var reach: RowPlace? {
    let hotReach =
      hot.count - hotPosition > bounds.rowsMax ? hot.rows.place(hot.row(hotPosition + bounds.rowsMax - 1)) : nil
    guard let through = last?.through else { return hotReach }
    guard let hotReach, hotReach.isBefore(through) else { return through }
    return hotReach
  }

  /// Parts of one row from memory and from the file are merged.
  mutating func take(through place: RowPlace?, into rows: inout PartialRows) {
    var coldEnd = cold.count
    if let place {
      coldEnd = coldPosition
      while coldEnd < cold.count, cold.order(coldEnd, place) <= 0 { coldEnd += 1 }
    }
    let hotEnd = place.map { hot.position(after: $0) } ?? hot.count
    let first = rows.count
    var merging = StateRows(layout: definition.layout, capacity: 1)
    // Most often all of it is in memory, or all in the file.
    if coldPosition == coldEnd {
      rows.append(hot.order[hotPosition..<hotEnd], of: hot.rows)
      hotPosition = hotEnd
    } else if hotPosition == hotEnd {
      rows.append(Array(coldPosition..<coldEnd)[...], of: cold)
      coldPosition = coldEnd
    }
    while coldPosition < coldEnd || hotPosition < hotEnd {
      let order =
        coldPosition == coldEnd ? 1 : hotPosition == hotEnd ? -1 : cold.order(coldPosition, hot.rows, hot.row(hotPosition))
      if order == 0, !hot.isPartial(hotPosition) {
        // Memory has all of it: what the file has is old.
        coldPosition += 1
      } else if order == 0 {
        rows.append(merging: coldPosition, of: cold, and: hot.row(hotPosition), of: hot.rows, &merging)
        coldPosition += 1
        hotPosition += 1
      } else if order < 0 {
        rows.append(coldPosition, of: cold)
        coldPosition += 1
      } else {
        rows.append(hot.row(hotPosition), of: hot.rows)
        hotPosition += 1
      }
      assert(
        rows.count < first + 2 || rows.isCanonical(rows.count - 2),
        "a fold's rows are in the order of slot, key and end, each once")
    }
    guard rows.count > first else { return }
    if let given { precondition(rows.order(first, given) > 0, "a row is given once") }
    given = rows.place(rows.count - 1)
  }
}

extension PartialRows {
  /// Whether a row lies before the one that follows it, in the canonical order and of the same place by partition.
  func isCanonical(_ row: Int) -> Bool {
    let order = order(row, self, row + 1)
    return order < 0 || order == 0 && partitions[row] < partitions[row + 1]
  }
}
