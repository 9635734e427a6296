import Events
import SQLite
import Views

/// The sources of clocks in a worker's file, as runs: each version of a source is all that is known of it.
///
/// A row's key is the source's name, its slot 0; its state's words are a `SourceEntry`.
enum SourceRuns {
  /// The words of a row's state.
  static let stride = 7
  private static let slot: Int64 = 0

  // MARK: entries as words

  private static func encode(_ entry: SourceEntry, to words: inout [UInt64]) {
    words.removeAll(keepingCapacity: true)
    words.append(UInt64(bitPattern: entry.time))
    // 0 for most: the clock is not ahead.
    words.append(UInt64(bitPattern: entry.largest &- entry.time))
    words.append(UInt64(bitPattern: entry.lastAppendTime))
    words.append(UInt64(bitPattern: Int64(entry.events)))
    words.append(entry.epoch)
    words.append(entry.sequence == nil ? 0 : 1)
    words.append(entry.sequence ?? 0)
  }

  fileprivate static func decode(_ words: UnsafeBufferPointer<UInt64>) -> SourceEntry {
    let time = Int64(bitPattern: words[0])
    return SourceEntry(
      time: time, largest: time &+ Int64(bitPattern: words[1]), lastAppendTime: Int64(bitPattern: words[2]),
      events: Int(truncatingIfNeeded: words[3]), epoch: words[4], sequence: words[5] == 0 ? nil : words[6])
  }

  // MARK: writing

  /// Writes the sources that have changed since the last checkpoint.
  /// - Returns: Sources written.
  static func write(_ clocks: SourceClocks, clock: Int64, to db: SQLiteConnection) throws -> Int {
    var run = RunWriter(db, .sources(clock: clock), stride: stride)
    var words: [UInt64] = []
    try clocks.forEachChanged { name, entry in try append(name, entry, to: &run, &words) }
    try run.finish()
    return run.rows
  }

  private static func append(
    _ name: UnsafeRawBufferPointer, _ entry: SourceEntry, to run: inout RunWriter, _ words: inout [UInt64]
  ) throws {
    encode(entry, to: &words)
    try words.withUnsafeBufferPointer {
      try run.append(RunRow(slot: slot, key: name, isWhole: true, events: 0, state: $0))
    }
  }

  /// Makes a run of each clock's sources of a file of format 5, which had a row for each.
  static func migrate(_ db: SQLiteConnection) throws {
    for clock in try db.rows("SELECT DISTINCT clock FROM source", body: { $0.int64(0) }) {
      var run = RunWriter(db, .sources(clock: clock), stride: stride)
      var words: [UInt64] = []
      let sql =
        "SELECT name, time, largest, last_append_time, events, epoch, sequence FROM source WHERE clock = ? ORDER BY name"
      try db.withStatement(sql) { row in
        try row.bind([clock])
        while try row.step() {
          let entry = SourceEntry(
            time: row.int64(1), largest: row.optionalInt64(2) ?? row.int64(1), lastAppendTime: row.int64(3), events: row.int(4),
            epoch: UInt64(bitPattern: row.int64(5)), sequence: row.optionalInt64(6).map { UInt64(bitPattern: $0) })
          try append(row.bytes(0), entry, to: &run, &words)
        }
      }
      try run.finish()
    }
    try db.execute("DROP TABLE source")
  }

  // MARK: reading

  /// Calls `body` with sources in the order of their names' bytes, until it returns false.
  /// - Parameter name: The name to begin at.
  static func forEach(
    _ db: SQLiteConnection, clock: Int64, from name: [UInt8] = [],
    _ body: (UnsafeRawBufferPointer, SourceEntry) throws -> Bool
  ) throws {
    var merge = RunMerge(
      try StoredRuns.list(db, .sources(clock: clock)).map {
        StoredBlocks(run: $0.id, stride: stride, from: RowPlace(slot: slot, key: name), through: slot)
      }, layout: nil)
    var isWanted = true
    while try isWanted && merge.next(db, { isWanted = try body($0.key, decode($0.state)) }) {}
  }

  /// The first sources of a range.
  static func page(_ db: SQLiteConnection, clock: Int64, _ range: SourceRange) throws -> [NamedSource] {
    var page: [NamedSource] = []
    let from = range.after.map { range.prefix.lexicographicallyPrecedes($0) ? $0 : range.prefix } ?? range.prefix
    guard range.limit > 0 else { return page }
    try forEach(db, clock: clock, from: from) { name, entry in
      if let end = range.end, !name.lexicographicallyPrecedes(end) { return false }
      if let after = range.after, name.elementsEqual(after) { return true }
      page.append(NamedSource(name: Array(name), entry: entry))
      return page.count < range.limit
    }
    return page
  }
}

/// Looks sources up in the runs of a clock. Where the names that are asked for ascend, each block is read once at most.
struct SourceLookup {
  private struct Run {
    let run: StoredRun
    /// The first block that ends at or after the name that was asked for last; nil where there is none.
    var block: RunBlock?
    /// That name; nil before the first.
    var asked: [UInt8]?
  }

  private let db: SQLiteConnection
  /// The newest first.
  private var runs: [Run]

  init(_ db: SQLiteConnection, clock: Int64) throws {
    self.db = db
    runs = try StoredRuns.list(db, .sources(clock: clock)).map { Run(run: $0) }
  }

  /// All that the file has of a source; nil when it has nothing.
  mutating func find(_ name: UnsafeRawBufferPointer) throws -> SourceEntry? {
    let hash = RunFilter.hash(name)
    for index in runs.indices {
      if let found = try find(name, hash, in: index) { return found }
    }
    return nil
  }

  private mutating func find(_ name: UnsafeRawBufferPointer, _ hash: UInt64, in index: Int) throws -> SourceEntry? {
    if !isThere(name, runs[index]) {
      guard try StoredRuns.mayHave(db, runs[index].run, hash) else { return nil }
      let asked = Array(name)
      runs[index].block = try StoredBlocks.find(
        db, run: runs[index].run.id, stride: SourceRuns.stride, RowPlace(slot: 0, key: asked), isAfter: false)?.block
      runs[index].asked = asked
    }
    return runs[index].block.flatMap { SourceLookup.entry(of: name, in: $0) }
  }

  /// Whether no block of a run but the one that was read can have a name.
  private func isThere(_ name: UnsafeRawBufferPointer, _ run: Run) -> Bool {
    guard let asked = run.asked, asked.withUnsafeBytes({ PartialRows.keyOrder($0, name) <= 0 }) else { return false }
    guard let block = run.block else { return true }
    return block.withKey(block.rows.upperBound - 1) { PartialRows.keyOrder($0, name) >= 0 }
  }

  private static func entry(of name: UnsafeRawBufferPointer, in block: RunBlock) -> SourceEntry? {
    let row = block.position(notBefore: 0, name)
    guard row < block.rows.upperBound else { return nil }
    return block.withRow(row) { $0.key.elementsEqual(name) ? SourceRuns.decode($0.state) : nil }
  }
}
