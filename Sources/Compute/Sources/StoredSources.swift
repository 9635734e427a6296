import Events
import SQLite
import Views

/// The sources of partitions in a worker's file: a clock for each reading position, with its sources.
///
/// `progress.clock` names the clock of a view's partition; views that share a position share it. Its content is a function of the
/// log up to its `next_offset`. The sources themselves are runs: `SourceRuns`.
enum StoredSources {
  /// A clock without its sources.
  struct Clock: Sendable, Hashable {
    var id: Int64
    var partition: PartitionID
    var firstOffset: Offset
    var nextOffset: Offset
    /// Nanoseconds.
    var lastAppendTime: Int64?
    /// How far beyond its batch's append time an event's time counted last, in nanoseconds.
    var aheadMax: Int64
    var bounds: EventTimeBounds
  }

  // MARK: writing

  /// Makes a clock, without sources yet.
  /// - Returns: Its id.
  static func add(_ clocks: SourceClocks, to db: SQLiteConnection) throws -> Int64 {
    try db.run(
      """
      INSERT INTO clock (partition, first_offset, next_offset, last_append_time, ahead_max, time_from, time_to)
      VALUES (?, ?, ?, ?, ?, ?, ?)
      """, clocks.partition.index, clocks.firstOffset.rawValue, clocks.nextOffset.rawValue, clocks.lastAppendTime, clocks.aheadMax,
      clocks.bounds.from, clocks.bounds.to)
    return db.lastInsertedRowID
  }

  /// Writes a clock's changes since the last checkpoint, within the checkpoint's transaction. When that is committed, the clocks
  /// are to be told: `checkpointed()`.
  /// - Returns: Sources written.
  @discardableResult
  static func write(_ clocks: SourceClocks, clock: Int64, to db: SQLiteConnection) throws -> Int {
    try db.run(
      "UPDATE clock SET next_offset = ?, last_append_time = ?, ahead_max = ? WHERE id = ?", clocks.nextOffset.rawValue,
      clocks.lastAppendTime, clocks.aheadMax, clock)
    guard db.changes == 1 else { throw SQLiteError.corrupt("the file does not have the clock \(clock) of partition \(clocks.partition)") }
    return clocks.unsavedCount > 0 ? try SourceRuns.write(clocks, clock: clock, to: db) : 0
  }

  /// Deletes clocks that no view's partition has, with their sources, a part at a time.
  /// - Parameters:
  ///   - open: Clocks that stay nonetheless: those in use whose views have not been stored yet.
  ///   - blocksMax: The most blocks of sources to delete in one call.
  /// - Returns: Whether none is left.
  static func sweep(_ db: SQLiteConnection, keeping open: Set<Int64>, blocksMax: Int = 512) throws -> Bool {
    let unused = try db.rows(
      "SELECT id FROM clock WHERE id NOT IN (SELECT clock FROM progress WHERE clock IS NOT NULL) ORDER BY id"
    ) { $0.int64(0) }.filter { !open.contains($0) }
    for (number, clock) in unused.enumerated() {
      guard number < blocksMax, try StoredRuns.remove(db, .sources(clock: clock), blocksMax: blocksMax) else { return false }
      try db.run("DELETE FROM clock WHERE id = ?", clock)
    }
    return true
  }

  /// Gives a view's partition, whose other rows have been copied from the attached file, its clock of that file. A clock that is
  /// here already, of the same events, serves for it: nothing of the partition may be at work.
  /// - Parameters:
  ///   - view: The view's id here.
  ///   - otherView: Its id there.
  ///   - schema: The name of the attached file.
  static func take(
    _ db: SQLiteConnection, view: Int64, _ partition: PartitionID, from otherView: Int64, in schema: String
  ) throws {
    guard
      let other = try db.first(
        """
        SELECT \(clockColumns) FROM \(schema).clock
        WHERE id = (SELECT clock FROM \(schema).progress WHERE view = ? AND partition = ?)
        """, otherView, partition.index, body: clock)
    else { return }
    let own = try sameClock(db, other) ?? copy(db, other, from: schema)
    try db.run("UPDATE main.progress SET clock = ? WHERE view = ? AND partition = ?", own, view, partition.index)
  }

  private static func sameClock(_ db: SQLiteConnection, _ other: Clock) throws -> Int64? {
    try db.first(
      """
      SELECT id FROM main.clock WHERE partition = ? AND first_offset = ? AND next_offset = ? AND ahead_max = ? AND time_from IS ?
        AND time_to IS ?
      """, other.partition.index, other.firstOffset.rawValue, other.nextOffset.rawValue, other.aheadMax, other.bounds.from,
      other.bounds.to
    ) { $0.int64(0) }
  }

  /// Copies a clock with its sources, from an attached file or within one.
  /// - Returns: The copy's id.
  static func copy(_ db: SQLiteConnection, _ other: Clock, from schema: String = "main") throws -> Int64 {
    try db.run(
      """
      INSERT INTO main.clock (partition, first_offset, next_offset, last_append_time, ahead_max, time_from, time_to)
      SELECT partition, first_offset, next_offset, last_append_time, ahead_max, time_from, time_to FROM \(schema).clock WHERE id = ?
      """, other.id)
    let own = db.lastInsertedRowID
    try StoredRuns.copy(db, .sources(clock: own), from: .sources(clock: other.id), in: schema)
    return own
  }

