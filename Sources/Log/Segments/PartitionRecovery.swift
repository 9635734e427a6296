import Events
import Logging
import Producers

/// Opens one partition for writing: finds its durable end, cuts an unacknowledged tail, refuses damage, and rebuilds
/// the producer state.
///
/// Reads the active segment, and only the first 64 bytes of the sealed segments' indexes; more only if the producer
/// snapshot of the active segment, or an index, is missing or damaged.
struct PartitionRecovery {
  /// A partition ready for its writer and readers.
  struct Recovered {
    var sealed: [SegmentSummary]
    var active: SparseIndex
    /// The time when the active segment's first batch was appended; nil while it is empty.
    var activeSince: Timestamp?
    var activeFile: any File
    var markerFile: any File
    var producers: ProducerState
    var lastAppendTime: Timestamp
    var report: PartitionReport
  }

  let files: PartitionFiles
  let configuration: LogConfiguration

  private var logDirectory: String { configuration.logDirectory }
  private var partition: PartitionID { files.partition }
  private var paths: PartitionPaths { files.paths }
  private var fileSystem: any FileSystem { files.fileSystem }
  private var logger: Logger { files.logger }

  func run() throws(LogError) -> Recovered {
    let note = try files.note()
    let names = try self.names(note)
    let marker = try files.marker()
    let bases = files.bases(names, suffix: ".segment")
    if let missing = files.missing(bases, note, hasMarker: marker != nil) { throw files.lost(missing) }
    try removeLeftovers(names)
    let activeBase = try files.active(bases, marker) ?? .zero
    if bases.isEmpty {
      try placing(partition, activeBase) { () throws(IOFailure) in
        _ = try fileSystem.open(paths.segment(activeBase), .create)
      }
    }
    var sealed: [SegmentSummary] = []
    for (base, next) in zip(bases, bases.dropFirst()) { sealed.append(try files.summary(base, next: next)) }

    var report = PartitionReport(partition: partition)
    var producers = ProducerRecovery(files: files, configuration: configuration)
    try producers.restore(names, sealed: sealed, activeBase: activeBase)
    report.bytesScanned = producers.bytesScanned
    report.sealedSegmentsScanned = producers.sealedSegmentsScanned
    let file = try placing(partition, activeBase) { () throws(IOFailure) in
      try fileSystem.open(paths.segment(activeBase), .readWrite)
    }
    let size = try placing(partition, activeBase) { () throws(IOFailure) in try file.size() }
    var active = SparseIndex(base: activeBase)
    let interval = files.indexIntervalBytes
    var markerFits = marker?.segment != activeBase || marker?.highWatermark == activeBase
    var activeSince: Timestamp?
    let stop = try placing(partition, activeBase) { () throws(IOFailure) in
      try SegmentScan.batches(file, partition: partition, base: activeBase, limit: size) { batch in
        producers.take(batch)
        activeSince = activeSince ?? batch.header.appendTime
        active.append(batch.header, interval: interval)
        if active.end == marker?.highWatermark, active.segmentBytes == marker?.position { markerFits = true }
      }
    }
    report.bytesScanned += stop.position
    if marker == nil, let end = note.note?.end, stop.offset < end {
      throw .corrupt(
        partition, segment: activeBase, position: stop.position,
        "\(stop.damage.map { "\($0)" } ?? "the log ends"), at offset \(stop.offset), where it reached \(end) at least")
    }
    // A marker in an older segment says nothing here: the active one was begun since.
    let durableBytes = marker.map { $0.segment == activeBase ? $0.position : 0 }
    try cutTail(file, stop: stop, size: size, durableBytes: durableBytes, marker: marker, report: &report)
    guard markerFits else {
      throw .corrupt(
        partition, segment: activeBase, position: marker?.position,
        "no batch ends at offset \(marker?.highWatermark ?? .zero) there, which was the high watermark")
    }
    try makeDurable(file, from: durableBytes ?? 0, to: stop.position, base: activeBase)
    let markerFile = try writeMarker(active, isNew: !names.contains("high-watermark") || bases.isEmpty)
    return Recovered(
      sealed: sealed, active: active, activeSince: activeSince, activeFile: file, markerFile: markerFile,
      producers: producers.producers,
      lastAppendTime: max(producers.lastAppendTime, sealed.last?.lastAppendTime ?? producers.lastAppendTime), report: report)
  }

