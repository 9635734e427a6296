import Events
import SQLite
import Views

/// Whose rows a run has.
enum RunOwner: Hashable, Sendable {
  /// A view's partition: rows of windows.
  case rows(view: Int64, PartitionID)
  /// A clock: its sources, each as it is, at slot 0.
  case sources(clock: Int64)

  /// As the table `run` names it.
  fileprivate var kind: Int64 {
    switch self {
    case .rows: 0
    case .sources: 1
    }
  }

  fileprivate var id: Int64 {
    switch self {
    case .rows(let view, _): view
    case .sources(let clock): clock
    }
  }

  fileprivate var partition: Int64 {
    switch self {
    case .rows(_, let partition): Int64(partition.index)
    case .sources: 0
    }
  }

  /// An owner as the table names it.
  static func named(kind: Int64, _ id: Int64, _ partition: Int) -> RunOwner? {
    switch kind {
    case 0: .rows(view: id, PartitionID(partition))
    case 1: .sources(clock: id)
    default: nil
    }
  }
}

/// A run without its blocks.
struct StoredRun: Sendable, Hashable {
  var id: Int64
  /// Runs of an owner with a larger age are newer. Runs of one age have no row in common.
  var age: Int64
  /// The bytes of its blocks.
  var bytes: Int
  var rows: Int
  /// The parts of its filter; 0 where it has none.
  var filterParts: Int
}

/// The runs of a worker's file: sorted rows in blocks, each run with the changes of one checkpoint, or of several, merged.
///
/// ```
/// run     id, kind and id of its owner, partition, age, bytes and rows of its blocks, parts of its filter
/// block   id, run, first_slot, last_slot and last_key, rows, events, bytes (RunBlock.swift): the blocks of a run do not overlap
/// filter  id (the run's, times 2^24, and the part's number), bits: a part of a run's filter (RunFilter.swift)
/// ```
enum StoredRuns {
  static let schema = """
    CREATE TABLE IF NOT EXISTS run (
      id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, owner INTEGER NOT NULL, partition INTEGER NOT NULL, age INTEGER NOT NULL,
      bytes INTEGER NOT NULL DEFAULT 0, rows INTEGER NOT NULL DEFAULT 0, filter_parts INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX IF NOT EXISTS run_by_owner ON run (kind, owner, partition, age);
    CREATE TABLE IF NOT EXISTS block (
      id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, first_slot INTEGER NOT NULL, last_slot INTEGER NOT NULL, last_key BLOB NOT NULL,
      rows INTEGER NOT NULL, events INTEGER NOT NULL, bytes BLOB NOT NULL);
    CREATE INDEX IF NOT EXISTS block_by_place ON block (run, last_slot, last_key);
    CREATE TABLE IF NOT EXISTS filter (id INTEGER PRIMARY KEY, bits BLOB NOT NULL);
    """

  /// The runs of an owner, the newest first.
  /// - Parameter schema: The name of an attached file.
  static func list(_ db: SQLiteConnection, _ owner: RunOwner, in schema: String = "main") throws -> [StoredRun] {
    try db.rows(
      """
      SELECT id, age, bytes, rows, filter_parts FROM \(schema).run WHERE kind = ? AND owner = ? AND partition = ?
      ORDER BY age DESC, id DESC
      """, owner.kind, owner.id, owner.partition
    ) { StoredRun(id: $0.int64(0), age: $0.int64(1), bytes: $0.int(2), rows: $0.int(3), filterParts: $0.int(4)) }
  }

  /// The owners of more runs than a number.
  static func owners(_ db: SQLiteConnection, withMoreRunsThan count: Int) throws -> [RunOwner] {
    try db.rows(
      "SELECT kind, owner, partition FROM run GROUP BY kind, owner, partition HAVING count(*) > ? ORDER BY count(*) DESC", count
    ) { RunOwner.named(kind: $0.int64(0), $0.int64(1), $0.int(2)) }.compactMap { $0 }
  }