  // MARK: reading

  private static let clockColumns = "id, partition, first_offset, next_offset, last_append_time, ahead_max, time_from, time_to"

  private static func clock(_ row: SQLiteStatement) -> Clock {
    Clock(
      id: row.int64(0), partition: PartitionID(row.int(1)), firstOffset: Offset(row.int64(2)), nextOffset: Offset(row.int64(3)),
      lastAppendTime: row.optionalInt64(4), aheadMax: row.int64(5),
      bounds: EventTimeBounds(from: row.optionalInt64(6), to: row.optionalInt64(7)))
  }

  /// The clock of a view's partition; nil when it has none.
  static func clock(_ db: SQLiteConnection, view: Int64, _ partition: PartitionID) throws -> Clock? {
    try db.first(
      """
      SELECT \(clockColumns) FROM clock WHERE id = (SELECT clock FROM progress WHERE view = ? AND partition = ?)
      """, view, partition.index, body: clock)
  }

  /// A clock; nil when the file does not have it.
  static func clock(_ db: SQLiteConnection, id: Int64) throws -> Clock? {
    try db.first("SELECT \(clockColumns) FROM clock WHERE id = ?", id, body: clock)
  }

  /// The clock of a partition that reaches furthest back, of those that count all events and have come to an offset; nil when
  /// there is none.
  static func furthestBack(_ db: SQLiteConnection, _ partition: PartitionID, atLeast next: Offset) throws -> Clock? {
    try db.first(
      """
      SELECT \(clockColumns) FROM clock WHERE partition = ? AND next_offset >= ? AND time_from IS NULL AND time_to IS NULL
      ORDER BY first_offset, next_offset DESC LIMIT 1
      """, partition.index, next.rawValue, body: clock)
  }

  /// Takes a clock up as it was at the last checkpoint.
  /// - Parameters:
  ///   - aheadMax: As it is set now.
  ///   - bytesMax: The bytes of sources to take into memory: those that appended last. Others stay in the file.
  static func load(_ db: SQLiteConnection, _ clock: Clock, aheadMax: Int64, bytesMax: Int = .max) throws -> SourceClocks {
    let clocks = SourceClocks(
      partition: clock.partition, firstOffset: clock.firstOffset, aheadMax: aheadMax, bounds: clock.bounds)
    clocks.restore(nextOffset: clock.nextOffset, lastAppendTime: clock.lastAppendTime)
    var kept = try LatestSources(db, clock.id, bytesMax: bytesMax)
    var left: SlowestSource.LetGo?
    try SourceRuns.forEach(db, clock: clock.id) { name, entry in
      if kept.take(entry.lastAppendTime) {
        clocks.restore(name, entry)
      } else {
        left = SlowestSource.LetGo(
          time: min(left?.time ?? .max, entry.time), lastAppendTime: max(left?.lastAppendTime ?? .min, entry.lastAppendTime))
      }
      return true
    }
    if let left { clocks.leaveInFile(left) }
    return clocks
  }

  /// Restores those of the sources that the file has.
  /// - Parameter names: `SourceClocks.missing(in:)`.
  static func restore(_ names: [[UInt8]], into clocks: SourceClocks, clock: Int64, from db: SQLiteConnection) throws {
    guard !names.isEmpty else { return }
    var lookup = try SourceLookup(db, clock: clock)
    for name in names.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      try name.withUnsafeBytes { bytes in
        if let entry = try lookup.find(bytes) { clocks.restore(bytes, entry) }
      }
    }
  }

  /// All that the file has of one source; nil when it has nothing.
  static func find(_ db: SQLiteConnection, clock: Int64, _ name: UnsafeRawBufferPointer) throws -> SourceEntry? {
    var lookup = try SourceLookup(db, clock: clock)
    return try lookup.find(name)
  }
}

/// Chooses the sources of a clock that appended last, as many as fit.
private struct LatestSources {
  /// A source's bytes of memory beside its name, at most.
  private static let sourceBytes = 64

  /// Sources that appended later than this are taken.
  private var limit = Int64.min
  /// How many of those that appended at `limit` are still to be taken; nil when all are.
  private var restMax: Int?

  init(_ db: SQLiteConnection, _ clock: Int64, bytesMax: Int) throws {
    guard bytesMax < .max else { return }
    var times: [Int64] = []
    var bytes = 0
    try SourceRuns.forEach(db, clock: clock) { name, entry in
      times.append(entry.lastAppendTime)
      bytes += name.count + LatestSources.sourceBytes
      return true
    }
    guard bytes > bytesMax else { return }
    let keptMax = Int(Double(times.count) * Double(bytesMax) / Double(bytes))
    times.sort(by: >)
    limit = times[keptMax]
    restMax = keptMax - times.prefix(keptMax).count { $0 > limit }
  }

  mutating func take(_ appendTime: Int64) -> Bool {
    guard let rest = restMax, appendTime <= limit else { return true }
    guard appendTime == limit, rest > 0 else { return false }
    restMax = rest - 1
    return true
  }
}
