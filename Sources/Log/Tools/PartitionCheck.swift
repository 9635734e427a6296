import Events
import Producers

/// A fault in a partition, and its file and position.
public struct LogFinding: Hashable, Sendable, CustomStringConvertible {
  public let partition: PartitionID
  /// The file's name in the partition's folder.
  public let file: String
  /// The position in that file, where it is known.
  public let position: Int?
  public let detail: String

  public var description: String {
    "partition \(partition), \(file)\(position.map { ", byte \($0)" } ?? ""): \(detail)"
  }
}

/// The counts of a partition's content, and all its faults.
public struct PartitionVerification: Sendable {
  public let partition: PartitionID
  public internal(set) var segments = 0
  public internal(set) var batches = 0
  public internal(set) var events = 0
  /// The bytes of whole batches.
  public internal(set) var bytes = 0
  public internal(set) var startOffset = Offset.zero
  public internal(set) var endOffset = Offset.zero
  /// Bytes after the last whole batch, left by a write that is under way or was cut off.
  public internal(set) var tornBytes = 0
  public internal(set) var findings: [LogFinding] = []
  /// The breaks where batches are damaged or missing, in order: they keep the partition from being opened or read.
  var breaks: [Break] = []
  /// The end of the last whole batch in the last segment.
  var lastPosition = 0
  /// Whether the first segments are missing.
  var isFrontMissing = false

  /// A break: the run of batches ends before it should.
  struct Break: Sendable, Hashable {
    var segment: Offset
    /// The end of the last whole batch before it.
    var position: Int
    var offset: Offset
    var why: String
  }

  init(_ partition: PartitionID) { self.partition = partition }
}

/// Reads one whole partition and checks its parts against each other: CRCs, density of offsets, indexes, producer snapshots, the
/// high-watermark file.
struct PartitionCheck {
  private let files: PartitionFiles
  private let onBytes: (Int) -> Void
  private var result: PartitionVerification
  private var producers: ProducerCheck

  private init(_ files: PartitionFiles, onBytes: @escaping (Int) -> Void) {
    self.files = files
    self.onBytes = onBytes
    result = PartitionVerification(files.partition)
    producers = ProducerCheck(partition: files.partition)
  }

  /// - Parameter onBytes: Called with the number of each batch's bytes as they are read.
  static func run(_ files: PartitionFiles, onBytes: @escaping (Int) -> Void = { _ in }) throws(LogError) -> PartitionVerification
  {
    for _ in 1..<StoredPartition.attemptsMax {
      let before = try fingerprint(files)
      do throws(LogError) {
        var check = PartitionCheck(files, onBytes: onBytes)
        try check.run()
        if check.result.findings.isEmpty { return check.result }
        // Beside a writer, a file may change between two looks: findings count if nothing has changed.
        if try fingerprint(files) == before { return check.result }
      } catch {
        guard error.code == .io, try fingerprint(files) != before else { throw error }
      }
    }
    var check = PartitionCheck(files, onBytes: onBytes)
    try check.run()
    return check.result
  }

  private static func fingerprint(_ files: PartitionFiles) throws(LogError) -> [String] {
    try placing(files.partition) { () throws(IOFailure) in
      let marker = try files.fileSystem.contents(of: files.paths.marker, bytesMax: 1 << 12)
      let note = try files.storedNote()
      let names: [String]
      do throws(IOFailure) { names = try files.fileSystem.list(files.paths.directory) } catch {
        guard error.errno == missingErrno else { throw error }
        names = []
      }
      return names.sorted() + ["\(marker ?? []) \(note)"]
    }
  }

  private mutating func run() throws(LogError) {
    let note = try files.note()
    if note == .damaged { find("../meta", PartitionNote.position(files.partition), "what it knows of the partition is damaged") }
    let marker = try readMarker()
    let names: [String]
    do throws(IOFailure) {
      names = try files.fileSystem.list(files.paths.directory)
    } catch {
      guard error.errno == missingErrno else { throw LogError(error, partition: files.partition) }
      if let missing = files.missing(nil, note, hasMarker: false) { find("folder", nil, missing) }
      return
    }
    let bases = files.bases(names, suffix: ".segment")
    if let missing = files.missing(bases, note, hasMarker: marker != nil) {
      result.isFrontMissing = bases.first.map { $0 > note.note?.start ?? $0 } ?? false
      find((result.isFrontMissing ? note.note?.start : note.note?.active) ?? .zero, ".segment", nil, missing)
    }
    result.segments = bases.count
    result.startOffset = bases.first ?? .zero
    result.endOffset = result.startOffset
    try loadSnapshots(names, start: result.startOffset)
    for (index, base) in bases.enumerated() {
      let next = index + 1 < bases.count ? bases[index + 1] : nil
      try check(base, next: next, marker: marker)
    }
    if let marker, marker.segment >= result.startOffset || bases.isEmpty, marker.highWatermark > .zero,
      !bases.contains(marker.segment)
    {
      find(marker.segment, ".segment", nil, "missing, where \(marker.position) bytes were durable")
      if let last = bases.last, marker.segment > last, result.breaks.isEmpty {
        result.breaks.append(
          .init(segment: last, position: result.lastPosition, offset: result.endOffset, why: "the next segment is missing"))
      }
    }
    if marker == nil, let last = bases.last, result.breaks.isEmpty, let note = note.note,
      last < note.active || result.endOffset < note.end
    {
      let why = "ends at offset \(result.endOffset), where the log reached \(note.end) at least"
      if last >= note.active { find(last, ".segment", result.lastPosition, why) }
      result.breaks.append(.init(segment: last, position: result.lastPosition, offset: result.endOffset, why: why))
    }
    result.findings += producers.findings
  }