  /// The partitions of a view that have runs.
  static func partitions(_ db: SQLiteConnection, ofView view: Int64) throws -> [PartitionID] {
    try db.rows("SELECT DISTINCT partition FROM run WHERE kind = 0 AND owner = ?", view) { PartitionID($0.int(0)) }
  }

  // MARK: writing

  /// Makes a run without blocks.
  /// - Parameter age: Nil for the owner's newest.
  /// - Returns: Its id.
  static func add(_ db: SQLiteConnection, _ owner: RunOwner, age: Int64? = nil) throws -> Int64 {
    try db.run(
      """
      INSERT INTO run (kind, owner, partition, age) VALUES (?1, ?2, ?3,
        coalesce(?4, (SELECT max(age) + 1 FROM run WHERE kind = ?1 AND owner = ?2 AND partition = ?3), 1))
      """, owner.kind, owner.id, owner.partition, age)
    return db.lastInsertedRowID
  }

  static func insert(_ db: SQLiteConnection, _ block: EncodedBlock, run: Int64) throws {
    try db.withStatement(
      "INSERT INTO block (run, first_slot, last_slot, last_key, rows, events, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)"
    ) { statement in
      try statement.bind(run, at: 1)
      try statement.bind(block.first.slot, at: 2)
      try statement.bind(block.last.slot, at: 3)
      try statement.bind(block.last.key, at: 4)
      try statement.bind(Int64(block.rows), at: 5)
      try statement.bind(block.events, at: 6)
      try block.bytes.withUnsafeBytes { bytes in
        try statement.bind(borrowing: bytes, at: 7)
        try statement.runOnce()
      }
    }
    try note(db, run: run, bytes: block.bytes.count, rows: block.rows)
  }

  /// Adds to the bytes and rows that a run states.
  private static func note(_ db: SQLiteConnection, run: Int64, bytes: Int, rows: Int) throws {
    try db.run("UPDATE run SET bytes = bytes + ?, rows = rows + ? WHERE id = ?", bytes, rows, run)
  }

  /// Deletes an owner's runs, a part at a time.
  /// - Returns: Whether none is left.
  static func remove(_ db: SQLiteConnection, _ owner: RunOwner, blocksMax: Int = .max) throws -> Bool {
    var rest = blocksMax
    for run in try list(db, owner) {
      try db.run("DELETE FROM block WHERE id IN (SELECT id FROM block WHERE run = ? LIMIT ?)", run.id, rest)
      rest -= db.changes
      guard rest > 0 else { return false }
      try removeIfEmpty(db, run: run.id)
    }
    return true
  }

  /// Copies runs, from an attached file or within one, to an owner that has none.
  static func copy(_ db: SQLiteConnection, _ owner: RunOwner, from other: RunOwner, in schema: String = "main") throws {
    for run in try list(db, other, in: schema) {
      let own = try add(db, owner, age: run.age)
      try db.run(
        """
        INSERT INTO main.block (run, first_slot, last_slot, last_key, rows, events, bytes)
        SELECT ?1, first_slot, last_slot, last_key, rows, events, bytes FROM \(schema).block WHERE run = ?2 ORDER BY id
        """, own, run.id)
      try note(db, run: own, bytes: run.bytes, rows: run.rows)
      try copyFilter(db, of: run, to: own, in: schema)
    }
  }

  // MARK: retention

