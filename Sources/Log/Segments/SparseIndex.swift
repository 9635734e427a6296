import Events

/// The positions of some of a segment's batches: about a thousand entries, however large the segment. Rebuildable from the
/// segment.
///
/// File: `FixedRecord` with magic "PNX1", then the entries.
/// ```
///  8  i64  base offset              40  i64  append time of the last batch
/// 16  i64  end offset               48  u32  entries
/// 24  i64  bytes of the segment     52  u32  CRC-32 of the entries
/// 32  i64  largest event time
///
/// entry, 24 bytes:  0  i64  base offset of a batch
///                   8  i64  its position
///                  16  i64  largest event time from there up to the next entry
/// ```
struct SparseIndex: Sendable, Hashable {
  struct Entry: Sendable, Hashable {
    var offset: Offset
    var position: Int
    var lastEventTime: Timestamp

    static let byteCount = 24
  }

  /// The most entries that a file may claim, so that a damaged one costs nothing: a 4 GiB segment has at most 4 × 1024 by
  /// intervals of 1 MiB, one with other settings 64 KiB each.
  static let entriesMax = 1 << 17
  static let fileBytesMax = FixedRecord.byteCount + entriesMax * Entry.byteCount

  let base: Offset
  private(set) var end: Offset
  private(set) var segmentBytes: Int
  private(set) var lastEventTime: Timestamp
  private(set) var lastAppendTime: Timestamp
  private(set) var entries: [Entry]

  init(base: Offset) {
    self.base = base
    end = base
    segmentBytes = 0
    lastEventTime = Timestamp(nanoseconds: .min)
    lastAppendTime = Timestamp(nanoseconds: .min)
    entries = []
  }

  /// Adds the next batch of the segment.
  /// - Parameter interval: A new entry is made once this many bytes lie after the last one.
  mutating func append(_ header: BatchHeader, interval: Int) {
    precondition(header.baseOffset == end)
    if let last = entries.last, segmentBytes - last.position < interval {
      entries[entries.count - 1].lastEventTime = max(last.lastEventTime, header.lastEventTime)
    } else {
      entries.append(Entry(offset: header.baseOffset, position: segmentBytes, lastEventTime: header.lastEventTime))
    }
    end = header.endOffset
    segmentBytes += header.batchBytes
    lastEventTime = max(lastEventTime, header.lastEventTime)
    lastAppendTime = max(lastAppendTime, header.appendTime)
  }

  /// The last entry at or before `offset`; nil when the segment has none.
  func entry(atOrBefore offset: Offset) -> Entry? {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].offset <= offset { low = middle + 1 } else { high = middle }
    }
    return low == 0 ? nil : entries[low - 1]
  }

  /// The offset from which on a reader finds every event with time `time` or later; nil when there is no such event.
  func offset(atOrAfter time: Timestamp) -> Offset? {
    guard lastEventTime >= time else { return nil }
    return entries.first { $0.lastEventTime >= time }?.offset
  }

  func encoded(_ partition: PartitionID) -> [UInt8] {
    var body = [UInt8](repeating: 0, count: entries.count * Entry.byteCount)
    body.withUnsafeMutableBytes { bytes in
      for (index, entry) in entries.enumerated() {
        let at = index * Entry.byteCount
        bytes.storeBytes(of: entry.offset.rawValue.littleEndian, toByteOffset: at, as: Int64.self)
        bytes.storeBytes(of: Int64(entry.position).littleEndian, toByteOffset: at + 8, as: Int64.self)
        bytes.storeBytes(of: entry.lastEventTime.nanoseconds.littleEndian, toByteOffset: at + 16, as: Int64.self)
      }
    }
    var record = FixedRecord(magic: "PNX1", partition: partition)
    record.put(base.rawValue, at: 8)
    record.put(end.rawValue, at: 16)
    record.put(Int64(segmentBytes), at: 24)
    record.put(lastEventTime.nanoseconds, at: 32)
    record.put(lastAppendTime.nanoseconds, at: 40)
    record.put(UInt32(entries.count), at: 48)
    record.put(body.withUnsafeBytes { checksum($0) }, at: 52)
    return record.sealed() + body
  }

  /// The first 64 bytes of the file: all fields but the entries.
  struct Summary: Hashable {
    var base: Offset
    var end: Offset
    var segmentBytes: Int
    var lastEventTime: Timestamp
    var lastAppendTime: Timestamp
    fileprivate var entryCount: Int
    fileprivate var entriesChecksum: UInt32

    init(parsing bytes: some Collection<UInt8>, partition: PartitionID) throws(RecordDamage) {
      let record = try FixedRecord(parsing: bytes, magic: "PNX1", partition: partition)
      base = Offset(record.get(Int64.self, at: 8))
      end = Offset(record.get(Int64.self, at: 16))
      segmentBytes = try record.count(at: 24)
      lastEventTime = Timestamp(nanoseconds: record.get(Int64.self, at: 32))
      lastAppendTime = Timestamp(nanoseconds: record.get(Int64.self, at: 40))
      entryCount = Int(record.get(UInt32.self, at: 48))
      entriesChecksum = record.get(UInt32.self, at: 52)
      guard base >= .zero, end >= base, entryCount <= SparseIndex.entriesMax else { throw .bounds }
    }
  }

  init(parsing bytes: [UInt8], partition: PartitionID) throws(RecordDamage) {
    let summary = try Summary(parsing: bytes, partition: partition)
    base = summary.base
    end = summary.end
    segmentBytes = summary.segmentBytes
    lastEventTime = summary.lastEventTime
    lastAppendTime = summary.lastAppendTime
    guard bytes.count == FixedRecord.byteCount + summary.entryCount * Entry.byteCount else { throw .truncated }
    entries = []
    entries.reserveCapacity(summary.entryCount)
    var place = (offset: base, position: 0)
    var isOrdered = true
    let intact = bytes.withUnsafeBytes { file in
      let body = UnsafeRawBufferPointer(rebasing: file[FixedRecord.byteCount...])
      guard checksum(body) == summary.entriesChecksum else { return false }
      for index in 0..<summary.entryCount {
        func number(_ at: Int) -> Int64 {
          Int64(littleEndian: body.loadUnaligned(fromByteOffset: index * Entry.byteCount + at, as: Int64.self))
        }
        let entry = Entry(
          offset: Offset(number(0)), position: Int(number(8)), lastEventTime: Timestamp(nanoseconds: number(16)))
        let isFirst = index == 0 && entry.offset == base && entry.position == 0
        isOrdered = isOrdered && (isFirst || (index > 0 && entry.offset > place.offset && entry.position > place.position))
        place = (entry.offset, entry.position)
        entries.append(entry)
      }
      return true
    }
    guard intact else { throw .checksum }
    guard isOrdered, place.offset <= end, place.position <= segmentBytes else { throw .bounds }
  }
}
