/// A block's bytes, divided into their parts: all lengths are within bounds.
struct RunBlockParts {
  /// A column's form, and its steps. Eight bytes behind these can be read.
  struct Column {
    var form: RunColumn
    var steps: UnsafeRawPointer

    @inline(__always) func read(_ rows: Range<Int>, _ store: (_ row: Int, _ value: UInt64) -> Void) {
      form.read(rows, steps, store)
    }

    func words<T: FixedWidthInteger>(_ rows: Int) -> [T] {
      Array(unsafeUninitializedCapacity: rows) { words, initialized in
        let base = words.baseAddress.unsafelyUnwrapped
        read(0..<rows) { (base + $0).initialize(to: T(truncatingIfNeeded: $1)) }
        initialized = rows
      }
    }
  }

  /// Rows whose states are put together at a time: they stay in the cache while one column after the other is read.
  private static let stateRows = 64

  let rows: Int
  let isAllWhole: Bool
  let slots: Column
  let wholeBits: UnsafeRawBufferPointer
  let events: Column
  private let keyLengths: Column
  private let shared: Column
  /// The bytes with which all keys end, and those that are each one's own.
  private let ending: UnsafeRawBufferPointer
  private let keyParts: UnsafeRawBufferPointer
  private let words: [Column]
  private let tailLengths: Column?
  private let tails: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer, stride: Int) throws(RunBlockDamage) {
    guard bytes.count >= RunBlock.headerBytes + RunBlock.paddingBytes, let base = bytes.baseAddress else { throw .truncated }
    let format = bytes[0], flags = bytes[1]
    guard format == RunBlock.format else { throw .format(format) }
    func number<T: FixedWidthInteger & BitwiseCopyable>(at place: Int, _ type: T.Type) -> Int {
      Int(truncatingIfNeeded: T(littleEndian: base.loadUnaligned(fromByteOffset: place, as: T.self)))
    }
    guard number(at: RunBlock.checksumPlace, UInt32.self) == Int(RunBlock.checksum(of: bytes)) else { throw .checksum }
    rows = number(at: 2, UInt16.self)
    guard (1...RunBlock.rowsMax).contains(rows), flags < 8, flags & 3 < 3 else { throw .bounds }
    guard number(at: 8, UInt16.self) == stride else { throw .stride(number(at: 8, UInt16.self)) }
    guard (rows - 1) * stride < RunBlock.wordsMax else { throw .bounds }
    isAllWhole = flags & RunBlock.allWhole != 0
    var rest = RunBlockReader(rest: UnsafeRawBufferPointer(rebasing: bytes[RunBlock.headerBytes...]))
    slots = try rest.column(rows)
    keyLengths = try rest.column(rows)
    shared = try rest.column(rows)
    let keyBytes = number(at: 12, UInt32.self), endingBytes = number(at: 10, UInt16.self)
    guard endingBytes <= min(RunBlock.endingBytesMax, keyBytes) else { throw .bounds }
    ending = try rest.bytes(endingBytes)
    keyParts = try rest.bytes(keyBytes - endingBytes)
    wholeBits = try rest.bytes(flags & RunBlock.someWhole != 0 ? (rows + 7) / 8 : 0)
    events = try rest.column(rows)
    var words: [Column] = []
    // A stride that the bytes cannot hold takes no memory.
    words.reserveCapacity(min(stride, bytes.count / RunColumn.headerBytes))
    for _ in 0..<stride { words.append(try rest.column(rows)) }
    self.words = words
    let hasTails = flags & RunBlock.tails != 0
    tailLengths = hasTails ? try rest.column(rows) : nil
    let tailBytes = number(at: 16, UInt32.self)
    guard hasTails == (tailBytes > 0) else { throw .bounds }
    tails = try rest.bytes(tailBytes)
    guard rest.isAtEnd else { throw .bounds }
  }

  // MARK: Keys

  /// All keys one after the other, each one's end, and the bytes with which all begin.
  /// - Throws: When the rows are not in ascending order, or the keys out of bounds.
  func keys(slots: [Int64]) throws(RunBlockDamage) -> (bytes: [UInt8], ends: [UInt32], shared: Int) {
    let lengths: [Int] = keyLengths.words(rows), shared: [Int] = self.shared.words(rows)
    let total = try checkedKeyBytes(lengths, shared)
    var ends = [UInt32](repeating: 0, count: rows)
    var isAscending = true
    // Copied eight bytes at a time: what lies behind a key is overwritten by the next one.
    let bytes = [UInt8](unsafeUninitializedCapacity: total + 8) { target, initialized in
      let base = UnsafeMutableRawPointer(target.baseAddress.unsafelyUnwrapped)
      let ending = ending.baseAddress.unsafelyUnwrapped
      var (last, key, part) = (base, base, keyParts.baseAddress.unsafelyUnwrapped)
      for row in 0..<rows {
        let length = lengths[row], common = shared[row], own = length &- common &- self.ending.count
        copy(common, from: last, to: key)
        copy(own, from: part, to: key + common)
        copy(self.ending.count, from: ending, to: key + (common &+ own))
        if row > 0, slots[row] <= slots[row - 1] {
          let isAfter =
            common < length
            && (last + common == key || (key + common).load(as: UInt8.self) > (last + common).load(as: UInt8.self))
          if !isAfter || slots[row] < slots[row - 1] { isAscending = false }
        }
        last = key
        part += own
        key += length
        ends[row] = UInt32(truncatingIfNeeded: key - base)
      }
      initialized = total
    }
    guard isAscending else { throw .order }
    return (bytes, ends, shared.dropFirst().min() ?? lengths[0])
  }

  /// The bytes of all keys.
  /// - Throws: When the lengths are not those of keys that the block has.
  private func checkedKeyBytes(_ lengths: [Int], _ shared: [Int]) throws(RunBlockDamage) -> Int {
    var total = 0, last = 0, own = 0
    for row in 0..<rows {
      guard total < RunBlock.keyBytesMax, (0...last).contains(shared[row]) else { throw .bounds }
      let least = shared[row] + ending.count
      guard (least...least + keyParts.count).contains(lengths[row]) else { throw .bounds }
      own += lengths[row] - least
      last = lengths[row]
      total += last
    }
    guard own == keyParts.count, total <= Int(UInt32.max) else { throw .bounds }
    return total
  }

  /// Copies bytes, and up to seven more.
  @inline(__always) private func copy(_ count: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
    var at = 0
    while at < count {
      target.storeBytes(of: source.loadUnaligned(fromByteOffset: at, as: UInt64.self), toByteOffset: at, as: UInt64.self)
      at &+= 8
    }
  }

  // MARK: States

  /// All states one after the other, and each one's end where there are tails.
  func states() throws(RunBlockDamage) -> (words: [UInt64], ends: [Int]) {
    guard let tailLengths else { return (fixedStates(), []) }
    let lengths: [Int] = tailLengths.words(rows)
    let stride = words.count
    var total = 0
    var ends = [Int](repeating: 0, count: rows)
    for row in 0..<rows {
      // A word takes a byte at least.
      guard (0...tails.count).contains(lengths[row]) else { throw .bounds }
      total += stride + lengths[row]
      ends[row] = total
    }
    guard total - rows * stride <= tails.count else { throw .bounds }
    var isSound = true
    let states = [UInt64](unsafeUninitializedCapacity: total) { target, initialized in
      target.initialize(repeating: 0)
      initialized = total
      guard let base = target.baseAddress, var bytes = tails.baseAddress else { return }
      let tailsEnd = bytes + tails.count
      for (word, column) in words.enumerated() {
        column.read(0..<rows) { row, value in base[ends[row] &- lengths[row] &- stride &+ word] = value }
      }
      for row in 0..<rows where isSound {
        isSound = RunTails.decode(&bytes, end: tailsEnd, base + (ends[row] - lengths[row]), lengths[row])
      }
      isSound = isSound && bytes == tailsEnd
    }
    guard isSound else { throw .bounds }
    return (states, ends)
  }

  private func fixedStates() -> [UInt64] {
    let stride = words.count
    guard stride > 0 else { return [] }
    return Array(unsafeUninitializedCapacity: rows * stride) { target, initialized in
      let base = target.baseAddress.unsafelyUnwrapped
      for start in Swift.stride(from: 0, to: rows, by: RunBlockParts.stateRows) {
        let range = start..<min(rows, start + RunBlockParts.stateRows)
        for (word, column) in words.enumerated() {
          column.read(range) { row, value in (base + (row &* stride &+ word)).initialize(to: value) }
        }
      }
      initialized = rows * stride
    }
  }
}

/// Reads a block's parts in order, and none beyond it. Eight bytes of padding stay behind each.
private struct RunBlockReader {
  var rest: UnsafeRawBufferPointer

  mutating func bytes(_ count: Int) throws(RunBlockDamage) -> UnsafeRawBufferPointer {
    guard count <= rest.count - RunBlock.paddingBytes else { throw .bounds }
    defer { rest = UnsafeRawBufferPointer(rebasing: rest[count...]) }
    return UnsafeRawBufferPointer(rebasing: rest[..<count])
  }

  mutating func column(_ rows: Int) throws(RunBlockDamage) -> RunBlockParts.Column {
    let header = try bytes(RunColumn.headerBytes)
    let form = try RunColumn(header: header.baseAddress.unsafelyUnwrapped)
    let steps = try bytes(form.width * rows)
    return RunBlockParts.Column(form: form, steps: steps.baseAddress.unsafelyUnwrapped)
  }

  /// Whether nothing is left but the padding.
  var isAtEnd: Bool { rest.count == RunBlock.paddingBytes && rest.allSatisfy { $0 == 0 } }
}
