import Events
import Logging

/// A partition's files as they lie on disk, for whoever reads them: start-up, readers, tools. Changes nothing but indexes, which
/// are rebuildable, and those only when `mayWriteIndexes`.
struct PartitionFiles: Sendable {
  let partition: PartitionID
  let paths: PartitionPaths
  let fileSystem: any FileSystem
  let indexIntervalBytes: Int
  let mayWriteIndexes: Bool
  let logger: Logger

  /// Base offsets of files with this suffix, ascending.
  func bases(_ names: [String], suffix: String) -> [Offset] {
    names.compactMap { PartitionPaths.base(of: $0, suffix: suffix) }.sorted()
  }

  /// The marker, or nil when there is none or it cannot be read: then less is known of what was durable.
  func marker() throws(LogError) -> HighWatermarkMarker? {
    let stored = try placing(partition) { () throws(IOFailure) in
      try fileSystem.contents(of: paths.marker, bytesMax: 1 << 12)
    }
    guard let bytes = stored else { return nil }
    do throws(RecordDamage) {
      return try HighWatermarkMarker(parsing: bytes, partition: partition)
    } catch {
      logger.warning("high-watermark file is damaged and is written anew", metadata: place("damage", "\(error)"))
      return nil
    }
  }

  /// What is known of a sealed segment, from its index or, if that is missing or does not fit, from its headers.
  /// - Throws: `.corrupt` when the segment does not end where the next one begins.
  func summary(_ base: Offset, next: Offset) throws(LogError) -> SegmentSummary {
    let (size, start) = try placing(partition, base) { () throws(IOFailure) in
      let size = try fileSystem.open(paths.segment(base), .read).size()
      return (size, try head(of: paths.index(base)))
    }
    if let start {
      do throws(RecordDamage) {
        let summary = SegmentSummary(try SparseIndex.Summary(parsing: start, partition: partition))
        if summary.base == base, summary.end == next, summary.bytes == size { return summary }
        logger.warning("index does not fit its segment and is rebuilt", metadata: place("segment", "\(base)"))
      } catch {
        logger.warning("index is damaged and is rebuilt", metadata: place("segment", "\(base)", "damage", "\(error)"))
      }
    }
    return SegmentSummary(try rebuildIndex(base, next: next))
  }

  /// Opens a sealed segment and its index.
  func open(_ summary: SegmentSummary) throws(LogError) -> OpenSegment {
    let base = summary.base
    let (file, stored) = try placing(partition, base) { () throws(IOFailure) in
      let bytesMax = SparseIndex.fileBytesMax
      return (try fileSystem.open(paths.segment(base), .read), try fileSystem.contents(of: paths.index(base), bytesMax: bytesMax))
    }
    if let stored {
      do throws(RecordDamage) {
        let index = try SparseIndex(parsing: stored, partition: partition)
        if SegmentSummary(index) == summary { return OpenSegment(file: file, index: index) }
      } catch {
        logger.warning("index is damaged and is rebuilt", metadata: place("segment", "\(base)", "damage", "\(error)"))
      }
    }
    return OpenSegment(file: file, index: try rebuildIndex(base, next: summary.end))
  }

  /// Writes an index beside its segment. Not synced, and a failure is only logged: what is not there is rebuilt.
  func write(_ index: SparseIndex) {
    guard mayWriteIndexes else { return }
    do throws(IOFailure) {
      try fileSystem.open(paths.index(index.base), .create).writeAll(index.encoded(partition), at: 0)
    } catch {
      logger.warning("index is not written", metadata: place("segment", "\(index.base)", "failure", "\(error)"))
    }
  }

  /// Removes a segment that is no longer of the log, and its index. Synced before it returns: else a crash could bring an older segment
  /// back without the one behind it. Producer snapshots stay: the last two are kept, wherever the log begins.
  func removeSegment(_ base: Offset) throws(LogError) {
    try placing(partition, base) { () throws(IOFailure) in
      try fileSystem.remove(paths.segment(base))
      try fileSystem.syncDirectory(paths.directory)
      do throws(IOFailure) {
        try fileSystem.remove(paths.index(base))
      } catch {
        guard error.errno == missingErrno else { throw error }
      }
    }
  }

  func place(_ pairs: String...) -> Logger.Metadata {
    var metadata: Logger.Metadata = ["partition": "\(partition)"]
    for at in stride(from: 0, to: pairs.count - 1, by: 2) { metadata[pairs[at]] = "\(pairs[at + 1])" }
    return metadata
  }

  private func rebuildIndex(_ base: Offset, next: Offset) throws(LogError) -> SparseIndex {
    let (index, stop, size) = try placing(partition, base) { () throws(IOFailure) in
      let file = try fileSystem.open(paths.segment(base), .read)
      let size = try file.size()
      let (index, stop) = try SegmentScan.index(file, partition: partition, base: base, limit: size, interval: indexIntervalBytes)
      return (index, stop, size)
    }
    if let damage = stop.damage {
      throw .corrupt(partition, segment: base, position: stop.position, "\(damage), in a sealed segment")
    }
    guard index.end == next else {
      throw .corrupt(
        partition, segment: base, position: size, "sealed segment ends at offset \(index.end), the next begins at \(next)")
    }
    write(index)
    return index
  }

  /// The first bytes of a file; nil when there is none.
  private func head(of path: String) throws(IOFailure) -> [UInt8]? {
    do throws(IOFailure) {
      return try fileSystem.open(path, .read).readFull(FixedRecord.byteCount, at: 0)
    } catch {
      if error.errno == missingErrno { return nil }
      throw error
    }
  }
}
