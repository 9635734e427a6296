import Aggregates
import Events
import SQLite
import Views

/// A stretch of one fold's rows in a worker's file.
struct StoredRange: Sendable {
  var view: Int64
  var partition: PartitionID
  var rows: StoredRows
  /// Only rows of this key.
  var key: [UInt8]?
}

/// Consecutive rows of the file, as many as are held at a time.
struct StoredPiece: Sendable {
  var rows: PartialRows
  /// The last row up to which all of the range's rows have been read; nil at its end.
  var through: RowPlace?
}

/// The bounds of what is read of one fold at a time.
struct PieceBounds: Sendable {
  var rowsMax: Int
  /// The bytes of keys and states.
  var bytesMax: Int

  static let none = PieceBounds(rowsMax: .max, bytesMax: .max)

  func isReached(by rows: PartialRows) -> Bool {
    rows.count >= rowsMax || rows.states.count * 8 + rows.keyBytes.count >= bytesMax
  }
}

/// A stretch of a worker's file as the file was at one moment.
struct PinnedRange: Sendable {
  let range: StoredRange
  let pin: StatePin
  let store: CheckpointStore
  /// Nil where rows say nothing of their sources.
  var sources: SourcesAtRead?

  /// The rows after a place.
  /// - Parameters:
  ///   - after: The last row read; nil at the beginning.
  ///   - definition: The view's definition.
  ///   - bounds: The most that the piece may hold.
  /// - Returns: At least one row, unless the range is at its end.
  func piece(
    after: RowPlace?, _ definition: ViewDefinition, _ bounds: PieceBounds
  ) async throws(ComputeError) -> StoredPiece {
    do {
      return try await pin.read { [range, sources] db, stop in
        var piece = try range.read(definition, db, stop, after: after, bounds)
        try sources?.fill(&piece.rows, of: definition, db)
        return piece
      }
    } catch {
      throw CheckpointFile.failure(error, store.worker)
    }
  }
}

extension StoredRange {
  /// The range's rows after a place, in the order of slot, key and end.
  ///
  /// Row values are looked up in the primary key, so a piece begins where the previous one ended without skipping over
  /// it. Each piece is a statement of its own: only the transaction stays open between two.
  func read(
    _ definition: ViewDefinition, _ db: SQLiteConnection, _ stop: ReadStop, after: RowPlace? = nil,
    _ bounds: PieceBounds = .none
  ) throws -> StoredPiece {
    var piece = StoredPiece(rows: PartialRows(stride: definition.layout.stride))
    let isBySlot = definition.window.keeping == .slots
    /// - Returns: Whether there is room for more.
    func take(_ row: SQLiteStatement) throws -> Bool {
      try stop.check()
      let (slot, end, key) = (row.int64(0), row.int64(1), row.bytes(2))
      let last = piece.rows.count - 1
      if last >= 0, bounds.isReached(by: piece.rows),
        piece.rows.withKey(last, { RowPlace.order(piece.rows.windowStarts[last], $0, slot, key) != 0 })
      {
        // The next piece begins after a slot and key, so this piece has all rows of its last one.
        piece.through = piece.rows.place(last)
        return false
      }
      if let inMemory = rows.inMemory, inMemory.has(key, end: end) { return true }
      let isDecoded = piece.rows.append(
        partition: partition, windowStart: slot, windowEnd: end, key: key, stored: row.bytes(3), layout: definition.layout)
      guard isDecoded else { throw SQLiteError.corrupt("a row of another layout") }
      return true
    }
    if let key, isBySlot {
      try seek(key, after: after, db, take)
    } else {
      try scan(after: after, definition.window, db, take)
    }
    return piece
  }

  private func scan(
    after: RowPlace?, _ window: WindowDefinition, _ db: SQLiteConnection, _ take: (SQLiteStatement) throws -> Bool
  ) throws {
    let sql =
      "SELECT window_start, window_end, key, state FROM \(window.table) WHERE view = ?1 AND partition = ?2"
      + " AND (window_start, key) \(after == nil ? ">=" : ">") (?3, ?4) AND window_start <= ?5 AND window_end > ?6 AND window_end <= ?7"
      + (key == nil ? "" : " AND key = ?8") + " ORDER BY window_start, key, window_end"
    try db.withStatement(sql) { row in
      try row.bind(view, at: 1)
      try row.bind(Int64(partition.index), at: 2)
      try row.bind(after?.slot ?? rows.slots.lowerBound, at: 3)
      try row.bind(after?.key ?? [], at: 4)
      try row.bind(rows.slots.upperBound, at: 5)
      try row.bind(rows.endAfter, at: 6)
      try row.bind(rows.endThrough, at: 7)
      if let key { try row.bind(key, at: 8) }
      while try row.step(), try take(row) {}
    }
  }

  /// Reads one key's rows from window to window: the file is in the order of windows and then keys, and a window may have
  /// millions of rows.
  private func seek(
    _ key: [UInt8], after: RowPlace?, _ db: SQLiteConnection, _ take: (SQLiteStatement) throws -> Bool
  ) throws {
    let sql =
      "SELECT window_start, window_end, key, state FROM state WHERE view = ? AND partition = ? AND (window_start, key) >= (?, ?)"
      + " ORDER BY window_start, key LIMIT 1"
    if after?.slot == .max { return }
    var next: Int64? = after.map { $0.slot + 1 } ?? rows.slots.lowerBound
    while let slot = next, slot <= rows.slots.upperBound {
      next = nil
      try db.withStatement(sql) { row in
        try row.bind([view, partition.index, slot])
        try row.bind(key, at: 4)
        guard try row.step(), case let found = row.int64(0), found <= rows.slots.upperBound else { return }
        let isKey = row.bytes(2).elementsEqual(key)
        if isKey, try !take(row) { return }
        // The row belongs to another key of a later window, in which this key may have a row, too.
        next = isKey || found == slot ? (found == .max ? nil : found + 1) : found
      }
    }
  }
}
