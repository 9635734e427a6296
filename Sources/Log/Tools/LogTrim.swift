import Events
import Producers

extension StoredPartition {
  /// The first segments that retention would remove if it waited for no reader. Never the active one.
  /// - Parameters:
  ///   - retention: The bounds that retention keeps.
  ///   - now: The present time.
  ///   - floor: `StoredLog.ageFloor`.
  public func surplus(
    _ retention: LogConfiguration.Retention, at now: Timestamp, floor: Timestamp? = nil
  ) -> [SegmentSummary] {
    let rule = RetentionRule(retention: retention, now: now, floor: floor)
    var left = bytes
    var surplus: [SegmentSummary] = []
    for segment in segments.dropLast() {
      guard rule.takes(end: segment.end, lastAppendTime: segment.lastAppendTime, partitionBytes: left) else { break }
      left -= segment.bytes
      surplus.append(segment)
    }
    return surplus
  }
}

/// Removes segments from a log that no server has open: it holds the lock.
public final class LogTrim: Sendable {
  private let log: StoredLog
  private let lock: any FileLock

  /// - Throws: `.locked` when a server has the log open.
  public init(_ log: StoredLog) throws(LogError) {
    self.log = log
    lock = try log.folder.takeLock()
  }

  deinit { lock.release() }

  /// - Parameters:
  ///   - segments: The partition's first segments, in order, all sealed.
  ///   - partition: The segments' partition.
  /// - Throws: `.corrupt`, with nothing removed, when the producer snapshot that would be the only record of who sent them is
  ///   damaged.
  public func remove(_ segments: [SegmentSummary], of partition: PartitionID) throws(LogError) {
    guard let last = segments.last else { return }
    let files = try log.files(of: partition)
    guard try hasSnapshot(files, atOrAfter: last.end) else {
      throw .corrupt(partition, segment: last.end, "no producer snapshot is whole; start the server once, which writes one")
    }
    // The note goes first: a missing segment that the note does not allow for counts as lost.
    if let note = try files.note().note {
      try files.write(PartitionNote(start: last.end, end: max(note.end, last.end), active: max(note.active, last.end)))
    }
    for segment in segments { try files.removeSegment(segment.base) }
  }

  private func hasSnapshot(_ files: PartitionFiles, atOrAfter base: Offset) throws(LogError) -> Bool {
    let names = try placing(files.partition) { () throws(IOFailure) in try files.fileSystem.list(files.paths.directory) }
    let segments = Set(files.bases(names, suffix: ".segment"))
    for base in files.bases(names, suffix: ".producers").reversed().prefix(while: { $0 >= base }) where segments.contains(base) {
      let stored = try placing(files.partition) { () throws(IOFailure) in
        try files.fileSystem.contents(of: files.paths.producers(base), bytesMax: ProducerSnapshot.bytesMax)
      }
      guard let stored else { continue }
      var scratch = ProducerState(dedupWindow: .zero, identitiesMax: LogConfiguration.dedupIdentitiesRange.upperBound)
      do throws(RecordDamage) {
        _ = try ProducerSnapshot.decode(stored, partition: files.partition, base: base, into: &scratch)
        return true
      } catch {
        continue
      }
    }
    return false
  }
}
