import Aggregates
import Events
import Views

/// Up to 4096 rows of a run, decoded: columns side by side.
///
/// As bytes, little-endian:
/// ```
/// 0   u8   format, 1
/// 1   u8   flags: 1 some versions are whole, 2 all are, 4 there are tails
/// 2   u16  rows, 1...4096
/// 4   u32  CRC-32 of all other bytes
/// 8   u16  words of a state without tails
/// 10  u16  bytes with which all keys end, beside those that they begin with: 0...8
/// 12  u32  bytes of the keys' parts
/// 16  u32  bytes of the tails
/// 20  column  slots
///     column  bytes of a key
///     column  bytes that it has in common with the one before it
///             the bytes with which all keys end; of each key those between what it shares and these
///             where some versions are whole, a bit a row, least significant first
///     column  events
///     column  for each word of the state
///     column  where there are tails, the number of a tail's words
///             the tails (`RunTails`)
///             8 bytes of 0, so that eight bytes can be read wherever one can
/// ```
/// `RunColumn` has the form of a column. All rows but the last have keys of less than 256 KiB in all, and states of less than
/// 65,536 words without their tails.
struct RunBlock: Sendable {
  static let format: UInt8 = 1
  static let rowsMax = 4096
  /// The states of all rows but the last have fewer words, without their tails: equal ones take no bytes, but memory.
  static let wordsMax = 64 << 10
  /// All keys but the last have less than this, as they came: shared bytes are not free.
  static let keyBytesMax = 256 << 10
  static let someWhole: UInt8 = 1
  static let allWhole: UInt8 = 2
  static let tails: UInt8 = 4
  static let headerBytes = 20
  static let checksumPlace = 4
  static let endingBytesMax = 8
  static let paddingBytes = 8

  /// The rows that count: at first all. A cursor narrows it.
  var rows: Range<Int>
  private let columns: Columns

  /// The decoded columns: one object, so that a block is passed on for one reference.
  private final class Columns: Sendable {
    let stride: Int
    let slots: [Int64]
    let keyBytes: [UInt8]
    /// One past each key's last byte.
    let keyEnds: [UInt32]
    let sharedKeyBytes: Int
    /// A bit a row; empty where all agree.
    let wholeBits: [UInt8]
    let isAllWhole: Bool
    let events: [Int64]
    let states: [UInt64]
    /// One past each state's last word; empty where no state has a tail.
    let stateEnds: [Int]

    init(_ parts: RunBlockParts, stride: Int) throws(RunBlockDamage) {
      self.stride = stride
      slots = parts.slots.words(parts.rows)
      events = parts.events.words(parts.rows)
      (keyBytes, keyEnds, sharedKeyBytes) = try parts.keys(slots: slots)
      isAllWhole = parts.isAllWhole
      wholeBits = Array(parts.wholeBits)
      (states, stateEnds) = try parts.states()
    }

    init() {
      (sharedKeyBytes, stride, isAllWhole) = (0, 0, true)
      (slots, events, keyBytes, keyEnds, wholeBits, states, stateEnds) = ([], [], [], [], [], [], [])
    }
  }

  /// A block without rows.
  static let empty = RunBlock()

  private init() { (rows, columns) = (0..<0, Columns()) }

  /// Decodes a block. Checksum, lengths and order are checked. It takes at most eight times the bytes given, and two mebibytes.
  /// - Parameters:
  ///   - bytes: The block.
  ///   - stride: The words of each row's state, without tails.
  ///   - layout: The states' layout, each of which is then held to it; nil where they have none.
  /// - Throws: When the bytes are damaged, or another definition's.
  init(_ bytes: UnsafeRawBufferPointer, stride: Int, layout: StateLayout? = nil) throws(RunBlockDamage) {
    assert(layout == nil || layout?.stride == stride)
    let parts = try RunBlockParts(bytes, stride: stride)
    rows = 0..<parts.rows
    columns = try Columns(parts, stride: stride)
    guard let layout else { return }
    for row in rows where !withState(row, { layout.isCanonical($0) }) { throw .state }
  }

  /// The CRC-32 of all bytes of a block but its checksum's.
  static func checksum(of bytes: UnsafeRawBufferPointer) -> UInt32 {
    let start = Events.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<checksumPlace]))
    return Events.checksum(UnsafeRawBufferPointer(rebasing: bytes[(checksumPlace + 4)...]), from: start)
  }

  // MARK: Rows

  /// Bytes with which all keys begin, also those of rows that do not count.
  var sharedKeyBytes: Int { columns.sharedKeyBytes }

  @inline(__always) func slot(_ row: Int) -> Int64 { columns.slots[row] }

  @inline(__always) func withKey<R>(_ row: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let start = row == 0 ? 0 : Int(columns.keyEnds[row &- 1]), end = Int(columns.keyEnds[row])
    return try columns.keyBytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
  }

  @inline(__always) private func withState<R>(_ row: Int, _ body: (UnsafeBufferPointer<UInt64>) throws -> R) rethrows -> R {
    let start: Int, end: Int
    if columns.stateEnds.isEmpty {
      start = row &* columns.stride
      end = start &+ columns.stride
    } else {
      start = row == 0 ? 0 : columns.stateEnds[row &- 1]
      end = columns.stateEnds[row]
    }
    return try columns.states.withUnsafeBufferPointer { try body(UnsafeBufferPointer(rebasing: $0[start..<end])) }
  }

  @inline(__always) func isWhole(_ row: Int) -> Bool {
    columns.wholeBits.isEmpty ? columns.isAllWhole : columns.wholeBits[row &>> 3] &>> UInt8(truncatingIfNeeded: row & 7) & 1 != 0
  }

  /// The events that a row's version adds.
  @inline(__always) func events(_ row: Int) -> Int64 { columns.events[row] }

  @inline(__always) func withRow<R>(_ row: Int, _ body: (RunRow) throws -> R) rethrows -> R {
    try withKey(row) { key in
      try withState(row) { state in
        try body(RunRow(slot: columns.slots[row], key: key, isWhole: isWhole(row), events: columns.events[row], state: state))
      }
    }
  }

  func place(_ row: Int) -> RowPlace { RowPlace(slot: columns.slots[row], key: withKey(row) { Array($0) }) }

  /// The first row at or after a place, within `rows`; `rows.upperBound` when there is none.
  /// - Parameters:
  ///   - slot: The place's slot.
  ///   - key: The place's key.
  func position(notBefore slot: Int64, _ key: UnsafeRawBufferPointer) -> Int {
    var (low, high) = (rows.lowerBound, rows.upperBound)
    while low < high {
      let middle = (low + high) / 2
      if withKey(middle, { RowPlace.order(columns.slots[middle], $0, slot, key) }) < 0 { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
