import Events

/// A partition's segments at one moment, up to the high watermark.
public struct StoredPartition: Sendable {
  public let partition: PartitionID
  /// Ascending; each ends where the next begins; the last is the active one. Empty before the first start.
  public let segments: [SegmentSummary]
  /// The first offset that is not known to be durable.
  public let highWatermark: Offset
  /// Bytes of the active segment after the high watermark: a write under way, or a tail that the next start judges.
  public let tailBytes: Int

  let files: PartitionFiles
  /// The index of the active segment, as far as `highWatermark`.
  let active: SparseIndex

  public var startOffset: Offset { segments.first?.base ?? .zero }
  public var bytes: Int { segments.reduce(0) { $0 + $1.bytes } }
  public var eventCount: Int { startOffset.distance(to: highWatermark) }

  /// How often to look again when names change between two looks, through a writer's roll or retention.
  static let attemptsMax = 5

  init(_ files: PartitionFiles, includingTail: Bool) throws(LogError) {
    var attempt = 1
    while true {
      do throws(LogError) {
        self = try StoredPartition(at: files, includingTail: includingTail)
        return
      } catch {
        // A file that has just gone, or a marker or index read while it was written, is whole at the next look; damage stays.
        guard attempt < StoredPartition.attemptsMax, error.code == .io || error.code == .corrupt else { throw error }
        attempt += 1
      }
    }
  }

  private init(at files: PartitionFiles, includingTail: Bool) throws(LogError) {
    self.files = files
    partition = files.partition
    // The note is read before the names: so a segment begun in between is one more, and not one that is missing.
    let note = try files.note()
    let marker = try files.marker()
    var names: [String]?
    do throws(IOFailure) {
      names = try files.fileSystem.list(files.paths.directory)
    } catch {
      guard error.errno == missingErrno else { throw LogError(error, partition: files.partition) }
    }
    let found = names.map { files.bases($0, suffix: ".segment") }
    if let missing = files.missing(found, note, hasMarker: marker != nil) { throw files.lost(missing) }
    let bases = found ?? []
    guard let activeBase = try files.active(bases, marker) else {
      (segments, highWatermark, tailBytes, active) = ([], .zero, 0, SparseIndex(base: .zero))
      return
    }
    var sealed: [SegmentSummary] = []
    for (base, next) in zip(bases, bases.dropFirst()) { sealed.append(try files.summary(base, next: next)) }
    (active, tailBytes) = try StoredPartition.active(files, activeBase, marker, includingTail: includingTail)
    segments = sealed + [SegmentSummary(active)]
    highWatermark = active.end
  }

  /// The active segment up to the marker; up to its last whole batch where the marker does not say how far it is durable.
  private static func active(
    _ files: PartitionFiles, _ base: Offset, _ marker: HighWatermarkMarker?, includingTail: Bool
  ) throws(LogError) -> (SparseIndex, tailBytes: Int) {
    let (file, size) = try placing(files.partition, base) { () throws(IOFailure) in
      let file = try files.fileSystem.open(files.paths.segment(base), .read)
      return (file, try file.size())
    }
    // A segment begun after the marker was written: the segments before it are durable; of itself nothing is known to be.
    let durable = marker.map { $0.segment == base ? $0.position : 0 }
    // A writer that does not sync each group shows readers all that it has written.
    let limit = includingTail || marker?.isRelaxed ?? true ? size : min(durable ?? size, size)
    var index = SparseIndex(base: base)
    let stop = try placing(files.partition, base) { () throws(IOFailure) in
      if limit == durable {
        let (found, stop) = try SegmentScan.index(
          file, partition: files.partition, base: base, limit: limit, interval: files.indexIntervalBytes)
        index = found
        return stop
      }
      return try SegmentScan.batches(file, partition: files.partition, base: base, limit: limit) { batch in
        index.append(batch.header, interval: files.indexIntervalBytes)
      }
    }
    guard stop.position >= durable ?? 0 else {
      throw .corrupt(
        files.partition, segment: base, position: stop.position,
        "\(stop.damage.map { "\($0)" } ?? "the file ends"), where \(durable ?? 0) bytes were durable")
    }
    return (index, size - index.segmentBytes)
  }

  /// The file and index of a segment.
  func open(_ segment: SegmentSummary) throws(LogError) -> OpenSegment {
    guard segment.base == active.base else { return try files.open(segment) }
    return try placing(partition, segment.base) { () throws(IOFailure) in
      OpenSegment(file: try files.fileSystem.open(files.paths.segment(segment.base), .read), index: active)
    }
  }

  /// The append time of the partition's first event; nil when it holds none.
  public func firstAppendTime() throws(LogError) -> Timestamp? {
    guard let segment = segments.first, segment.bytes > 0 else { return nil }
    let file = try open(segment).file
    var cursor = SegmentCursor(file, from: 0, to: segment.bytes)
    do throws(ReadFailure) { return try cursor.header()?.appendTime } catch {
      if case .io(let failure) = error { throw LogError(failure, partition: partition, segment: segment.base) }
      return nil
    }
  }
}