  /// Deletes rows up to a slot: whole blocks, and at last the rows of blocks that also have later ones.
  /// - Parameters:
  ///   - slot: The last slot to go.
  ///   - blocksMax: The most whole blocks to delete; the rest is left to a later call.
  /// - Returns: The events that they counted.
  static func trim(
    _ db: SQLiteConnection, _ owner: RunOwner, through slot: Int64, stride: Int, blocksMax: Int = 1024
  ) throws -> Int {
    var events = 0
    var rest = blocksMax
    for run in try list(db, owner) {
      let gone = try db.rows(
        "SELECT id, events, length(bytes), rows FROM block WHERE run = ? AND last_slot <= ? ORDER BY last_slot, last_key LIMIT ?",
        run.id, slot, rest
      ) { (id: $0.int64(0), events: $0.int(1), bytes: $0.int(2), rows: $0.int(3)) }
      for block in gone { try delete(db, block: block.id, run: run.id, bytes: block.bytes, rows: block.rows) }
      events += gone.reduce(0) { $0 + $1.events }
      rest -= gone.count
      guard rest > 0 else { return events }
      events += try cutFirst(db, run: run.id, through: slot, stride: stride)
      try removeIfEmpty(db, run: run.id)
    }
    return events
  }

  /// Rewrites a run's first block without its rows up to a slot.
  private static func cutFirst(_ db: SQLiteConnection, run: Int64, through slot: Int64, stride: Int) throws -> Int {
    let first = try db.first(
      "SELECT id, first_slot, events, bytes FROM block WHERE run = ? ORDER BY last_slot, last_key LIMIT 1", run
    ) { (id: $0.int64(0), slot: $0.int64(1), events: $0.int(2), bytes: Array($0.bytes(3))) }
    guard let first, first.slot <= slot, slot < .max else { return 0 }
    let block = try first.bytes.withUnsafeBytes { try StoredBlocks.decode($0, stride, run: run) }
    var builder = RunBlockBuilder(stride: stride)
    try delete(db, block: first.id, run: run, bytes: first.bytes.count, rows: block.rows.count)
    let kept = builder.blocks(of: block, block.position(afterSlot: slot)..<block.rows.upperBound)
    for part in kept { try insert(db, part, run: run) }
    return kept.reduce(first.events) { $0 - Int($1.events) }
  }

  // MARK: merging

  static func delete(_ db: SQLiteConnection, block: Int64, run: Int64, bytes: Int, rows: Int) throws {
    try db.run("DELETE FROM block WHERE id = ?", block)
    guard db.changes == 1 else { throw SQLiteError.corrupt("the file does not have the block \(block) of run \(run)") }
    try note(db, run: run, bytes: -bytes, rows: -rows)
  }

  static func removeIfEmpty(_ db: SQLiteConnection, run: Int64) throws {
    try db.run("DELETE FROM run WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM block WHERE run = ?1)", run)
    guard db.changes > 0 else { return }
    try db.run("DELETE FROM filter WHERE id >= ? AND id < ?", filterPart(run, 0), filterPart(run + 1, 0))
  }

  // MARK: filters

  private static func filterPart(_ run: Int64, _ part: Int) -> Int64 { run << 24 | Int64(part) }

  /// Stores the filter of a run that is complete.
  static func setFilter(_ db: SQLiteConnection, _ filter: RunFilter, run: Int64) throws {
    try db.withStatement("INSERT INTO filter (id, bits) VALUES (?, ?)") { statement in
      try filter.forEachPart { part, bytes in
        try statement.bind(filterPart(run, part), at: 1)
        try statement.bind(borrowing: bytes, at: 2)
        try statement.runOnce()
      }
    }
    try db.run("UPDATE run SET filter_parts = ? WHERE id = ?", filter.parts, run)
  }

  private static func copyFilter(_ db: SQLiteConnection, of run: StoredRun, to own: Int64, in schema: String) throws {
    guard run.filterParts > 0 else { return }
    try db.run(
      "INSERT INTO main.filter (id, bits) SELECT id - ?1 + ?2, bits FROM \(schema).filter WHERE id >= ?1 AND id < ?3",
      filterPart(run.id, 0), filterPart(own, 0), filterPart(run.id + 1, 0))
    try db.run("UPDATE main.run SET filter_parts = ? WHERE id = ?", run.filterParts, own)
  }

