import Events
import Logging
import Producers

/// A partition's segments for its writer: it writes and syncs the active one, seals it and begins the next, removes the oldest.
///
/// Holds at every step: the active segment's last accepted batch ends at `position`, its last published one there or before;
/// `high-watermark` never says more than was synced.
final class SegmentStore: PartitionStore {
  struct Shared: Sendable {
    let configuration: LogConfiguration
    let metrics: LogMetrics
    let disk: DiskReserve
    let metaFile: any File
  }

  /// Smaller batches are gathered, so that a group of them is one write.
  private static let gatheredBytesMax = 256 << 10
  private static let stagingBytesMax = 1 << 20

  let files: PartitionFiles
  let segments: SegmentReader
  private let shared: Shared

  private(set) var activeFile: any File
  let markerFile: any File
  /// As it stands in `meta`; nil when it is not known to.
  private var note: PartitionNote?
  /// The next sealed segment to check.
  var nextLook = 0
  /// Bytes written to the active segment.
  private(set) var position: Int
  /// The time when its first batch was appended; nil while it is empty.
  private var activeSince: Timestamp?
  private var staging: [UInt8] = []
  private var isMarkerFailing = false
  /// Once a segment could not be removed, none is until the partition is opened anew.
  private var removalFailure: LogError?

  var partition: PartitionID { files.partition }
  var reader: any PartitionReader { segments }
  private var configuration: LogConfiguration { shared.configuration }
  private var logger: Logger { files.logger }

  init(_ recovered: PartitionRecovery.Recovered, files: PartitionFiles, _ shared: Shared) {
    self.files = files
    self.shared = shared
    segments = SegmentReader(
      files: files, sealed: recovered.sealed, active: recovered.active, activeFile: recovered.activeFile)
    activeFile = recovered.activeFile
    markerFile = recovered.markerFile
    position = recovered.active.segmentBytes
    activeSince = recovered.activeSince
  }

  // MARK: appending

  func shortage(of bytes: Int, isFresh: Bool) -> String? {
    let disk = shared.disk
    return disk.claim(bytes, isFresh: isFresh) ? nil : "the disk has less than \(disk.bytes) bytes left (log.disk_reserve)"
  }

  /// A segment is full when the next batch would make it larger.
  func isRollDue(before bytes: Int, behind groupBytes: Int) -> Bool {
    position + groupBytes > 0 && position + groupBytes + bytes > configuration.segmentBytesMax
  }

  func append(_ group: [ColumnBatch]) throws(StoreFailure) {
    let end: Int
    do throws(IOFailure) { end = try write(group) } catch { throw failure(error, segments.activeBase) }
    if position == 0 { activeSince = group.first?.header.appendTime }
    position = end
  }

  /// The failure of a call that changes nothing else when the disk has no room.
  private func failure(_ failure: IOFailure, _ segment: Offset) -> StoreFailure {
    failure.isFull
      ? .full(LogError(.diskFull, partition: partition, place: filePlace(errno: failure.errno), failure.description))
      : .fatal(LogError(failure, partition: partition, segment: segment))
  }

  /// Writes batches after the active segment's last: large ones from their own memory, small ones gathered.
  /// - Returns: Where they end.
  private func write(_ batches: [ColumnBatch]) throws(IOFailure) -> Int {
    var at = position
    if batches.count == 1 {
      try activeFile.writeAll(batches[0].encoded, at: at)
      return at + batches[0].encoded.count
    }
    staging.removeAll(keepingCapacity: true)
    for batch in batches {
      let isLarge = batch.encoded.count >= SegmentStore.gatheredBytesMax
      if isLarge || staging.count + batch.encoded.count > SegmentStore.stagingBytesMax {
        try writeStaged(&at)
      }
      if isLarge {
        try activeFile.writeAll(batch.encoded, at: at)
        at += batch.encoded.count
      } else {
        staging += batch.encoded
      }
    }
    try writeStaged(&at)
    return at
  }