  /// The names in the partition's folder, which is created if it is missing.
  private func names(_ note: PartitionNote.State) throws(LogError) -> [String] {
    do throws(IOFailure) {
      if note == .none { _ = try fileSystem.createDirectory(paths.directory) }
      try fileSystem.syncDirectory(logDirectory)
      return try fileSystem.list(paths.directory)
    } catch {
      if error.errno == missingErrno, let missing = files.missing(nil, note, hasMarker: false) { throw files.lost(missing) }
      throw LogError(error, partition: partition)
    }
  }

  /// Removes unfinished files of a process that died.
  private func removeLeftovers(_ names: [String]) throws(LogError) {
    for name in names where name.hasSuffix(temporarySuffix) {
      try placing(partition) { () throws(IOFailure) in try fileSystem.remove("\(paths.directory)/\(name)") }
    }
  }

  private func cutTail(
    _ file: any File, stop: SegmentScan.Stop, size: Int, durableBytes: Int?, marker: HighWatermarkMarker?,
    report: inout PartitionReport
  ) throws(LogError) {
    let base = stop.segment
    let tail = SegmentTail(
      file: file, partition: partition, size: size, durableBytes: durableBytes, isRelaxed: marker?.isRelaxed ?? false)
    let end = try placing(partition, base) { () throws(IOFailure) in try tail.judge(stop) }
    switch end {
    case .clean:
      break
    case .torn(let position):
      try placing(partition, base) { () throws(IOFailure) in
        try file.truncate(to: position)
        try file.syncData()
      }
      report.tornBytes = size - position
      logger.notice(
        "torn tail is cut: bytes that were never acknowledged",
        metadata: files.place("segment", "\(base)", "position", "\(position)", "bytes", "\(size - position)"))
    case .corrupt(let position, let why):
      throw .corrupt(partition, segment: base, position: position, why)
    }
  }

  /// Writes bytes beyond the marker once more, and syncs them. They may be only in the kernel's memory, even marked
  /// clean after a failed sync; read back whole they would count as durable, and go with the next power loss.
  private func makeDurable(_ file: any File, from start: Int, to end: Int, base: Offset) throws(LogError) {
    guard start < end else { return }
    try placing(partition, base) { () throws(IOFailure) in
      var position = start
      while position < end {
        let bytes = try file.readFull(min(1 << 20, end - position), at: position)
        guard !bytes.isEmpty else { throw IOFailure("pread", file.path, errno: ioErrno) }
        try file.writeAll(bytes, at: position)
        position += bytes.count
      }
      try file.syncData()
    }
  }

  /// Written and synced before the first append, so that start-up after a power loss finds the writer's sync policy in
  /// any case.
  private func writeMarker(_ active: SparseIndex, isNew: Bool) throws(LogError) -> any File {
    let marker = HighWatermarkMarker(
      highWatermark: active.end, segment: active.base, position: active.segmentBytes, isRelaxed: configuration.sync != .always)
    return try placing(partition, active.base) { () throws(IOFailure) in
      let file = try fileSystem.open(paths.marker, isNew ? .create : .readWrite)
      try file.writeAll(marker.encoded(partition), at: 0)
      try file.syncData()
      try fileSystem.syncDirectory(paths.directory)
      return file
    }
  }
}

/// The findings of start-up in a partition.
public struct PartitionReport: Sendable, Hashable {
  public let partition: PartitionID
  /// Bytes of an unacknowledged tail that were cut.
  public internal(set) var tornBytes = 0
  /// Bytes of batches read to rebuild the producer state and find the end.
  public internal(set) var bytesScanned = 0
  /// 0 unless producer snapshots were missing or damaged.
  public internal(set) var sealedSegmentsScanned = 0
}
