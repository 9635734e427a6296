import Events

/// `DIR/log/meta`: what is fixed for the life of a log's folder.
///
/// ```
///  0  FixedRecord, magic "PNL1", partition 0     8  u32  partition count, 1 ... 1024
/// ```
struct LogMeta: Hashable {
  var partitionCount: Int

  func encoded() -> [UInt8] {
    var record = FixedRecord(magic: "PNL1")
    record.put(UInt32(partitionCount), at: 8)
    return record.sealed()
  }

  init(partitionCount: Int) { self.partitionCount = partitionCount }

  init(parsing bytes: [UInt8]) throws(RecordDamage) {
    let record = try FixedRecord(parsing: bytes, magic: "PNL1")
    partitionCount = Int(record.get(UInt32.self, at: 8))
    guard (1...PartitionID.countMax).contains(partitionCount) else { throw .bounds }
  }
}