  private func writeStaged(_ at: inout Int) throws(IOFailure) {
    guard !staging.isEmpty else { return }
    try activeFile.writeAll(staging, at: at)
    at += staging.count
    staging.removeAll(keepingCapacity: true)
  }

  func sync() throws(LogError) {
    let file = activeFile
    let start = ContinuousClock.now
    try placing(partition, segments.activeBase) { () throws(IOFailure) in try file.syncData() }
    shared.metrics.fsync.recordNanoseconds((ContinuousClock.now - start).nanosecondsHeld)
  }

  func publish(_ batches: [ColumnBatch]) { segments.publish(batches) }

  /// Cuts off the bytes that a failed write left behind the last acknowledged batch. Safe, for nobody was told of them: the cut
  /// is synced before anything else is written, so that no remains of them can come back among later ones.
  /// - Returns: The producer state without them, from disk: the one in memory includes the batches that were to be written.
  /// - Throws: When that fails too; the content of the disk is then unknown.
  func takeBack() throws(LogError) -> ProducerState {
    let (file, end, base) = (activeFile, position, segments.activeBase)
    try placing(partition, base) { () throws(IOFailure) in
      try file.truncate(to: end)
      try file.syncData()
    }
    let names = try names()
    let sealed = Array(segments.all.dropLast())
    var recovery = ProducerRecovery(files: files, configuration: configuration)
    try recovery.restore(names, sealed: sealed, activeBase: base)
    let stop = try placing(partition, base) { () throws(IOFailure) in
      try SegmentScan.batches(file, partition: partition, base: base, limit: end) { recovery.take($0) }
    }
    if let damage = stop.damage { throw .corrupt(partition, segment: base, position: stop.position, "\(damage)") }
    return recovery.producers
  }

  // MARK: rolling

  /// Seals the active segment and begins the next. All names are durable before the first batch goes in.
  func roll(_ producers: ProducerState, lastAppendTime: Timestamp) throws(StoreFailure) {
    let base = segments.active.end
    precondition(segments.active.bytes == position, "all that was written is published before a roll")
    let file: any File
    do throws(IOFailure) {
      // Both are written anew when the roll is retried.
      try writeSnapshot(producers, base, lastAppendTime)
      file = try files.fileSystem.open(files.paths.segment(base), .create)
    } catch {
      throw failure(error, base)
    }
    do throws(IOFailure) { try files.fileSystem.syncDirectory(files.paths.directory) } catch {
      throw .fatal(LogError(error, partition: partition, segment: base))
    }
    files.write(segments.roll(to: file))
    activeFile = file
    position = 0
    activeSince = nil
    mark()
    do throws(LogError) {
      // After this, a power loss cannot hide that the segment was begun.
      try syncMarker()
      try writeNote(start: segments.startOffset, end: base)
    } catch {
      // The marker and the note before say less, and are as true.
      logger.error("how far the partition reaches is not kept in mind", metadata: files.place("failure", "\(error)"))
    }
    shared.metrics.segments.increment()
    removeOldSnapshots()
  }

  func isBegun(before time: Timestamp) -> Bool { activeSince.map { $0 < time } ?? false }

  /// Writes the producer state before the event at `base`. The caller syncs the directory.
  private func writeSnapshot(_ producers: ProducerState, _ base: Offset, _ lastAppendTime: Timestamp) throws(IOFailure) {
    let snapshot = ProducerSnapshot.encoded(producers, partition: partition, base: base, lastAppendTime: lastAppendTime)
    try files.fileSystem.replace(files.paths.producers(base), with: snapshot)
  }

  /// Keeps the last two snapshots: the active segment's, and one to fall back on. A snapshot whose segment was never begun, or
  /// is gone, is of no use.
  private func removeOldSnapshots() {
    let bases = Set(segments.all.map(\.base))
    do throws(IOFailure) {
      let snapshots = files.bases(try files.fileSystem.list(files.paths.directory), suffix: ".producers")
      let kept = snapshots.filter(bases.contains).suffix(2)
      for base in snapshots where !kept.contains(base) { try files.fileSystem.remove(files.paths.producers(base)) }
    } catch {
      logger.warning("old producer snapshots are not removed", metadata: files.place("failure", "\(error)"))
    }
  }

