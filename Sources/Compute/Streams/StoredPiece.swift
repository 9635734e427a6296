import Events
import SQLite
import Views

/// Rows of the file that follow one another, as many as are held at a time.
struct StoredPiece: Sendable {
  var rows: PartialRows
  /// Up to where all of the range's rows have been read; nil at its end.
  var through: RowPlace?
}

/// How much is read of one fold at a time.
struct PieceBounds: Sendable {
  var rowsMax: Int
  /// Of keys and states.
  var bytesMax: Int
}

extension CheckpointStore {
  /// The rows of a pinned range after a place.
  /// - Parameters:
  ///   - after: The last place read; nil at the beginning.
  ///   - hot: The same fold's rows in memory: the file's are left out where memory has all of them.
  /// - Returns: At least one row, unless the range is at its end.
  func piece(
    of range: StoredRange, after: RowPlace?, hot: HotRows, _ definition: ViewDefinition, _ bounds: PieceBounds
  ) async throws(ComputeError) -> StoredPiece {
    guard let pin = range.pin else { throw ComputeError(.checkpoint, worker: worker, "a stream's range has no pin") }
    do {
      return try await pin.read { db, stop in
        try CheckpointStore.piece(of: range, after: after, hot: hot, definition, bounds, db, stop)
      }
    } catch {
      throw CheckpointFile.failure(error, worker)
    }
  }

  private static func piece(
    of range: StoredRange, after: RowPlace?, hot: HotRows, _ definition: ViewDefinition, _ bounds: PieceBounds,
    _ db: SQLiteConnection, _ stop: ReadStop
  ) throws -> StoredPiece {
    // Row values are looked for in the primary key, so that a piece begins where the one before ended without passing over it. Each piece is a
    // statement of its own: nothing but the transaction stays open between two.
    let sql =
      "SELECT window_start, window_end, key, state FROM \(definition.window.table) WHERE view = ?1 AND partition = ?2"
      + " AND (window_start, key) \(after == nil ? ">=" : ">") (?3, ?4) AND window_start <= ?5 AND window_end > ?6 AND window_end <= ?7"
      + (range.key == nil ? "" : " AND key = ?8") + " ORDER BY window_start, key, window_end"
    var piece = StoredPiece(rows: PartialRows(stride: definition.layout.stride))
    let isSession = definition.window.keeping != .slots
    try db.withStatement(sql) { row in
      try row.bind(range.view, at: 1)
      try row.bind(Int64(range.partition.index), at: 2)
      try row.bind(after?.slot ?? range.from, at: 3)
      try row.bind(after?.key ?? [], at: 4)
      try row.bind(range.through, at: 5)
      try row.bind(range.endAfter, at: 6)
      try row.bind(range.endThrough, at: 7)
      if let key = range.key { try row.bind(key, at: 8) }
      var hotPosition = hot.position(of: after ?? RowPlace(slot: range.from, key: []))
      while try row.step() {
        try stop.check()
        let (slot, end, key) = (row.int64(0), row.int64(1), row.bytes(2))
        let last = piece.rows.count - 1
        if last >= 0, isFull(piece.rows, bounds) {
          let isOfLast = piece.rows.withKey(last) { RowPlace.order(piece.rows.windowStarts[last], $0, slot, key) == 0 }
          // The next piece begins after a place, so this one has all of its last.
          if !isOfLast {
            piece.through = piece.rows.place(last)
            return
          }
        }
        if let inMemory = range.inMemory, end > inMemory.endAfter, inMemory.keys.find(key) != nil { continue }
        if !isSession, hot.isWhole(slot: slot, key: key, from: &hotPosition) { continue }
        let isDecoded = piece.rows.append(
          partition: range.partition, windowStart: slot, windowEnd: end, key: key, stored: row.bytes(3), layout: definition.layout
        )
        guard isDecoded else { throw SQLiteError.corrupt("a row of another layout") }
      }
    }
    return piece
  }

  private static func isFull(_ rows: PartialRows, _ bounds: PieceBounds) -> Bool {
    rows.count >= bounds.rowsMax || rows.states.count * 8 + rows.keyBytes.count >= bounds.bytesMax
  }
}
