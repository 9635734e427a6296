import Events

/// `<base offset>.producers`: the producer state just before the event at that offset, written when its segment begins, so that
/// start-up reads that segment and no other.
///
/// ```
///  0  FixedRecord, magic "PNP1"     24  u64  runs            40  i64  append time of the last batch before
///  8  i64  base offset              32  u64  identities      48  u64  body bytes
/// 16  u64  sources                                           56  u32  CRC-32 of the body
///
/// body: each source  u64 epoch, u64 sequence, u32 length, UTF-8
///       each run     i64 append time, u64 count: the identities appended at one time, oldest first
///       each identity  u64 high, u64 low, oldest first
///       the appenders, see `AppenderSnapshot`
/// ```
enum ProducerSnapshot {
  /// A larger file is taken for damaged: about ten million sources.
  static let bytesMax = 1 << 30

  static func encoded(_ state: ProducerState, partition: PartitionID, base: Offset, lastAppendTime: Timestamp) -> [UInt8] {
    let (runs, identities) = state.identities.remembered
    let table = state.table
    var file = [UInt8](repeating: 0, count: FixedRecord.byteCount)
    file.reserveCapacity(file.count + table.count * 20 + table.nameBytes + (runs.count + identities.count) * 16)
    func append<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { file.append(contentsOf: $0) } }
    for entry in 0..<table.count {
      append(table.epochs[entry])
      append(table.sequences[entry])
      table.withName(of: entry) { name in
        append(UInt32(name.count))
        file.append(contentsOf: name)
      }
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
    var record = FixedRecord(magic: "PNP1", partition: partition)
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
    let record = try FixedRecord(parsing: file, magic: "PNP1", partition: partition)
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
      for _ in 0..<sources {
        guard body.count - at >= 20 else {
          damage = .bounds
          return
        }
        let length = Int(UInt32(littleEndian: body.loadUnaligned(fromByteOffset: at + 16, as: UInt32.self)))
        guard body.count - at - 20 >= length else {
          damage = .bounds
          return
        }
        state.restore(
          source: UnsafeRawBufferPointer(rebasing: body[at + 20..<at + 20 + length]),
          ProducerPosition(epoch: u64(at), sequence: u64(at + 8)))
        at += 20 + length
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
}
