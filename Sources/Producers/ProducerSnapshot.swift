import Events

/// `<base offset>.producers`: the producer state just before the event at that offset, written when its segment begins, so that
/// start-up reads that segment and no other.
///
/// ```
///  0  FixedRecord, magic "PNP2"     24  u64  runs            40  i64  append time of the last batch before
///  8  i64  base offset              32  u64  identities      48  u64  body bytes
/// 16  u64  sources                                           56  u32  CRC-32 of the body
///
/// body: each source  u64 epoch, u64 sequence, i64 latest event time, u32 length, UTF-8
///       u64 gaps, each  u64 source, u64 low, u64 high
///       each run     i64 append time, u64 count: the identities appended at one time, oldest first
///       each identity  u64 high, u64 low, oldest first
///       the appenders, see `AppenderSnapshot`
/// ```
///
/// In files of magic "PNP1", which are read too, sources have no latest event time, and there is no list of gaps: none
/// of their duplicates is suspect until they begin an epoch.
package enum ProducerSnapshot {
  /// A larger file counts as damaged: this one holds about ten million sources.
  package static let bytesMax = 1 << 30

  package static func encoded(_ state: ProducerState, partition: PartitionID, base: Offset, lastAppendTime: Timestamp) -> [UInt8]
  {
    let (runs, identities) = state.identities.remembered
    let table = state.table
    var file = [UInt8](repeating: 0, count: FixedRecord.byteCount)
    file.reserveCapacity(file.count + table.count * 28 + table.nameBytes + (runs.count + identities.count) * 16)
    func append<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { file.append(contentsOf: $0) } }
    for entry in 0..<table.count {
      append(table.position(of: entry).epoch)
      append(table.position(of: entry).sequence)
      append(table.latestTime(of: entry))
      table.withName(of: entry) { name in
        append(UInt32(name.count))
        file.append(contentsOf: name)
      }
    }
    let gaps = table.gaps.enumerated().filter { $0.element.width > 1 }
    append(UInt64(gaps.count))
    for (entry, gap) in gaps {
      append(UInt64(entry))
      append(gap.low)
      append(gap.high)
    }
    for run in runs {
      append(run.appendTime.nanoseconds)
      append(UInt64(run.count))
    }
    for identity in identities {
      append(identity.high)
      append(identity.low)
    }
    AppenderSnapshot.append(state.appenders, to: &file)
    var record = FixedRecord(magic: "PNP2", partition: partition)
    record.put(base.rawValue, at: 8)
    record.put(UInt64(table.count), at: 16)
    record.put(UInt64(runs.count), at: 24)
    record.put(UInt64(identities.count), at: 32)
    record.put(lastAppendTime.nanoseconds, at: 40)
    record.put(UInt64(file.count - FixedRecord.byteCount), at: 48)
    record.put(
      file.withUnsafeBytes { checksum(UnsafeRawBufferPointer(rebasing: $0[FixedRecord.byteCount...])) }, at: 56)
    file.replaceSubrange(0..<FixedRecord.byteCount, with: record.sealed())
    return file
  }

  /// Restores `state`, which must be empty, and returns the append time of the last batch before `base`.
  package static func decode(_ file: [UInt8], partition: PartitionID, base: Offset, into state: inout ProducerState)
    throws(RecordDamage) -> Timestamp
  {
    let hasTimes = !file.starts(with: "PNP1".utf8)
    let record = try FixedRecord(parsing: file, magic: hasTimes ? "PNP2" : "PNP1", partition: partition)
    guard record.get(Int64.self, at: 8) == base.rawValue else { throw .bounds }
    let sources = try record.count(at: 16)
    let runs = try record.count(at: 24)
    let identities = try record.count(at: 32)
    guard try record.count(at: 48) == file.count - FixedRecord.byteCount else { throw .truncated }
    let restored = file.withUnsafeBytes { all -> Result<Void, RecordDamage> in
      let body = UnsafeRawBufferPointer(rebasing: all[FixedRecord.byteCount...])
      guard checksum(body) == record.get(UInt32.self, at: 56) else { return .failure(.checksum) }
      var reader = RecordReader(body)
      do throws(RecordDamage) {
        try restoreSources(&reader, sources, hasTimes: hasTimes, into: &state)
        try restoreIdentities(&reader, runs: runs, identities, into: &state)
        try AppenderSnapshot.restore(&reader, into: &state.appenders)
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try restored.get()
    return Timestamp(nanoseconds: record.get(Int64.self, at: 40))
  }

  private static func restoreSources(
    _ reader: inout RecordReader, _ sources: Int, hasTimes: Bool, into state: inout ProducerState
  ) throws(RecordDamage) {
    try reader.check(sources, ofBytes: hasTimes ? 28 : 20)
    for _ in 0..<sources {
      let position = ProducerPosition(epoch: try reader.number(), sequence: try reader.number())
      let time = hasTimes ? try reader.number() : ProducerTable.unknownTime
      state.restore(source: try reader.bytes(Int(try reader.number(UInt32.self))), position, latestTime: time)
    }
    guard hasTimes else { return }
    let gaps = Int(clamping: try reader.number(UInt64.self))
    try reader.check(gaps, ofBytes: 24)
    for _ in 0..<gaps {
      let entry = try reader.number(UInt64.self), gap = ProducerTable.Gap(low: try reader.number(), high: try reader.number())
      guard entry < UInt64(state.table.count), gap.low < gap.high else { throw .bounds }
      state.restore(gap, of: Int(entry))
    }
  }

  private static func restoreIdentities(
    _ reader: inout RecordReader, runs: Int, _ identities: Int, into state: inout ProducerState
  ) throws(RecordDamage) {
    try reader.check(runs, ofBytes: 16)
    var times: [(appendTime: Timestamp, count: Int)] = []
    for _ in 0..<runs {
      times.append((Timestamp(nanoseconds: try reader.number()), Int(clamping: try reader.number(UInt64.self))))
    }
    try reader.check(identities, ofBytes: 16)
    var left = identities
    for (appendTime, count) in times {
      guard count <= left else { throw .bounds }
      left -= count
      for _ in 0..<count { state.restore(IdentityDigest(high: try reader.number(), low: try reader.number()), at: appendTime) }
    }
    guard left == 0 else { throw .bounds }
  }
}