  // MARK: retention

  func hasSurplus(_ rule: RetentionRule) throws(LogError) -> Bool {
    if let removalFailure { throw removalFailure }
    let all = segments.all
    return all.count > 1
      && rule.takes(
        end: all[0].end, lastAppendTime: all[0].lastAppendTime, partitionBytes: all.reduce(0) { $0 + $1.bytes })
  }

  func removeSurplus(_ rule: RetentionRule) throws(LogError) -> Int {
    var removed = 0
    while try hasSurplus(rule) {
      let oldest = segments.all[0]
      // The note goes first: a missing segment that the note does not allow for counts as lost.
      try writeNote(start: oldest.end, end: segments.activeBase)
      segments.removeFirst()
      shared.metrics.segments.decrement()
      removed += 1
      do throws(LogError) {
        try files.removeSegment(oldest.base)
      } catch {
        // A later segment must not go before it: the next start would find a hole.
        removalFailure = error
        throw error
      }
    }
    return removed
  }

  /// Looks at the active segment's snapshot. A damaged one can be written anew while the segment is empty: the state is that of
  /// the end.
  func renewSnapshot(_ producers: ProducerState, lastAppendTime: Timestamp) throws(LogError) -> Bool {
    let base = segments.activeBase
    let stored = try placing(partition, base) { () throws(IOFailure) in
      try files.fileSystem.contents(of: files.paths.producers(base), bytesMax: ProducerSnapshot.bytesMax)
    }
    var scratch = ProducerState(dedupWindow: configuration.dedupWindow, identitiesMax: configuration.dedupIdentitiesMax)
    do throws(RecordDamage) {
      if let stored {
        _ = try ProducerSnapshot.decode(stored, partition: partition, base: base, into: &scratch)
        return true
      }
    } catch {
      logger.warning("producer snapshot is damaged and is written anew", metadata: files.place("damage", "\(error)"))
    }
    if position > 0 { return false }
    try placing(partition, base) { () throws(IOFailure) in
      try writeSnapshot(producers, base, lastAppendTime)
      try files.fileSystem.syncDirectory(files.paths.directory)
    }
    return true
  }

  // MARK: opening and closing

  func noteOpened() throws(LogError) { try writeNote(start: segments.startOffset, end: segments.active.end) }

  func close() throws(LogError) {
    try syncMarker()
    try noteOpened()
  }

  private func syncMarker() throws(LogError) {
    try placing(partition) { () throws(IOFailure) in try markerFile.syncData() }
  }

  private func names() throws(LogError) -> [String] {
    try placing(partition) { () throws(IOFailure) in try files.fileSystem.list(files.paths.directory) }
  }

  /// Writes the partition's note into `meta`, and syncs it.
  /// - Parameter end: Durable.
  private func writeNote(start: Offset, end: Offset) throws(LogError) {
    let wanted = PartitionNote(start: start, end: end, active: segments.activeBase)
    guard note != wanted else { return }
    note = nil
    try placing(partition) { () throws(IOFailure) in
      try shared.metaFile.writeAll(wanted.encoded(partition), at: PartitionNote.position(partition))
      try shared.metaFile.syncData()
    }
    note = wanted
  }

  /// Writes a lower bound of the durable offsets that recovery may trust. Not synced, and not needed: a failure is logged, and an
  /// older marker is as true.
  func mark() {
    let active = segments.active
    let marker = HighWatermarkMarker(
      highWatermark: active.end, segment: active.base, position: active.bytes,
      isRelaxed: configuration.sync != .always)
    do throws(IOFailure) {
      try markerFile.writeAll(marker.encoded(partition), at: 0)
      isMarkerFailing = false
    } catch {
      if !isMarkerFailing { logger.error("high-watermark file is not written", metadata: files.place("failure", "\(error)")) }
      isMarkerFailing = true
    }
  }
}
