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
  /// The merge that the next piece goes on with; nil at the end, and for sessions.
  fileprivate var rest: Rest?

  fileprivate enum Rest: Sendable {
    case all(RunMerge<StoredBlocks>)
    case key(RunMerge<StoredKeyRows>)
  }
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

  /// The rows after a piece.
  /// - Parameters:
  ///   - last: The piece before; nil at the beginning.
  ///   - definition: The view's definition.
  ///   - bounds: The most that the piece may hold.
  /// - Returns: At least one row, unless the range is at its end.
  func piece(
    after last: StoredPiece?, _ definition: ViewDefinition, _ bounds: PieceBounds
  ) async throws(ComputeError) -> StoredPiece {
    do {
      return try await pin.read { [range, sources] db, stop in
        var piece = try range.read(definition, db, stop, after: last, bounds)
        try sources?.fill(&piece.rows, of: definition, db)
        return piece
      }
    } catch {
      throw CheckpointFile.failure(error, store.worker)
    }
  }
}

extension StoredRange {
  /// The range's rows after a piece, in the order of slot, key and end. Only the transaction stays open between two pieces.
  func read(
    _ definition: ViewDefinition, _ db: SQLiteConnection, _ stop: ReadStop, after last: StoredPiece? = nil,
    _ bounds: PieceBounds = .none
  ) throws -> StoredPiece {
    switch definition.window.keeping {
    case .slots: return try read(try last?.rest ?? begin(definition, db), definition, db, stop, bounds)
    case .sessions: return try readSessions(definition, db, stop, after: last?.through, bounds)
    }
  }

  // MARK: windows

  private func begin(_ definition: ViewDefinition, _ db: SQLiteConnection) throws -> StoredPiece.Rest {
    let layout = definition.layout
    let owner = RunOwner.rows(view: view, partition)
    guard let key else {
      let start = RowPlace(slot: rows.slots.lowerBound, key: [])
      return .all(try RunMerge(db, owner, layout, from: start, through: rows.slots.upperBound))
    }
    let hash = key.withUnsafeBytes { RunFilter.hash($0) }
    let runs = try StoredRuns.list(db, owner).filter { try StoredRuns.mayHave(db, $0, hash) }
    return .key(
      RunMerge(runs.map { StoredKeyRows(run: $0.id, stride: layout.stride, key: key, rows.slots) }, layout: layout))
  }

  private func read(
    _ rest: StoredPiece.Rest, _ definition: ViewDefinition, _ db: SQLiteConnection, _ stop: ReadStop, _ bounds: PieceBounds
  ) throws -> StoredPiece {
    switch rest {
    case .all(var merge): try read(&merge, definition, db, stop, bounds) { .all($0) }
    case .key(var merge): try read(&merge, definition, db, stop, bounds) { .key($0) }
    }
  }

  private func read<Source: RunBlocks>(
    _ merge: inout RunMerge<Source>, _ definition: ViewDefinition, _ db: SQLiteConnection, _ stop: ReadStop,
    _ bounds: PieceBounds, _ rest: (RunMerge<Source>) -> StoredPiece.Rest
  ) throws -> StoredPiece where Source.Reader == SQLiteConnection {
    var piece = StoredPiece(rows: PartialRows(stride: definition.layout.stride))
    while !bounds.isReached(by: piece.rows) || piece.rows.count == 0 {
      try stop.check()
      guard try merge.next(db, { append($0, definition, to: &piece.rows) }) else { return piece }
    }
    guard try merge.peek(db) != nil else { return piece }
    piece.through = piece.rows.place(piece.rows.count - 1)
    piece.rest = rest(merge)
    return piece
  }

  private func append(_ row: RunRow, _ definition: ViewDefinition, to rows: inout PartialRows) {
    rows.append(
      partition: partition, windowStart: row.slot, windowEnd: definition.window.end(ofSlot: row.slot), key: row.key, state: row.state)
  }

  // MARK: sessions

  /// Row values are looked up in the primary key, so a piece begins where the previous one ended without skipping over it. Each
  /// piece is a statement of its own.
  private func readSessions(
    _ definition: ViewDefinition, _ db: SQLiteConnection, _ stop: ReadStop, after: RowPlace?, _ bounds: PieceBounds
  ) throws -> StoredPiece {
    var piece = StoredPiece(rows: PartialRows(stride: definition.layout.stride))
    let sql =
      "SELECT window_start, window_end, key, state FROM session WHERE view = ?1 AND partition = ?2"
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
      while try row.step(), try take(row, definition, &piece, bounds) { try stop.check() }
    }
    return piece
  }

  /// - Returns: Whether there is room for more.
  private func take(
    _ row: SQLiteStatement, _ definition: ViewDefinition, _ piece: inout StoredPiece, _ bounds: PieceBounds
  ) throws -> Bool {
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
    guard isDecoded else { throw SQLiteError.corrupt("a session of another layout") }
    return true
  }
}
