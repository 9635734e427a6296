import Events
import Logging

/// A partition's files on disk, as start-up, readers and tools read them. Changes nothing but indexes, which are rebuildable, and
/// those only when `mayWriteIndexes`.
struct PartitionFiles: Sendable {
  let partition: PartitionID
  let paths: PartitionPaths
  let fileSystem: any FileSystem
  let indexIntervalBytes: Int
  let mayWriteIndexes: Bool
  let logger: Logger
  /// The path of the log's `meta`; nil where `meta` is not needed.
  var meta: String?

  /// Base offsets of files with this suffix, ascending.
  func bases(_ names: [String], suffix: String) -> [Offset] {
    names.compactMap { PartitionPaths.base(of: $0, suffix: suffix) }.sorted()
  }

  /// The marker; nil when there is none or it cannot be read: then less is known about the durable end.
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

  func note() throws(LogError) -> PartitionNote.State {
    PartitionNote.state(parsing: try placing(partition) { () throws(IOFailure) in try storedNote() }, partition: partition)
  }

  func storedNote() throws(IOFailure) -> [UInt8] {
    guard let meta else { return [] }
    return try fileSystem.open(meta, .read).readFull(FixedRecord.byteCount, at: PartitionNote.position(partition))
  }

  /// Writes the partition's note into `meta`, for tools.
  /// - Parameter note: Nil for a partition that is yet to be made.
  func write(_ note: PartitionNote?) throws(LogError) {
    guard let meta else { return }
    let bytes = note?.encoded(partition) ?? Array(repeating: 0, count: FixedRecord.byteCount)
    try placing(partition) { () throws(IOFailure) in
      let file = try fileSystem.open(meta, .readWrite)
      try file.writeAll(bytes, at: PartitionNote.position(partition))
      try file.syncData()
    }
  }

  /// Compares the partition's segments with its note in `meta`.
  /// - Parameters:
  ///   - bases: The base offsets of the segments that are there, ascending; nil when the folder is missing.
  ///   - hasMarker: Whether a high-watermark file says how far they reach. It takes precedence: in a copy that was taken while
  ///     the log was written, `meta` may be younger than the segments.
  /// - Returns: The missing thing, in words; nil when nothing is missing.
  func missing(_ bases: [Offset]?, _ note: PartitionNote.State, hasMarker: Bool) -> String? {
    guard note != .none else { return nil }
    let known = note.note.map { $0.end > .zero ? ", which held offsets up to \($0.end) at least" : "" } ?? ""
    guard let bases else { return "the partition's folder \(paths.directory) is missing\(known)" }
    guard let first = bases.first, let last = bases.last else { return "no segment is in \(paths.directory)\(known)" }
    guard let note = note.note else { return nil }
    if first > note.start { return "the segments from offset \(note.start) up to \(first) are missing" }
    if last < note.active, !hasMarker { return "the segments from offset \(note.active) on are missing" }
    return nil
  }

  /// Holds the segments that are there against the marker.
  /// - Parameter bases: Ascending.
  /// - Returns: The active one's base; nil where there is none, and none is missing.
  func active(_ bases: [Offset], _ marker: HighWatermarkMarker?) throws(LogError) -> Offset? {
    guard let first = bases.first else {
      guard let marker, marker.highWatermark > .zero else { return nil }
      throw .corrupt(partition, "no segment is there, where offsets below \(marker.highWatermark) were durable")
    }
    // A power loss after retention leaves a marker older than the first kept segment.
    if let marker, marker.segment >= first, !bases.contains(marker.segment) {
      throw .corrupt(partition, segment: marker.segment, "the segment is missing, where \(marker.position) bytes were durable")
    }
    return bases.last
  }

  /// The error for a missing thing that was durable.
  func lost(_ what: String) -> LogError {
    LogError(
      .corrupt, partition: partition,
      "\(what): put it back from where the folder was copied, or accept the loss with `penstock log repair`, which shows what is left"
    )
  }

  /// The summary of a sealed segment, from its index or, if the index is missing or does not fit, from its batches' headers.
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

  /// Writes an index beside its segment. It is not synced, and a failure is only logged: a missing index is rebuilt.
  func write(_ index: SparseIndex) {
    guard mayWriteIndexes else { return }
    do throws(IOFailure) {
      try fileSystem.open(paths.index(index.base), .create).writeAll(index.encoded(partition), at: 0)
    } catch {
      logger.warning("index is not written", metadata: place("segment", "\(index.base)", "failure", "\(error)"))
    }
  }

  /// Removes a segment that is no longer part of the log, and its index. Synced before it returns, else a crash could bring an
  /// older segment back without the one behind it. Producer snapshots stay: the last two are kept, wherever the log begins.
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
