import Events
import Views

/// A block of rows as bytes, for a store. `RunBlock` has the format.
struct EncodedBlock: Sendable {
  var bytes: [UInt8]
  var rows: Int
  /// The sum of the versions' events.
  var events: Int64
  var first: RowPlace
  var last: RowPlace
}

/// Makes blocks of rows that come in ascending order of slot and key, each once.
///
/// Its memory is that of one block, and is kept from one to the next.
struct RunBlockBuilder: Sendable {
  /// The encoded bytes at which a block is full, about.
  static let bytesTarget = 32 << 10
  /// Rows between two looks at the columns.
  private static let surveyRows = 64

  /// The columns before and behind those of the state.
  private enum Column {
    static let slot = 0, length = 1, shared = 2, events = 3, state = 4
    static let count = 5
  }

  private let stride: Int
  private let columnCount: Int
  /// All columns, `capacity` words each; the last has the lengths of the tails.
  private var words: [UInt64] = []
  private var capacity = 0
  private var surveys: [RunColumnSurvey]
  private var surveyed = 0
  private var nextSurvey = 8
  /// The bytes of a row's columns, as the last survey has them.
  private var bytesPerRow: Int
  private var keys = RunKeyBuilder()
  private var wholeBits: [UInt8] = []
  private var wholeCount = 0
  private var tails: [UInt8] = []
  private var events: Int64 = 0
  private var first: RowPlace?
  private var lastSlot = Int64.min
  /// Rows since the last take.
  private(set) var count = 0

  /// - Parameter stride: The words of each row's state, without tails: 0...65,535.
  init(stride: Int) {
    precondition((0...Int(UInt16.max)).contains(stride), "a stride has 16 bits")
    self.stride = stride
    columnCount = stride + Column.count
    surveys = Array(repeating: RunColumnSurvey(), count: columnCount)
    bytesPerRow = 8 * columnCount
  }

  /// Whether `take` must come before the next row.
  var isFull: Bool {
    count >= RunBlock.rowsMax || count &* stride >= RunBlock.wordsMax || keys.keyBytes >= RunBlock.keyBytesMax
      || bytesPerRow &* count &+ keys.byteCount &+ tails.count >= RunBlockBuilder.bytesTarget
  }

  // MARK: Rows

  /// - Parameter row: Behind the last one. The builder is not full.
  mutating func append(_ row: RunRow) {
    precondition(!isFull, "a full block is taken before the next row")
    precondition(row.state.count >= stride, "a state has the layout's words")
    var shared = 0
    if count == 0 {
      first = RowPlace(slot: row.slot, key: Array(row.key))
    } else {
      let isAfter: Bool
      (shared, isAfter) = keys.compare(row.key)
      precondition(row.slot > lastSlot || row.slot == lastSlot && isAfter, "rows come in ascending order, each once")
    }
    if count == capacity { grow() }
    words.withUnsafeMutableBufferPointer { words in
      let place = words.baseAddress.unsafelyUnwrapped + count
      place[Column.slot &* capacity] = UInt64(bitPattern: row.slot)
      place[Column.length &* capacity] = UInt64(truncatingIfNeeded: row.key.count)
      place[Column.shared &* capacity] = UInt64(truncatingIfNeeded: shared)
      place[Column.events &* capacity] = UInt64(bitPattern: row.events)
      for word in 0..<stride { place[(Column.state &+ word) &* capacity] = row.state[word] }
      place[(Column.state &+ stride) &* capacity] = UInt64(truncatingIfNeeded: row.state.count &- stride)
    }
    if row.state.count > stride { RunTails.encode(UnsafeBufferPointer(rebasing: row.state[stride...]), to: &tails) }
    keys.append(row.key, from: shared)
    if count & 7 == 0 { wholeBits.append(0) }
    if row.isWhole {
      wholeBits[count &>> 3] |= 1 &<< UInt8(truncatingIfNeeded: count & 7)
      wholeCount += 1
    }
    events &+= row.events
    lastSlot = row.slot
    count += 1
    if count == nextSurvey { survey() }
  }

