import Events

/// The treatment of the bytes after the last whole batch of the active segment.
enum ScanEnd: Equatable {
  case clean
  /// A tail that was never acknowledged: it is cut.
  case torn(at: Int)
  /// Acknowledged data is lost or damaged: the partition does not open.
  case corrupt(at: Int, why: String)
}

/// Tells a torn tail from corruption. docs/log-format.md argues why the rule is right.
struct SegmentTail {
  let file: any File
  let partition: PartitionID
  let size: Int
  /// Bytes known to be durable; nil when the marker cannot be read.
  let durableBytes: Int?
  /// Whether the last writer did not sync after every group.
  let isRelaxed: Bool

  /// - Parameter lastAppendTime: The append time of the last whole batch.
  func judge(_ stop: SegmentScan.Stop) throws(IOFailure) -> ScanEnd {
    if stop.position < durableBytes ?? 0 {
      let what = stop.damage.map { "\($0)" } ?? "the file ends"
      return .corrupt(at: stop.position, why: "\(what), where \(durableBytes ?? 0) bytes were durable")
    }
    guard stop.damage != nil else { return .clean }
    // A writer that does not sync each group leaves unsynced ones in any state after a power loss.
    if isRelaxed { return .torn(at: stop.position) }
    let later = try laterGroups(stop)
    guard let first = later.first else { return .torn(at: stop.position) }
    // A group is written only after the one before is synced, and all its batches have one append time, which no other group has.
    // So the damage lies in unsynced bytes only if all that follows belongs to the same, last group.
    if let header = stop.header, header.appendTime < first {
      return .corrupt(at: stop.position, why: "a batch is damaged, yet one written after it was synced is whole")
    }
    if later.count > 1 {
      return .corrupt(at: stop.position, why: "a batch is damaged, yet two groups written after it are whole")
    }
    if stop.header == nil, durableBytes == nil {
      let why = "a batch is damaged, a later one whole, and no high-watermark file says which was durable"
      return .corrupt(at: stop.position, why: why)
    }
    return .torn(at: stop.position)
  }

  /// Append times of whole batches behind the damage, ascending, at most two different ones.
  private func laterGroups(_ stop: SegmentScan.Stop) throws(IOFailure) -> [Timestamp] {
    var times: [Timestamp] = []
    // Where the header is whole, its payload is skipped: bytes that a device sent must not be taken for a batch of the log.
    var position = stop.header.map { stop.position + $0.batchBytes } ?? stop.position + 1
    let chunkBytes = 1 << 20
    while position + BatchHeader.byteCount <= size {
      let chunk = try file.readFull(min(chunkBytes, size - position), at: position)
      guard chunk.count >= BatchHeader.byteCount else { break }
      var found: BatchHeader?
      var at = 0
      while found == nil, let candidate = magicPosition(in: chunk, from: at) {
        found = chunk.withUnsafeBytes { bytes in
          try? BatchHeader(parsing: UnsafeRawBufferPointer(rebasing: bytes[candidate..<candidate + BatchHeader.byteCount]))
        }
        at = found == nil ? candidate + 1 : candidate
      }
      guard let header = found else {
        position += chunk.count - BatchHeader.byteCount + 1
        continue
      }
      position += at
      if header.partition == partition, header.baseOffset >= stop.offset, try isWhole(header, at: position) {
        if !times.contains(header.appendTime) { times.append(header.appendTime) }
        if times.count == 2 { break }
        position += header.batchBytes
      } else {
        position += 1
      }
    }
    return times.sorted()
  }

  private func isWhole(_ header: BatchHeader, at position: Int) throws(IOFailure) -> Bool {
    guard header.batchBytes <= size - position else { return false }
    let payload = try file.readFull(header.storedBytes, at: position + BatchHeader.byteCount)
    return payload.count == header.storedBytes && payload.withUnsafeBytes { checksum($0) } == header.payloadChecksum
  }

  /// The first position from `start` on where a header may begin: it has the magic number and 64 bytes.
  private func magicPosition(in chunk: [UInt8], from start: Int) -> Int? {
    let last = chunk.count - BatchHeader.byteCount
    guard start <= last else { return nil }
    return chunk.withUnsafeBytes { bytes in
      for at in start...last where bytes[at] == UInt8(truncatingIfNeeded: BatchHeader.magic) {
        if UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)) == BatchHeader.magic { return at }
      }
      return nil
    }
  }
}
