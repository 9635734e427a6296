import Events

/// `DIR/log/meta`: the parameters that are fixed for the life of a log's folder, and a note of each partition's extent.
///
/// ```
///  0  FixedRecord, magic "PNL1", partition 0      12  u32      epoch, 1 or more
///  8  u32  partition count, 1 ... 1024            16  u64 u64  id; 0 0 in a log of an earlier version, which ends here
/// 64  a `PartitionNote` for each partition, then the `LogAges`
/// ```
/// Made whole and renamed into its place; what follows the first 64 bytes is written over in place later.
struct LogMeta: Hashable {
  static let bytesMax = byteCount(partitions: PartitionID.countMax)

  var partitionCount: Int
  /// Nil in a log of an earlier version.
  var identity: LogIdentity?
  /// Nil where they cannot be read.
  var ages: LogAges? = LogAges()

  static func byteCount(partitions: Int) -> Int { FixedRecord.byteCount * (2 + partitions) }

  /// The file's first 64 bytes.
  func encoded() -> [UInt8] {
    var record = FixedRecord(magic: "PNL1")
    record.put(UInt32(partitionCount), at: 8)
    record.put(identity?.epoch ?? 0, at: 12)
    record.put(identity?.high ?? 0, at: 16)
    record.put(identity?.low ?? 0, at: 24)
    return record.sealed()
  }

  init(partitionCount: Int, identity: LogIdentity?) {
    self.partitionCount = partitionCount
    self.identity = identity
  }

  init(parsing bytes: [UInt8]) throws(RecordDamage) {
    let record = try FixedRecord(parsing: bytes, magic: "PNL1")
    partitionCount = Int(record.get(UInt32.self, at: 8))
    guard (1...PartitionID.countMax).contains(partitionCount) else { throw .bounds }
    let (epoch, high, low) = (record.get(UInt32.self, at: 12), record.get(UInt64.self, at: 16), record.get(UInt64.self, at: 24))
    if high | low != 0 {
      guard epoch > 0 else { throw .bounds }
      identity = LogIdentity(high: high, low: low, epoch: epoch)
      guard bytes.count >= LogMeta.byteCount(partitions: partitionCount) else { throw .truncated }
      let place = LogAges.position(partitions: partitionCount)
      ages = LogAges(parsing: Array(bytes[place..<place + FixedRecord.byteCount]))
    }
  }
}

/// ```
///  0  FixedRecord, magic "PNA1", partition 0      16  u32  flags: bit 0, the log's time is ahead of the system's
///  8  i64  floor; 0: none
/// ```
extension LogAges {
  static func position(partitions: Int) -> Int { FixedRecord.byteCount * (1 + partitions) }

  func encoded() -> [UInt8] {
    var record = FixedRecord(magic: "PNA1")
    record.put(floor?.nanoseconds ?? 0, at: 8)
    record.put(UInt32(isAhead ? 1 : 0), at: 16)
    return record.sealed()
  }

  /// - Parameter bytes: 64; zeros stand for none.
  /// - Returns: Nil when they are damaged.
  init?(parsing bytes: [UInt8]) {
    self.init()
    guard bytes.contains(where: { $0 != 0 }) else { return }
    guard let record = try? FixedRecord(parsing: bytes, magic: "PNA1") else { return nil }
    let stored = record.get(Int64.self, at: 8)
    floor = stored == 0 ? nil : Timestamp(nanoseconds: stored)
    isAhead = record.get(UInt32.self, at: 16) & 1 == 1
  }
}

/// The note that `meta` has of each partition that was made, so that one whose folder, or part of it, is missing is not taken for
/// a new one. Written over in place and synced: when the partition is made or opened, at each roll, before retention removes a
/// segment, and at a clean stop.
///
/// ```
///  0  FixedRecord, magic "PNN1"      16  i64  end: the log reaches it at least
///  8  i64  start: nothing before it  24  i64  active: a segment begins here, unless `start` lies beyond
///          is needed
/// ```
struct PartitionNote: Hashable {
  var start: Offset
  var end: Offset
  var active: Offset

  /// The state of the partition's note.
  enum State: Hashable {
    /// The partition has not been made.
    case none
    case known(PartitionNote)
    /// The partition has been made, but its note is damaged.
    case damaged

    var note: PartitionNote? { if case .known(let note) = self { note } else { nil } }
  }

  /// A partition that was made by an earlier version.
  static let made = PartitionNote(start: .zero, end: .zero, active: .zero)

  static func position(_ partition: PartitionID) -> Int { FixedRecord.byteCount * (1 + partition.index) }

  func encoded(_ partition: PartitionID) -> [UInt8] {
    var record = FixedRecord(magic: "PNN1", partition: partition)
    record.put(start.rawValue, at: 8)
    record.put(end.rawValue, at: 16)
    record.put(active.rawValue, at: 24)
    return record.sealed()
  }

  static func state(parsing bytes: [UInt8], partition: PartitionID) -> State {
    guard bytes.contains(where: { $0 != 0 }) else { return .none }
    do throws(RecordDamage) {
      let record = try FixedRecord(parsing: bytes, magic: "PNN1", partition: partition)
      let note = PartitionNote(
        start: Offset(record.get(Int64.self, at: 8)), end: Offset(record.get(Int64.self, at: 16)),
        active: Offset(record.get(Int64.self, at: 24)))
      guard note.start >= .zero, note.end >= note.start, note.active >= .zero, note.active <= note.end else { return .damaged }
      return .known(note)
    } catch {
      return .damaged
    }
  }
}
