import Events
import Synchronization

/// The repair of a partition that does not open, or whose batches cannot all be read.
public struct RepairPlan: Sendable, Hashable {
  /// The side of the damage that is kept: offsets are dense, so both sides cannot be.
  public enum Side: String, Sendable, CaseIterable {
    /// The events before the first damage stay; the partition goes on from there, and the offsets behind it are given anew.
    case before
    /// The events behind the last damage stay, as if retention had removed the rest. Only where they are whole segments.
    case after
  }

  enum Action: Sendable, Hashable {
    /// The segment ends at `position` from now on.
    case cut(segment: Offset, position: Int, offset: Offset)
    /// The log begins here from now on.
    case begin(at: Offset)
    /// Nothing is left: the partition begins anew, empty.
    case anew
  }

  public let partition: PartitionID
  public let side: Side
  public let reasons: [LogFinding]
  /// The kept offsets are `startOffset ..< endOffset`.
  public let startOffset: Offset
  public let endOffset: Offset
  /// Offsets that are lost, as far as the segments' names tell.
  public let lostOffsets: Range<Int64>
  /// The names of files that are moved aside.
  public let moved: [String]
  /// The names of files that are copied aside, and changed: the segment that is cut, and the high-watermark file.
  public let copied: [String]
  /// Warnings to read before agreeing.
  public let warnings: [String]
  let action: Action
}

/// A log under repair. It holds the lock, so no server has the log open.
public final class LogRepair: Sendable {
  /// Originals go to `DIR/log-damaged/<name>/<partition>`.
  public static let asideDirectory = "log-damaged"

  private let log: StoredLog
  private let lock: any FileLock
  private let isEpochRaised = Mutex(false)

  /// - Throws: `.locked` when a server has the log open.
  public init(_ log: StoredLog) throws(LogError) {
    self.log = log
    lock = try log.folder.takeLock()
  }

  deinit { lock.release() }

  /// - Parameters:
  ///   - partition: The partition to repair.
  ///   - side: The side of the damage to keep.
  ///   - acceptsLoss: Whether a partition of which nothing is left may begin anew.
  ///   - onBytes: Called with the number of bytes as they are read.
  /// - Returns: Nil when the partition can be opened and read. Changes nothing.
  /// - Throws: `.incompatible` when the partition cannot be kept on that side, `.corrupt` when nothing is left and that loss is
  ///   not accepted.
  public func plan(
    _ partition: PartitionID, keeping side: RepairPlan.Side = .before, acceptsLoss: Bool = false,
    onBytes: @escaping (Int) -> Void = { _ in }
  ) throws(LogError) -> RepairPlan? {
    let scene = try look(partition, onBytes: onBytes)
    guard !scene.reasons.isEmpty else { return nil }
    guard !scene.bases.isEmpty else { return try planAnew(scene, acceptsLoss: acceptsLoss) }
    guard let first = scene.found.breaks.first, let last = scene.found.breaks.last else { return try planWithoutFront(scene) }
    return switch side {
    case .before: try planCut(scene, at: first)
    case .after: try planBegin(scene, behind: last)
    }
  }

  /// A partition's files and their faults.
  private struct Scene {
    let files: PartitionFiles
    let found: PartitionVerification
    /// The reasons why it cannot be opened or read.
    let reasons: [LogFinding]
    let names: [String]
    /// The base offsets of its segments, ascending.
    let bases: [Offset]

    var partition: PartitionID { files.partition }

    /// The names of the segments' files.
    func names(_ isWanted: (Offset) -> Bool) -> [String] {
      [".segment", ".index", ".producers"].flatMap { suffix in
        files.bases(names, suffix: suffix).filter(isWanted).map { PartitionPaths.name($0) + suffix }
      }.sorted()
    }
  }

