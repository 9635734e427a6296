import Events
import Logging

/// Segments: the active one is sealed and the next begun; the oldest are removed.
extension PartitionWriter {
  var activeBase: Offset { published.activeBase }

  /// Seals the active segment and begins the next. All names are durable before the first batch goes in.
  func roll() throws(Failure) {
    if let missing = missingFiles() { throw .fatal(missing) }
    if configuration.sync != .always { try fatally { () throws(LogError) in try syncUnsynced() } }
    let base = nextOffset
    let file: any File
    do throws(LogError) {
      // Both are made anew whole when the roll is tried again.
      try writeSnapshot(base)
      file = try placing(partition, base) { () throws(IOFailure) in try files.fileSystem.open(files.paths.segment(base), .create)
      }
    } catch {
      throw Failure(error)
    }
    try fatally { () throws(LogError) in
      try placing(partition, base) { () throws(IOFailure) in try files.fileSystem.syncDirectory(files.paths.directory) }
    }
    files.write(published.roll(to: file))
    activeFile = file
    position = 0
    activeSince = nil
    writeMarker()
    do throws(LogError) {
      // So that after a power loss, too, it is known that this segment was begun.
      try placing(partition) { () throws(IOFailure) in try markerFile.syncData() }
      try writeNote(start: published.bounds.startOffset, end: base)
    } catch {
      // Those before say less, and are as true.
      logger.error("how far the partition reaches is not kept in mind", metadata: files.place("failure", "\(error)"))
    }
    metrics.segments.increment()
    removeOldSnapshots()
  }

  /// Writes the producer state, which is that before the event at `base`. The caller syncs the directory.
  private func writeSnapshot(_ base: Offset) throws(LogError) {
    let snapshot = ProducerSnapshot.encoded(producers, partition: partition, base: base, lastAppendTime: lastAppendTime)
    try placing(partition, base) { () throws(IOFailure) in
      try files.fileSystem.replace(files.paths.producers(base), with: snapshot)
    }
  }

  /// Seals the active segment if its first batch was appended before `time`.
  func roll(begunBefore time: Timestamp) throws(LogError) {
    guard poison == nil, !isDiskFull, let activeSince, activeSince < time else { return }
    try rollNow()
  }

  private func rollNow() throws(LogError) {
    do throws(Failure) {
      try roll()
    } catch {
      let told = giveUp(error, isGroupBegun: false)
      failWaiting(told)
      throw told
    }
  }

  /// Keeps the last two: the active segment's, and one to fall back on. One whose segment was never begun, or is gone, is of no use.
  private func removeOldSnapshots() {
    let bases = Set(published.segments.map(\.base))
    do throws(IOFailure) {
      let snapshots = files.bases(try files.fileSystem.list(files.paths.directory), suffix: ".producers")
      let kept = snapshots.filter(bases.contains).suffix(2)
      for base in snapshots where !kept.contains(base) { try files.fileSystem.remove(files.paths.producers(base)) }
    } catch {
      logger.warning("old producer snapshots are not removed", metadata: files.place("failure", "\(error)"))
    }
  }

  /// Removes whole segments from the front while `isSurplus` says so. Never the active one.
  /// - Returns: How many.
  func removeSegments(while isSurplus: @Sendable (SegmentSummary, _ partitionBytes: Int) -> Bool) throws(LogError) -> Int {
    if let removalFailure { throw removalFailure }
    var removed = 0
    while poison == nil {
      let segments = published.segments
      guard segments.count > 1, isSurplus(segments[0], segments.reduce(0) { $0 + $1.bytes }) else { return removed }
      if removed == 0 { try checkSnapshot() }
      // First: a segment that is missing beyond what the note says would be one that was lost.
      try writeNote(start: segments[1].base, end: activeBase)
      published.removeFirst()
      metrics.segments.decrement()
      removed += 1
      do throws(LogError) {
        try files.removeSegment(segments[0].base)
      } catch {
        // A later one must not go before it: the next start would find a hole.
        removalFailure = error
        throw error
      }
    }
    return removed
  }

  /// Sees to it that the active segment's producer snapshot is whole: once segments are gone, nothing else knows who had sent what.
  private func checkSnapshot() throws(LogError) {
    let base = activeBase
    let stored = try placing(partition, base) { () throws(IOFailure) in
      try files.fileSystem.contents(of: files.paths.producers(base), bytesMax: ProducerSnapshot.bytesMax)
    }
    var scratch = ProducerState(dedupWindow: configuration.dedupWindow, identitiesMax: configuration.dedupIdentitiesMax)
    do throws(RecordDamage) {
      if let stored {
        _ = try ProducerSnapshot.decode(stored, partition: partition, base: base, into: &scratch)
        return
      }
    } catch {
      logger.warning("producer snapshot is damaged and is written anew", metadata: files.place("damage", "\(error)"))
    }
    // The state in memory is that of the end: it fits an empty segment.
    if position > 0 { return try rollNow() }
    try writeSnapshot(base)
    try placing(partition, base) { () throws(IOFailure) in try files.fileSystem.syncDirectory(files.paths.directory) }
  }

  /// The partition has been opened: from now on it is known to be there.
  func noteOpened() {
    do throws(LogError) {
      try writeNote(start: published.bounds.startOffset, end: published.highWatermark)
    } catch {
      lose(error)
    }
  }

  /// Writes what `meta` is to know of the partition, and syncs it.
  /// - Parameter end: Durable.
  func writeNote(start: Offset, end: Offset) throws(LogError) {
    let wanted = PartitionNote(start: start, end: end, active: activeBase)
    guard note != wanted else { return }
    note = nil
    try placing(partition) { () throws(IOFailure) in
      try metaFile.writeAll(wanted.encoded(partition), at: PartitionNote.position(partition))
      try metaFile.syncData()
    }
    note = wanted
  }

  /// A lower bound that recovery may trust. Not synced, and not needed: a failure is logged, and an older marker is as true.
  func writeMarker() {
    let marker = HighWatermarkMarker(
      highWatermark: published.highWatermark, segment: activeBase, position: published.activeBytes,
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
