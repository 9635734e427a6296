import Events
import SQLite
import Views

/// Late events of a view and partition in the state file: blocks of offsets and times, each of some thousand events with a few
/// bytes an event.
///
/// ```
/// each event   varint  offset − that of the event before (of the first, − the block's first offset)
///              varint  event time − that of the event before (of the first, − 0), zigzag
/// ```
/// Varints are little-endian groups of seven bits, the last without the eighth. Beside a block, where any of its events is late
/// for being past retention, a bit an event says which: least significant first.
enum LateBlock {
  static let eventsMax = 4096

  // MARK: the bytes

  /// - Parameter entries: In the order of their offsets.
  static func encode(_ entries: some Collection<LateEntry>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(entries.count * 6)
    var offset = entries.first?.offset.rawValue ?? 0
    var time: Int64 = 0
    for entry in entries {
      append(UInt64(bitPattern: entry.offset.rawValue &- offset), to: &bytes)
      let step = entry.eventTime &- time
      append(UInt64(bitPattern: step << 1 ^ step >> 63), to: &bytes)
      (offset, time) = (entry.offset.rawValue, entry.eventTime)
    }
    return bytes
  }

  /// - Returns: Nil when the bytes are no block.
  static func decode(_ bytes: UnsafeRawBufferPointer, first: Int64) -> [LateEntry]? {
    var entries: [LateEntry] = []
    var (at, offset, time) = (0, first, Int64(0))
    while at < bytes.count {
      guard let distance = number(bytes, &at), let step = number(bytes, &at), entries.count < eventsMax else { return nil }
      offset &+= Int64(bitPattern: distance)
      time &+= Int64(bitPattern: step >> 1) ^ -Int64(bitPattern: step & 1)
      guard offset >= 0, entries.last.map({ $0.offset.rawValue < offset }) ?? true else { return nil }
      entries.append(LateEntry(offset: Offset(offset), eventTime: time))
    }
    return entries
  }

  /// A bit for each event that is past retention; nil when none is.
  static func encodeExpired(_ entries: some Collection<LateEntry>) -> [UInt8]? {
    guard entries.contains(where: { $0.reason == .expired }) else { return nil }
    var bits = [UInt8](repeating: 0, count: (entries.count + 7) / 8)
    for (index, entry) in entries.enumerated() where entry.reason == .expired { bits[index / 8] |= 1 << UInt8(index % 8) }
    return bits
  }

  /// - Parameter bits: Empty when no event is past retention.
  /// - Returns: Whether the bits belong to that many events.
  static func decodeExpired(_ bits: UnsafeRawBufferPointer, into entries: inout [LateEntry]) -> Bool {
    guard !bits.isEmpty else { return true }
    guard bits.count == (entries.count + 7) / 8 else { return false }
    for index in entries.indices where bits[index / 8] >> UInt8(index % 8) & 1 != 0 { entries[index].reason = .expired }
    return true
  }

  private static func append(_ value: UInt64, to bytes: inout [UInt8]) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private static func number(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while at < bytes.count, shift < 64 {
      let byte = bytes[at]
      at += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    return nil
  }

  // MARK: the table

  /// Writes the new events, and deletes blocks that lie before the last `countMax` events.
  static func write(_ log: LateLog, view: Int64, _ partition: PartitionID, countMax: Int, to db: SQLiteConnection) throws {
    var entries = Array(log.last)
    guard let first = entries.first else { return }
    // The last block is filled first, so that the number of blocks depends on the number of events alone.
    let last = try db.first(
      "SELECT first_offset, block, expired FROM late WHERE view = ? AND partition = ? AND events < ? ORDER BY first_offset DESC LIMIT 1",
      view, partition.index, eventsMax
    ) { row in try block(row) }
    if let last, let end = last.last, end.offset < first.offset { entries.insert(contentsOf: last, at: 0) }
    for start in stride(from: 0, to: entries.count, by: eventsMax) {
      let part = entries[start..<min(entries.count, start + eventsMax)]
      try db.run(
        "INSERT OR REPLACE INTO late (view, partition, first_offset, events, block, expired) VALUES (?, ?, ?, ?, ?, ?)", view,
        partition.index, part[start].offset.rawValue, part.count, encode(part), encodeExpired(part))
    }
    try letGo(view, partition, countMax: countMax, db)
  }

  private static func letGo(_ view: Int64, _ partition: PartitionID, countMax: Int, _ db: SQLiteConnection) throws {
    let blocks = try db.rows(
      "SELECT first_offset, events FROM late WHERE view = ? AND partition = ? ORDER BY first_offset DESC", view, partition.index
    ) { (first: $0.int64(0), events: $0.int(1)) }
    var count = 0
    for block in blocks {
      if count >= countMax {
        try db.run(
          "DELETE FROM late WHERE view = ? AND partition = ? AND first_offset <= ?", view, partition.index, block.first)
        return
      }
      count += block.events
    }
  }

  /// All late events of a view's partition in the file, in the order of offsets.
  static func read(_ db: SQLiteConnection, _ id: GenerationID, _ partition: PartitionID) throws -> [LateEntry] {
    try db.rows(
      """
      SELECT first_offset, block, expired FROM late
      WHERE view = (SELECT id FROM view WHERE name = ? AND generation = ?) AND partition = ? ORDER BY first_offset
      """, id.view, id.number, partition.index
    ) { row in try block(row) }.flatMap { $0 }
  }

  private static func block(_ row: SQLiteStatement) throws -> [LateEntry] {
    guard var entries = decode(row.bytes(1), first: row.int64(0)), decodeExpired(row.bytes(2), into: &entries) else {
      throw SQLiteError.corrupt("a block of late events does not read")
    }
    return entries
  }
}
