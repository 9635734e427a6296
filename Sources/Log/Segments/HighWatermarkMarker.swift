import Events

/// `high-watermark`: a lower bound of what is durable, written over in place after each sync, itself not synced.
///
/// ```
///  0  FixedRecord, magic "PNH1"      24  i64  position: bytes of that segment below the high watermark
///  8  i64  high watermark            32  u32  flags: bit 0, not every group is synced before the next is written
/// 16  i64  base of its segment
/// ```
/// After a kill it is exact, for the kernel has it; after a power loss it may be an older one. Either way it never says more than
/// was durable, so damage below it is loss of acknowledged data, and never a torn write.
struct HighWatermarkMarker: Hashable {
  var highWatermark: Offset
  var segment: Offset
  var position: Int
  /// Whether the writer's sync policy is not `always`: then damage at the tail does not tell whether the lost batches were
  /// acknowledged as synced.
  var isRelaxed: Bool

  init(highWatermark: Offset, segment: Offset, position: Int, isRelaxed: Bool) {
    self.highWatermark = highWatermark
    self.segment = segment
    self.position = position
    self.isRelaxed = isRelaxed
  }

  func encoded(_ partition: PartitionID) -> [UInt8] {
    var record = FixedRecord(magic: "PNH1", partition: partition)
    record.put(highWatermark.rawValue, at: 8)
    record.put(segment.rawValue, at: 16)
    record.put(Int64(position), at: 24)
    record.put(UInt32(isRelaxed ? 1 : 0), at: 32)
    return record.sealed()
  }

  init(parsing bytes: [UInt8], partition: PartitionID) throws(RecordDamage) {
    let record = try FixedRecord(parsing: bytes, magic: "PNH1", partition: partition)
    highWatermark = Offset(record.get(Int64.self, at: 8))
    segment = Offset(record.get(Int64.self, at: 16))
    position = try record.count(at: 24)
    isRelaxed = record.get(UInt32.self, at: 32) & 1 == 1
    guard segment >= .zero, highWatermark >= segment else { throw .bounds }
  }
}