  private func look(_ partition: PartitionID, onBytes: @escaping (Int) -> Void) throws(LogError) -> Scene {
    let found = try log.verify(partition, onBytes: onBytes)
    let files = try log.files(of: partition)
    let reasons = found.findings.filter { $0.file.hasSuffix(".segment") || $0.file == "folder" }
    var names: [String] = []
    do throws(IOFailure) { names = try files.fileSystem.list(files.paths.directory) } catch {
      guard error.errno == missingErrno else { throw LogError(error, partition: partition) }
    }
    return Scene(files: files, found: found, reasons: reasons, names: names, bases: files.bases(names, suffix: ".segment"))
  }

  private func planCut(_ scene: Scene, at first: PartitionVerification.Break) throws(LogError) -> RepairPlan {
    let beyond = max(scene.bases.last ?? .zero, scene.found.endOffset, try scene.files.marker()?.highWatermark ?? .zero)
    var warnings = ["views that have counted beyond offset \(first.offset) have counted what is lost"]
    let snapshots = scene.files.bases(scene.names, suffix: ".producers")
    if scene.bases[0] > .zero, !snapshots.contains(where: { $0 <= first.segment }) {
      warnings.append(
        "who sent the events before offset \(scene.bases[0]), which retention removed, is not known any more: sent again, they count again"
      )
    }
    let name = PartitionPaths.name(first.segment)
    let moved = scene.names { $0 > first.segment } + [name + ".index"].filter(scene.names.contains)
    return RepairPlan(
      partition: scene.partition, side: .before, reasons: scene.reasons, startOffset: scene.bases[0], endOffset: first.offset,
      lostOffsets: first.offset.rawValue..<max(first.offset, beyond).rawValue, moved: moved,
      copied: [name + ".segment"] + ["high-watermark"].filter(scene.names.contains), warnings: warnings,
      action: .cut(segment: first.segment, position: first.position, offset: first.offset))
  }

  private func planBegin(_ scene: Scene, behind last: PartitionVerification.Break) throws(LogError) -> RepairPlan {
    guard let begin = scene.bases.first(where: { $0 > last.segment }) else {
      throw LogError(
        .incompatible, partition: scene.partition, place: filePlace(segment: last.segment),
        "the damage is in the last segment, so nothing behind it can be kept: keep what lies before")
    }
    return planBegin(scene, at: begin, lostFrom: scene.bases[0], moved: scene.names { $0 < begin })
  }

  /// The first segments are missing, and nothing else is wrong.
  private func planWithoutFront(_ scene: Scene) throws(LogError) -> RepairPlan {
    guard scene.found.isFrontMissing else {
      throw LogError(.incompatible, partition: scene.partition, "\(scene.reasons[0]), and nothing is there that could be kept")
    }
    return planBegin(scene, at: scene.bases[0], lostFrom: try scene.files.note().note?.start ?? .zero, moved: [])
  }

  private func planBegin(_ scene: Scene, at begin: Offset, lostFrom: Offset, moved: [String]) -> RepairPlan {
    RepairPlan(
      partition: scene.partition, side: .after, reasons: scene.reasons, startOffset: begin, endOffset: scene.found.endOffset,
      lostOffsets: lostFrom.rawValue..<begin.rawValue, moved: moved, copied: [],
      warnings: ["views that have not counted up to offset \(begin) never will"], action: .begin(at: begin))
  }

  private func planAnew(_ scene: Scene, acceptsLoss: Bool) throws(LogError) -> RepairPlan {
    guard acceptsLoss else {
      throw LogError(
        .corrupt, partition: scene.partition,
        "\(scene.reasons[0].detail): put it back from where the folder was copied; if it is lost, --accept-loss begins the partition "
          + "anew, empty")
    }
    let end = max(try scene.files.note().note?.end ?? .zero, try scene.files.marker()?.highWatermark ?? .zero)
    return RepairPlan(
      partition: scene.partition, side: .before, reasons: scene.reasons, startOffset: .zero, endOffset: .zero,
      lostOffsets: 0..<end.rawValue, moved: scene.names.sorted(), copied: [],
      warnings: ["all of its events are lost, and who had sent them: what is sent again is taken again, at offsets given anew"],
      action: .anew)
  }

