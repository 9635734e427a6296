import Aggregates
import SQLite
import Views

/// A block as the file has it.
struct StoredBlock: Sendable {
  let id: Int64
  let byteCount: Int
  /// The events that it states.
  let events: Int64
  let block: RunBlock
}

/// A run's blocks between two places, as the file has them. Each is a statement of its own, so that only the transaction stays
/// open between two.
struct StoredBlocks: RunBlocks {
  private let run: Int64
  private let stride: Int
  private let lastSlot: Int64
  /// The first place that is wanted; later the last row given.
  private var next: RowPlace
  private var isFirst = true
  private var isDone = false

  /// - Parameters:
  ///   - start: The first place that is wanted.
  ///   - lastSlot: The last slot that is wanted.
  init(run: Int64, stride: Int, from start: RowPlace, through lastSlot: Int64) {
    self.run = run
    self.stride = stride
    self.lastSlot = lastSlot
    next = start
  }

  mutating func next(_ db: SQLiteConnection) throws -> RunBlock? {
    guard !isDone else { return nil }
    guard var block = try StoredBlocks.find(db, run: run, stride: stride, next, isAfter: !isFirst)?.block else {
      isDone = true
      return nil
    }
    if isFirst {
      let first = next.key.withUnsafeBytes { block.position(notBefore: next.slot, $0) }
      block.rows = first..<block.rows.upperBound
      isFirst = false
    }
    next = block.place(block.rows.upperBound - 1)
    if next.slot > lastSlot {
      isDone = true
      block.rows = block.rows.lowerBound..<max(block.rows.lowerBound, block.position(afterSlot: lastSlot))
    }
    return block.rows.isEmpty ? try self.next(db) : block
  }

  /// The first block of a run that ends at or after a place.
  /// - Parameter isAfter: Whether it must end after it.
  static func find(
    _ db: SQLiteConnection, run: Int64, stride: Int, _ place: RowPlace, isAfter: Bool
  ) throws -> StoredBlock? {
    try db.withStatement(
      """
      SELECT id, events, bytes FROM block WHERE run = ?1 AND (last_slot, last_key) \(isAfter ? ">" : ">=") (?2, ?3)
      ORDER BY last_slot, last_key LIMIT 1
      """
    ) { statement in
      try statement.bind(run, at: 1)
      try statement.bind(place.slot, at: 2)
      try statement.bind(place.key, at: 3)
      guard try statement.step() else { return nil }
      let bytes = statement.bytes(2)
      return StoredBlock(
        id: statement.int64(0), byteCount: bytes.count, events: statement.int64(1), block: try decode(bytes, stride, run: run))
    }
  }

  /// The events that a block's rows add, without the rest of it.
  static func eventCount(_ bytes: UnsafeRawBufferPointer, _ stride: Int, run: Int64) throws(SQLiteError) -> Int {
    let parts = try named(run) { () throws(RunBlockDamage) in try RunBlockParts(bytes, stride: stride) }
    var sum = 0
    parts.events.read(0..<parts.rows) { sum &+= Int(truncatingIfNeeded: $1) }
    return sum
  }

  /// A block as it is stored.
  static func decode(_ bytes: UnsafeRawBufferPointer, _ stride: Int, run: Int64) throws(SQLiteError) -> RunBlock {
    try named(run) { () throws(RunBlockDamage) in try RunBlock(bytes, stride: stride) }
  }

  /// Names the run whose block is damaged.
  private static func named<R>(_ run: Int64, _ read: () throws(RunBlockDamage) -> R) throws(SQLiteError) -> R {
    do throws(RunBlockDamage) { return try read() } catch { throw SQLiteError.corrupt("a block of run \(run): \(error)") }
  }
}

/// One key's rows of a run, slot by slot: a run is in the order of slots and then keys, and a slot may have millions of rows,
/// so the key is sought in one slot after the other.
struct StoredKeyRows: RunBlocks {
  private let run: Int64
  private let stride: Int
  private let key: [UInt8]
  private let lastSlot: Int64
  private var nextSlot: Int64?
  private var block: RunBlock?

  init(run: Int64, stride: Int, key: [UInt8], _ slots: ClosedRange<Int64>) {
    self.run = run
    self.stride = stride
    self.key = key
    lastSlot = slots.upperBound
    nextSlot = slots.lowerBound
  }

  /// A block of which one row counts.
  mutating func next(_ db: SQLiteConnection) throws -> RunBlock? {
    while let slot = nextSlot, slot <= lastSlot {
      guard let row = try seek(slot, db), let block else {
        nextSlot = nil
        return nil
      }
      let found = block.slot(row)
      guard found <= lastSlot else {
        nextSlot = nil
        return nil
      }
      let isKey = block.withKey(row) { $0.elementsEqual(key) }
      // The row may be another key's, of a later slot in which this key may have a row, too.
      nextSlot = isKey || found == slot ? (found == .max ? nil : found + 1) : found
      guard isKey else { continue }
      var one = block
      one.rows = row..<(row + 1)
      return one
    }
    return nil
  }

  /// The first row at or after the key in a slot.
  private mutating func seek(_ slot: Int64, _ db: SQLiteConnection) throws -> Int? {
    func position(in block: RunBlock) -> Int { key.withUnsafeBytes { block.position(notBefore: slot, $0) } }
    if let block, case let row = position(in: block), row < block.rows.upperBound { return row }
    block = try StoredBlocks.find(db, run: run, stride: stride, RowPlace(slot: slot, key: key), isAfter: false)?.block
    return block.map { position(in: $0) }
  }
}

extension RunBlock {
  /// The first row after a place, within `rows`.
  func position(after place: RowPlace) -> Int {
    let row = place.key.withUnsafeBytes { position(notBefore: place.slot, $0) }
    return row < rows.upperBound && self.place(row) == place ? row + 1 : row
  }

  /// The first row of a later slot, within `rows`.
  func position(afterSlot slot: Int64) -> Int {
    slot == .max ? rows.upperBound : position(notBefore: slot + 1, UnsafeRawBufferPointer(start: nil, count: 0))
  }
}

/// Rows of an owner's runs, merged.
extension RunMerge where Source == StoredBlocks {
  /// - Parameters:
  ///   - start: The first place that is wanted.
  ///   - lastSlot: The last slot that is wanted.
  init(
    _ db: SQLiteConnection, _ owner: RunOwner, _ layout: StateLayout, from start: RowPlace, through lastSlot: Int64
  ) throws {
    self.init(
      try StoredRuns.list(db, owner).map {
        StoredBlocks(run: $0.id, stride: layout.stride, from: start, through: lastSlot)
      }, layout: layout)
  }
}
