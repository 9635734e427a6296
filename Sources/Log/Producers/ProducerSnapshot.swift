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
/// Of magic "PNP1", which is read too, sources have no latest event time, and there is no list of gaps: of their duplicates none is suspect until
/// they begin an epoch.
enum ProducerSnapshot {
  /// A larger file is taken for damaged: about ten million sources.
  static let bytesMax = 1 << 30

  static func encoded(_ state: ProducerState, partition: PartitionID, base: Offset, lastAppendTime: Timestamp) -> [UInt8] {
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

  /// Restores `state`, which is empty, and returns the append time of the last batch before `base`.
  static func decode(_ file: [UInt8], partition: PartitionID, base: Offset, into state: inout ProducerState)
    throws(RecordDamage) -> Timestamp
  {
    let hasTimes = !file.starts(with: "PNP1".utf8)
    let record = try FixedRecord(parsing: file, magic: hasTimes ? "PNP2" : "PNP1", partition: partition)
    guard record.get(Int64.self, at: 8) == base.rawValue else { throw .bounds }
    let sources = try record.count(at: 16)
    let runs = try record.count(at: 24)
    let identities = try record.count(at: 32)
    guard try record.count(at: 48) == file.count - FixedRecord.byteCount else { throw .truncated }
    var damage: RecordDamage?
    file.withUnsafeBytes { all in
      let body = UnsafeRawBufferPointer(rebasing: all[FixedRecord.byteCount...])
      guard checksum(body) == record.get(UInt32.self, at: 56) else {
        damage = .checksum
        return
      }
      // Counts are held to what the body can hold before anything is made of them.
      guard sources <= body.count / 20, runs <= body.count / 16, identities <= body.count / 16 else {
        damage = .bounds
        return
      }
      var at = 0
      func u64(_ position: Int) -> UInt64 { UInt64(littleEndian: body.loadUnaligned(fromByteOffset: position, as: UInt64.self)) }
      let fixedBytes = hasTimes ? 28 : 20
      for _ in 0..<sources {
        guard body.count - at >= fixedBytes else {
          damage = .bounds
          return
        }
        let nameAt = at + fixedBytes
        let length = Int(UInt32(littleEndian: body.loadUnaligned(fromByteOffset: nameAt - 4, as: UInt32.self)))
        guard body.count - nameAt >= length else {
          damage = .bounds
          return
        }
        state.restore(
          source: UnsafeRawBufferPointer(rebasing: body[nameAt..<nameAt + length]),
          ProducerPosition(epoch: u64(at), sequence: u64(at + 8)),
          latestTime: hasTimes ? Int64(bitPattern: u64(at + 16)) : ProducerTable.unknownTime)
        at = nameAt + length
      }
      if hasTimes {
        guard let end = restoreGaps(body, at, into: &state) else {
          damage = .bounds
          return
        }
        at = end
      }
      guard body.count - at >= (runs + identities) * 16 else {
        damage = .bounds
        return
      }
      var identityAt = at + runs * 16
      let identitiesEnd = identityAt + identities * 16
      for run in 0..<runs {
        let appendTime = Timestamp(nanoseconds: Int64(bitPattern: u64(at + run * 16)))
        let number = u64(at + run * 16 + 8)
        guard number <= UInt64((identitiesEnd - identityAt) / 16) else {
          damage = .bounds
          return
        }
        for _ in 0..<number {
          state.restore(IdentityDigest(high: u64(identityAt), low: u64(identityAt + 8)), at: appendTime)
          identityAt += 16
        }
      }
      guard identityAt == identitiesEnd else {
        damage = .bounds
        return
      }
      do throws(RecordDamage) {
        try AppenderSnapshot.restore(UnsafeRawBufferPointer(rebasing: body[identityAt...]), into: &state.appenders)
      } catch {
        damage = error
      }
    }
    if let damage { throw damage }
    return Timestamp(nanoseconds: record.get(Int64.self, at: 40))
  }

  /// - Returns: Where the list of gaps ends; nil where it is none.
  private static func restoreGaps(_ body: UnsafeRawBufferPointer, _ start: Int, into state: inout ProducerState) -> Int? {
    func u64(_ position: Int) -> UInt64 { UInt64(littleEndian: body.loadUnaligned(fromByteOffset: position, as: UInt64.self)) }
    guard body.count - start >= 8, u64(start) <= UInt64((body.count - start - 8) / 24) else { return nil }
    var at = start + 8
    for _ in 0..<u64(start) {
      let entry = u64(at), gap = ProducerTable.Gap(low: u64(at + 8), high: u64(at + 16))
      guard entry < UInt64(state.table.count), gap.low < gap.high else { return nil }
      state.restore(gap, of: Int(entry))
      at += 24
    }
    return at
  }
}