  /// Carries out a plan. If it is interrupted, the partition still refuses to open, and can be planned for again.
  /// - Parameters:
  ///   - plan: A plan made by this repair for the partition as it still is.
  ///   - name: The name of the folder for the originals, below `log-damaged`; the same for all partitions of one repair.
  /// - Returns: The folder that the originals are in.
  public func apply(_ plan: RepairPlan, name: String) throws(LogError) -> String {
    let files = try log.files(of: plan.partition)
    let (fileSystem, directory) = (files.fileSystem, files.paths.directory)
    let top = "\(log.folder.directory)/\(LogRepair.asideDirectory)"
    let aside = "\(top)/\(name)/\(plan.partition)"
    try raiseEpoch()
    try placing(plan.partition) { () throws(IOFailure) in
      for (path, parent) in [(top, log.folder.directory), ("\(top)/\(name)", top), (aside, "\(top)/\(name)")] {
        _ = try fileSystem.createDirectory(path)
        try fileSystem.syncDirectory(parent)
      }
      for file in plan.copied { try copy("\(directory)/\(file)", to: "\(aside)/\(file)", fileSystem) }
      // The latest goes first: until the marker is written again, it names a segment, or bytes, that are missing.
      for file in plan.moved.sorted(by: >) { try fileSystem.rename("\(directory)/\(file)", to: "\(aside)/\(file)") }
      try fileSystem.syncDirectory(aside)
      if try fileSystem.isThere(directory) { try fileSystem.syncDirectory(directory) }
      guard case .cut(let segment, let position, let offset) = plan.action else { return }
      let file = try fileSystem.open(files.paths.segment(segment), .readWrite)
      try file.truncate(to: position)
      try file.syncData()
      let marker = HighWatermarkMarker(highWatermark: offset, segment: segment, position: position, isRelaxed: false)
      try fileSystem.replace(files.paths.marker, with: marker.encoded(plan.partition))
      try fileSystem.syncDirectory(directory)
    }
    // This comes last: until the log says less, the partition refuses to open.
    switch plan.action {
    case .cut(let segment, _, let offset):
      try files.write(PartitionNote(start: plan.startOffset, end: offset, active: segment))
    case .begin(let start): try files.write(PartitionNote(start: start, end: start, active: start))
    case .anew: try files.write(nil)
    }
    return aside
  }

  /// Everything that knows offsets of this log must learn that some are gone, and may be given anew. Done once for all partitions
  /// repaired together.
  private func raiseEpoch() throws(LogError) {
    guard let identity = log.identity, !isEpochRaised.withLock({ $0 }), var meta = try log.folder.meta() else { return }
    meta.identity = identity.next
    let (fileSystem, paths) = (log.folder.fileSystem, log.folder.paths)
    try placing(nil) { [meta] () throws(IOFailure) in
      guard var bytes = try fileSystem.contents(of: paths.meta, bytesMax: LogMeta.bytesMax) else { return }
      bytes.replaceSubrange(0..<FixedRecord.byteCount, with: meta.encoded())
      try fileSystem.replace(paths.meta, with: bytes)
      try fileSystem.syncDirectory(paths.root)
    }
    isEpochRaised.withLock { $0 = true }
  }

  private func copy(_ path: String, to copy: String, _ fileSystem: any FileSystem) throws(IOFailure) {
    let source = try fileSystem.open(path, .read)
    let target = try fileSystem.open(copy, .create)
    var position = 0
    while case let bytes = try source.readFull(1 << 20, at: position), !bytes.isEmpty {
      try target.writeAll(bytes, at: position)
      position += bytes.count
    }
    try target.syncData()
  }
}