  /// Whether a run may have rows of a key.
  /// - Parameter hash: `RunFilter.hash` of the key.
  static func mayHave(_ db: SQLiteConnection, _ run: StoredRun, _ hash: UInt64) throws -> Bool {
    guard run.filterParts > 0 else { return true }
    let part = filterPart(run.id, RunFilter.part(of: hash, run.filterParts))
    return try db.first("SELECT bits FROM filter WHERE id = ?", part) { RunFilter.mayHave(hash, $0.bytes(0)) } ?? true
  }

  // MARK: counting

  /// The events that an owner's blocks state, without a look into them.
  static func statedEvents(_ db: SQLiteConnection, _ owner: RunOwner) throws -> Int {
    try list(db, owner).reduce(0) { sum, run in
      try sum + (db.first("SELECT coalesce(sum(events), 0) FROM block WHERE run = ?", run.id) { $0.int(0) } ?? 0)
    }
  }

  /// The events that an owner's rows count, row by row.
  static func countEvents(_ db: SQLiteConnection, _ owner: RunOwner, stride: Int, _ stop: ReadStop) throws -> Int {
    var sum = 0
    for run in try list(db, owner) {
      try db.withStatement("SELECT bytes FROM block WHERE run = ?") { block in
        try block.bind([run.id])
        while try block.step() {
          try stop.check()
          sum += try StoredBlocks.eventCount(block.bytes(0), stride, run: run.id)
        }
      }
    }
    return sum
  }

  /// The first slot from which on an owner's rows fit a number of rows; nil where all do.
  static func firstSlot(_ db: SQLiteConnection, _ owner: RunOwner, rowsMax: Int) throws -> Int64? {
    var rest = rowsMax
    return try db.withStatement(
      """
      SELECT last_slot, rows FROM block WHERE run IN (SELECT id FROM run WHERE kind = ? AND owner = ? AND partition = ?)
      ORDER BY last_slot DESC
      """
    ) { block in
      try block.bind([owner.kind, owner.id, owner.partition])
      while try block.step() {
        rest -= block.int(1)
        // A block may have rows of earlier slots, too: those of its last are not loaded either.
        if rest < 0 { return block.int64(0) == .max ? .max : block.int64(0) + 1 }
      }
      return nil
    }
  }
}

extension RunBlockBuilder {
  /// A part of a block's rows, as blocks: most often one. Fewer rows may fill a block sooner than all of them did, since a
  /// builder only estimates their bytes.
  mutating func blocks(of block: RunBlock, _ rows: Range<Int>) -> [EncodedBlock] {
    var blocks: [EncodedBlock] = []
    for row in rows {
      block.withRow(row) { append($0) }
      if isFull, let full = take() { blocks.append(full) }
    }
    if let last = take() { blocks.append(last) }
    return blocks
  }
}

/// Writes rows that come in order into a new run of an owner.
struct RunWriter {
  private let db: SQLiteConnection
  private let owner: RunOwner
  private var builder: RunBlockBuilder
  private var run: Int64?
  private(set) var rows = 0
  /// The hashes of the rows' keys, for the filter.
  private var hashes: [UInt64] = []

  init(_ db: SQLiteConnection, _ owner: RunOwner, stride: Int) {
    self.db = db
    self.owner = owner
    builder = RunBlockBuilder(stride: stride)
  }

  mutating func append(_ row: RunRow) throws {
    builder.append(row)
    rows += 1
    if hashes.count <= RunFilter.rows.upperBound { hashes.append(RunFilter.hash(row.key)) }
    if builder.isFull { try flush() }
  }

  /// Writes what is left. Without rows, there is no run.
  mutating func finish() throws {
    try flush()
    guard let run, var filter = RunFilter(rows: rows) else { return }
    for hash in hashes { filter.add(hash) }
    try StoredRuns.setFilter(db, filter, run: run)
  }

  private mutating func flush() throws {
    guard let block = builder.take() else { return }
    let run = try self.run ?? StoredRuns.add(db, owner)
    self.run = run
    try StoredRuns.insert(db, block, run: run)
  }
}