  private mutating func readMarker() throws(LogError) -> HighWatermarkMarker? {
    let stored = try placing(files.partition) { () throws(IOFailure) in
      try files.fileSystem.contents(of: files.paths.marker, bytesMax: 1 << 12)
    }
    guard let stored else { return nil }
    do throws(RecordDamage) {
      return try HighWatermarkMarker(parsing: stored, partition: files.partition)
    } catch {
      find("high-watermark", nil, "\(error)")
      return nil
    }
  }

  private mutating func loadSnapshots(_ names: [String], start: Offset) throws(LogError) {
    producers.begin(at: start)
    for base in files.bases(names, suffix: ".producers") {
      let stored = try placing(files.partition) { () throws(IOFailure) in
        try files.fileSystem.contents(of: files.paths.producers(base), bytesMax: ProducerSnapshot.bytesMax)
      }
      if let stored { producers.add(stored, base: base) }
    }
  }

  private mutating func check(_ base: Offset, next: Offset?, marker: HighWatermarkMarker?) throws(LogError) {
    producers.reach(base)
    let (file, size) = try placing(files.partition, base) { () throws(IOFailure) in
      let file = try files.fileSystem.open(files.paths.segment(base), .read)
      return (file, try file.size())
    }
    var index = try IndexCheck(files, base)
    var position = 0
    let isMarked = marker?.segment == base
    var markerFits = !isMarked || marker?.highWatermark == base && marker?.position == 0
    let stop = try placing(files.partition, base) { () throws(IOFailure) in
      try SegmentScan.batches(file, partition: files.partition, base: base, limit: size) { batch in
        index.take(batch.header, at: position)
        position += batch.header.batchBytes
        producers.take(batch)
        result.batches += 1
        result.events += batch.count
        result.bytes += batch.header.batchBytes
        if isMarked, marker?.highWatermark == batch.endOffset, marker?.position == position { markerFits = true }
        onBytes(batch.header.batchBytes)
      }
    }
    result.endOffset = stop.offset
    result.lastPosition = stop.position
    if let next {
      if let damage = stop.damage {
        end(stop, "\(damage), in a sealed segment")
      } else if stop.offset != next {
        end(stop, "ends at offset \(stop.offset), the next segment begins at \(next)")
      } else {
        for detail in index.finish(end: next, bytes: stop.position) { find(base, ".index", nil, detail) }
      }
      return
    }
    let tail = SegmentTail(
      file: file, partition: files.partition, size: size, durableBytes: marker.map { isMarked ? $0.position : 0 },
      isRelaxed: marker?.isRelaxed ?? false)
    let judged = try placing(files.partition, base) { () throws(IOFailure) in try tail.judge(stop) }
    switch judged {
    case .clean: break
    case .torn(let at): result.tornBytes = size - at
    case .corrupt(_, let why): end(stop, why)
    }
    if !markerFits, let marker, result.breaks.last?.segment != base {
      end(stop, "no batch ends at offset \(marker.highWatermark), byte \(marker.position), which was the high watermark")
    }
  }

  private mutating func end(_ stop: SegmentScan.Stop, _ why: String) {
    find(stop.segment, ".segment", stop.position, why)
    result.breaks.append(.init(segment: stop.segment, position: stop.position, offset: stop.offset, why: why))
    // The part that cannot be read may hold sequences of any producer.
    producers.loseTrack()
  }

  private mutating func find(_ base: Offset, _ suffix: String, _ position: Int?, _ detail: String) {
    find(PartitionPaths.name(base) + suffix, position, detail)
  }

  private mutating func find(_ file: String, _ position: Int?, _ detail: String) {
    result.findings.append(LogFinding(partition: files.partition, file: file, position: position, detail: detail))
  }
}
