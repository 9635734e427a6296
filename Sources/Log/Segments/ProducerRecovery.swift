import Events
import Producers

/// Rebuilds a partition's producer state from its latest snapshot and the batches since.
struct ProducerRecovery {
  let files: PartitionFiles
  private(set) var producers: ProducerState
  private(set) var lastAppendTime = Timestamp(nanoseconds: 0)
  private(set) var bytesScanned = 0
  /// 0 unless snapshots were missing or damaged.
  private(set) var sealedSegmentsScanned = 0
  private let empty: ProducerState

  init(files: PartitionFiles, configuration: LogConfiguration) {
    self.files = files
    empty = ProducerState(dedupWindow: configuration.dedupWindow, identitiesMax: configuration.dedupIdentitiesMax)
    producers = empty
  }

  mutating func take(_ batch: ColumnBatch) {
    lastAppendTime = max(lastAppendTime, batch.header.appendTime)
    producers.replay(batch, at: lastAppendTime)
  }

  /// Restores the state before the active segment: from its snapshot, or else from an older one and the segments since;
  /// then it writes the missing snapshot.
  /// - Parameter names: The partition's files.
  /// - Throws: `.corrupt` when the segments that would have to be read are gone or damaged.
  mutating func restore(_ names: [String], sealed: [SegmentSummary], activeBase: Offset) throws(LogError) {
    let start = sealed.first?.base ?? activeBase
    let from = try restoreSnapshot(names, of: Set(sealed.map(\.base) + [activeBase]), activeBase)
    guard let from else {
      guard start > .zero else { return try scan(sealed, from: start, to: activeBase) }
      throw .corrupt(
        files.partition, segment: start,
        "no producer snapshot is whole, and the segments before offset \(start) are gone: who had sent what is not known")
    }
    try scan(sealed, from: from, to: activeBase)
  }

  /// - Parameter segments: The segments' base offsets. A snapshot at which no segment begins belongs to one that was never begun,
  ///   or is gone.
  /// - Returns: The base offset of the latest whole snapshot; nil when there is none.
  private mutating func restoreSnapshot(_ names: [String], of segments: Set<Offset>, _ activeBase: Offset) throws(LogError)
    -> Offset?
  {
    let (fileSystem, paths, partition) = (files.fileSystem, files.paths, files.partition)
    for base in files.bases(names, suffix: ".producers").reversed() {
      // A snapshot beyond the active segment would be taken for that of a segment begun there later.
      if base > activeBase {
        try placing(partition, base) { () throws(IOFailure) in try fileSystem.remove(paths.producers(base)) }
      }
      guard segments.contains(base) else { continue }
      let file = try placing(partition, base) { () throws(IOFailure) in
        try fileSystem.contents(of: paths.producers(base), bytesMax: ProducerSnapshot.bytesMax)
      }
      do throws(RecordDamage) {
        guard let file else { continue }
        lastAppendTime = try ProducerSnapshot.decode(file, partition: partition, base: base, into: &producers)
        return base
      } catch {
        files.logger.warning(
          "producer snapshot is damaged; an older one is used, and the segments since are read",
          metadata: files.place("snapshot", "\(base)", "damage", "\(error)"))
        producers = empty
      }
    }
    return nil
  }

  private mutating func scan(_ sealed: [SegmentSummary], from: Offset, to activeBase: Offset) throws(LogError) {
    guard from < activeBase else { return }
    let (fileSystem, paths, partition) = (files.fileSystem, files.paths, files.partition)
    files.logger.warning("producer state is rebuilt from sealed segments", metadata: files.place("from", "\(from)"))
    for segment in sealed where segment.base >= from {
      let (file, size) = try placing(partition, segment.base) { () throws(IOFailure) in
        let file = try fileSystem.open(paths.segment(segment.base), .read)
        return (file, try file.size())
      }
      let stop = try placing(partition, segment.base) { () throws(IOFailure) in
        try SegmentScan.batches(file, partition: partition, base: segment.base, limit: size) { take($0) }
      }
      bytesScanned += stop.position
      sealedSegmentsScanned += 1
      if let damage = stop.damage {
        throw .corrupt(partition, segment: segment.base, position: stop.position, "\(damage), in a sealed segment")
      }
    }
    let state = ProducerSnapshot.encoded(producers, partition: partition, base: activeBase, lastAppendTime: lastAppendTime)
    try placing(partition, activeBase) { () throws(IOFailure) in
      try fileSystem.replace(paths.producers(activeBase), with: state)
      try fileSystem.syncDirectory(paths.directory)
    }
  }
}
