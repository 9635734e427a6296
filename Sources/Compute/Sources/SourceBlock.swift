/// Up to 256 sources with their names: the part of a `SourceTable` that is copied when it changes while a snapshot has it.
struct SourceBlock: Sendable {
  static let capacity = 256
  private static let arrayHeaderBytes = 32

  /// The part that every source has: 40 bytes.
  struct Record: Sendable {
    var time: Int64
    var lastAppendTime: Int64
    var events: Int64
    /// Zero without one.
    var sequence: UInt64
    /// One past the name's last byte in `names`.
    var nameEnd: UInt32
    var hasSequence: Bool
  }

  private(set) var records: [Record] = []
  private(set) var names: [UInt8] = []
  /// The largest times as sent. Empty as long as no clock is ahead; a value below the record's time says nothing.
  private var largest: [Int64] = []
  /// Empty as long as all are 0.
  private(set) var epochs: [UInt64] = []
  /// A bit for each source that has changed since the last checkpoint.
  private var changed = SIMD4<UInt64>(repeating: 0)

  var count: Int { records.count }

  init() { records.reserveCapacity(SourceBlock.capacity) }

  var byteCount: Int {
    var bytes = records.capacity * MemoryLayout<Record>.stride + names.capacity + 2 * SourceBlock.arrayHeaderBytes
    if !largest.isEmpty { bytes += largest.capacity * 8 + SourceBlock.arrayHeaderBytes }
    if !epochs.isEmpty { bytes += epochs.capacity * 8 + SourceBlock.arrayHeaderBytes }
    return bytes + MemoryLayout<SourceBlock>.stride
  }

  @inline(__always) func withName<R>(_ index: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let start = index == 0 ? 0 : Int(records[index &- 1].nameEnd)
    let end = Int(records[index].nameEnd)
    return try names.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
  }

  @inline(__always) func isName(of index: Int, equalTo name: UnsafeRawBufferPointer) -> Bool {
    withName(index) { $0.count == name.count && isSame($0, name) }
  }

  func entry(_ index: Int) -> SourceEntry {
    let record = records[index]
    return SourceEntry(
      time: record.time, largest: largest.isEmpty ? record.time : max(record.time, largest[index]),
      lastAppendTime: record.lastAppendTime, events: Int(record.events), epoch: epochs.isEmpty ? 0 : epochs[index],
      sequence: record.hasSequence ? record.sequence : nil)
  }

  /// Adds a source.
  mutating func append(_ name: UnsafeRawBufferPointer, _ entry: SourceEntry, isChanged: Bool) {
    precondition(count < SourceBlock.capacity, "a block has room")
    names.append(contentsOf: name)
    records.append(
      Record(
        time: entry.time, lastAppendTime: entry.lastAppendTime, events: Int64(entry.events), sequence: entry.sequence ?? 0,
        nameEnd: UInt32(names.count), hasSequence: entry.sequence != nil))
    if !largest.isEmpty { largest.append(.min) }
    if !epochs.isEmpty { epochs.append(0) }
    if entry.largest > entry.time { setLargest(entry.largest, of: count - 1) }
    if entry.epoch != 0 { setEpoch(entry.epoch, of: count - 1) }
    if isChanged { setChanged(count - 1) }
    // The last name: what the array has too much goes.
    if count == SourceBlock.capacity { names = Array(names[...]) }
  }

  /// Takes in further events of a source.
  /// - Returns: Its time before.
  @inline(__always) mutating func advance(_ index: Int, _ update: inout SourceUpdate) -> Int64 {
    let before = records.withUnsafeMutableBufferPointer { records in
      let record = records.baseAddress.unsafelyUnwrapped + index
      let before = record.pointee.time
      update.time = max(update.time, before)
      record.pointee.time = update.time
      record.pointee.lastAppendTime = max(record.pointee.lastAppendTime, update.appendTime)
      record.pointee.events &+= Int64(update.events)
      if let sequence = update.sequence {
        record.pointee.sequence = sequence.sequence
        record.pointee.hasSequence = true
      }
      return before
    }
    if let epoch = update.sequence?.epoch, epoch != 0 || !epochs.isEmpty { setEpoch(epoch, of: index) }
    update.isFirst = !isChanged(index)
    setChanged(index)
    return before
  }

  mutating func setLargest(_ time: Int64, of index: Int) {
    if largest.isEmpty { largest = SourceBlock.column(of: .min, count) }
    largest[index] = max(largest[index], time)
  }

  private mutating func setEpoch(_ epoch: UInt64, of index: Int) {
    if epochs.isEmpty { epochs = SourceBlock.column(of: 0, count) }
    epochs[index] = epoch
  }

  private static func column<Value>(of value: Value, _ count: Int) -> [Value] {
    var column: [Value] = []
    column.reserveCapacity(capacity)
    column.append(contentsOf: repeatElement(value, count: count))
    return column
  }

  // MARK: changes since the last checkpoint

  @inline(__always) private mutating func setChanged(_ index: Int) { changed[index &>> 6] |= 1 &<< UInt64(index & 63) }

  @inline(__always) func isChanged(_ index: Int) -> Bool { changed[index &>> 6] &>> UInt64(index & 63) & 1 != 0 }

  var hasChanged: Bool { changed != SIMD4(repeating: 0) }

  mutating func checkpointed() { changed = SIMD4(repeating: 0) }
}