  /// Makes room for twice as many rows.
  ///
  /// Columns are a cache line more than a power of two apart: else the words of a row would all have one place in the cache.
  @inline(never) private mutating func grow() {
    let larger = Swift.min(RunBlock.rowsMax, capacity == 0 ? 56 : 2 * capacity) + 8
    words = Array(unsafeUninitializedCapacity: columnCount * larger) { fresh, initialized in
      fresh.initialize(repeating: 0)
      words.withUnsafeBufferPointer { old in
        for column in 0..<columnCount {
          for row in 0..<count { fresh[column * larger + row] = old[column * capacity + row] }
        }
      }
      initialized = columnCount * larger
    }
    capacity = larger
  }

  private mutating func survey() {
    var bytes = 0
    words.withUnsafeBufferPointer { words in
      for column in 0..<columnCount {
        surveys[column].add(words.baseAddress.unsafelyUnwrapped + (column * capacity + surveyed), count - surveyed)
        bytes += surveys[column].column.width
      }
    }
    bytesPerRow = bytes
    surveyed = count
    nextSurvey = count + Swift.min(RunBlockBuilder.surveyRows, count)
  }

  // MARK: Blocks

  /// The block of the rows since the last call; nil when there are none. The builder begins anew.
  mutating func take() -> EncodedBlock? {
    guard let first, count > 0 else { return nil }
    survey()
    let block = EncodedBlock(
      bytes: encode(), rows: count, events: events, first: first,
      last: RowPlace(slot: lastSlot, key: keys.lastKey))
    for column in 0..<columnCount { surveys[column] = RunColumnSurvey() }
    (count, surveyed, nextSurvey, bytesPerRow) = (0, 0, 8, 8 * columnCount)
    keys.removeAll()
    wholeBits.removeAll(keepingCapacity: true)
    tails.removeAll(keepingCapacity: true)
    (wholeCount, events) = (0, 0)
    self.first = nil
    return block
  }

  private func encode() -> [UInt8] {
    let columns = surveys.map(\.column)
    let hasTails = !tails.isEmpty
    let isMixed = wholeCount > 0 && wholeCount < count
    var byteCount = RunBlock.headerBytes + keys.byteCount + tails.count + RunBlock.paddingBytes + (isMixed ? wholeBits.count : 0)
    for column in columns.dropLast(hasTails ? 0 : 1) { byteCount += column.byteCount(count) }
    let flags = UInt8(isMixed ? RunBlock.someWhole : wholeCount > 0 ? RunBlock.allWhole : 0) | (hasTails ? RunBlock.tails : 0)
    var bytes = [UInt8](unsafeUninitializedCapacity: byteCount) { target, initialized in
      var output = RunBlockWriter(target.baseAddress.unsafelyUnwrapped)
      output.append(RunBlock.format)
      output.append(flags)
      output.append(UInt16(count))
      output.append(UInt32(0))
      output.append(UInt16(stride))
      output.append(UInt16(keys.ending.count))
      output.append(UInt32(keys.byteCount))
      output.append(UInt32(tails.count))
      words.withUnsafeBufferPointer { words in
        func append(_ column: Int) {
          output.place = columns[column].write(
            words.baseAddress.unsafelyUnwrapped + column * capacity, count, to: output.place)
        }
        append(Column.slot)
        append(Column.length)
        append(Column.shared)
        let base = words.baseAddress.unsafelyUnwrapped
        keys.write(lengths: base + Column.length * capacity, shared: base + Column.shared * capacity, to: output.place)
        output.place += keys.byteCount
        if isMixed { output.append(wholeBits) }
        append(Column.events)
        for word in 0..<stride { append(Column.state + word) }
        if hasTails { append(Column.state + stride) }
      }
      output.append(tails)
      output.append(UInt64(0))
      initialized = byteCount
    }
    bytes.withUnsafeMutableBytes { bytes in
      let sum = RunBlock.checksum(of: UnsafeRawBufferPointer(bytes))
      bytes.storeBytes(of: sum.littleEndian, toByteOffset: RunBlock.checksumPlace, as: UInt32.self)
    }
    return bytes
  }
}

/// Writes numbers and bytes one after the other, into memory that has room for them.
private struct RunBlockWriter {
  var place: UnsafeMutableRawPointer

  init(_ place: UnsafeMutableRawPointer) { self.place = place }

  mutating func append<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
    place.storeBytes(of: value.littleEndian, as: T.self)
    place += MemoryLayout<T>.size
  }

  mutating func append(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(start: place, count: $0.count).copyMemory(from: $0) }
    place += bytes.count
  }
}
