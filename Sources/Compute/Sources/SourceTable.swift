import Events

/// The sources of a partition that are in memory, numbered in the order in which they came: 256 a block, found by name.
///
/// A value: a copy costs nothing until the original changes, and then the blocks that change.
struct SourceTable: Sendable {
  private(set) var blocks: [SourceBlock] = []
  private var slots = SourceSlots()
  /// The bytes of all blocks but the last, to which sources are added.
  private var fullBytes = 0
  /// Keeps a sender from choosing sources that share a slot. It decides no result.
  private let seed = UInt64.random(in: .min ... .max)

  var count: Int { slots.count }

  var byteCount: Int {
    fullBytes + (blocks.last?.byteCount ?? 0) + slots.byteCount
      + (blocks.capacity - blocks.count) * MemoryLayout<SourceBlock>.stride
  }

  @inline(__always) func hash(_ name: UnsafeRawBufferPointer) -> UInt32 {
    UInt32(truncatingIfNeeded: memoryHash(name, seed: seed) &>> 32)
  }

  /// The source's number; nil when memory does not have it.
  func find(_ name: UnsafeRawBufferPointer) -> Int? { find(name, hash(name)) }

  private func find(_ name: UnsafeRawBufferPointer, _ hash: UInt32) -> Int? {
    slots.find(hash) { isName(of: $0, equalTo: name) }
  }

  /// The numbers of some of a batch's strings, −1 for those that memory does not have.
  ///
  /// Devices tend to report in the order in which they did before: the source behind the one found last is tried first. Where
  /// that fails often, the rest is looked up by hash, many at a time.
  /// - Parameters:
  ///   - codes: The strings' codes.
  ///   - cursor: The source found last.
  ///   - hashes: Gets their hashes, of those that memory does not have.
  ///   - numbers: Gets their numbers.
  func find(
    _ codes: [UInt32], in strings: SharedStrings, from cursor: inout Int, hashes: inout [UInt32], numbers: inout [Int32]
  ) {
    hashes.removeAll(keepingCapacity: true)
    numbers.removeAll(keepingCapacity: true)
    var misses = 0
    while numbers.count < codes.count, misses < 16 || misses * 8 < numbers.count {
      let name = strings[Int(codes[numbers.count])]
      let next = cursor + 1 < count ? cursor + 1 : 0
      if next < count, isName(of: next, equalTo: name) {
        cursor = next
        hashes.append(0)
        numbers.append(Int32(truncatingIfNeeded: next))
        continue
      }
      misses += 1
      let hash = hash(name)
      let found = find(name, hash)
      if let found { cursor = found }
      hashes.append(hash)
      numbers.append(Int32(truncatingIfNeeded: found ?? -1))
    }
    findRest(codes, in: strings, hashes: &hashes, numbers: &numbers)
    if let last = numbers.last, last >= 0 { cursor = Int(last) }
  }

  private func findRest(_ codes: [UInt32], in strings: SharedStrings, hashes: inout [UInt32], numbers: inout [Int32]) {
    let start = numbers.count
    guard start < codes.count else { return }
    for code in codes[start...] { hashes.append(hash(strings[Int(code)])) }
    slots.findFirst(hashes[start...], into: &numbers)
    for index in start..<codes.count where numbers[index] >= 0 {
      let name = strings[Int(codes[index])]
      if !isName(of: Int(numbers[index]), equalTo: name) {
        // Another source has the same hash.
        numbers[index] = Int32(truncatingIfNeeded: find(name, hashes[index]) ?? -1)
      }
    }
  }

  @inline(__always) private func isName(of number: Int, equalTo name: UnsafeRawBufferPointer) -> Bool {
    blocks[number &>> 8].isName(of: number & 255, equalTo: name)
  }

  @inline(__always) func time(_ number: Int) -> Int64 { blocks[number &>> 8].records[number & 255].time }

  func entry(_ number: Int) -> SourceEntry { blocks[number >> 8].entry(number & 255) }

  func withName<R>(_ number: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try blocks[number >> 8].withName(number & 255, body)
  }

  /// Adds a source that is not there.
  /// - Parameter hash: Its `hash`, where that is known.
  /// - Returns: Its number.
  @discardableResult
  mutating func insert(_ name: UnsafeRawBufferPointer, _ entry: SourceEntry, hash: UInt32? = nil, isChanged: Bool) -> Int {
    let number = count
    if number & 255 == 0 {
      fullBytes += blocks.last?.byteCount ?? 0
      blocks.append(SourceBlock())
    }
    blocks[number >> 8].append(name, entry, isChanged: isChanged)
    slots.insert(hash ?? self.hash(name), number)
    return number
  }

  /// Adds a source that is not there and has changed, with its `hash`.
  mutating func insert(_ name: UnsafeRawBufferPointer, _ update: SourceUpdate, hash: UInt32) -> Int {
    insert(name, update.entry, hash: hash, isChanged: true)
  }

  /// Takes in further events of a source.
  /// - Returns: Its time before.
  @inline(__always) mutating func advance(_ number: Int, _ update: inout SourceUpdate) -> Int64 {
    let block = number &>> 8
    let hasEpochs = update.sequence.map { $0.epoch != 0 } ?? false
    guard hasEpochs, blocks[block].epochs.isEmpty else { return blocks[block].advance(number & 255, &update) }
    let bytes = blocks[block].byteCount
    let before = blocks[block].advance(number & 255, &update)
    if block < blocks.count - 1 { fullBytes += blocks[block].byteCount - bytes }
    return before
  }

  mutating func setLargest(_ time: Int64, of number: Int) {
    let block = number >> 8
    let before = blocks[block].byteCount
    blocks[block].setLargest(time, of: number & 255)
    if block < blocks.count - 1 { fullBytes += blocks[block].byteCount - before }
  }

  /// Calls `body` with the numbers of the changed sources, in order.
  func forEachChanged(_ body: (Int) throws -> Void) rethrows {
    for (block, one) in blocks.enumerated() where one.hasChanged {
      for index in 0..<one.count where one.isChanged(index) { try body(block << 8 | index) }
    }
  }

  mutating func checkpointed() {
    for block in blocks.indices where blocks[block].hasChanged { blocks[block].checkpointed() }
  }
}

/// The event times of a partition's sources at one moment.
struct SourceTimes: Sendable {
  private let table: SourceTable
  /// Whether the file may have sources that are not here.
  let mayBeInFile: Bool

  init(_ table: SourceTable, mayBeInFile: Bool) {
    self.table = table
    self.mayBeInFile = mayBeInFile
  }

  /// The largest event time of a source, with clocks that are ahead held back. Nanoseconds; nil when it is not here.
  func time(of source: UnsafeRawBufferPointer) -> Int64? { table.find(source).map { table.time($0) } }
}
