import Events

/// What becomes of a partition that does not open, or whose batches cannot all be read.
public struct RepairPlan: Sendable, Hashable {
  /// Which side of the damage is kept: offsets are dense, so not both.
  public enum Side: String, Sendable, CaseIterable {
    /// What lies before the first damage; the partition goes on from there, and the offsets behind are given anew.
    case before
    /// What lies behind the last damage, as if retention had removed the rest. Only where that is whole segments.
    case after
  }

  enum Action: Sendable, Hashable {
    /// The segment ends at `position` from now on.
    case cut(segment: Offset, position: Int, offset: Offset)
    /// The log begins here from now on.
    case begin(at: Offset)
  }

  public let partition: PartitionID
  public let side: Side
  /// Why, in order.
  public let reasons: [LogFinding]
  /// Kept: from the first up to the second.
  public let startOffset: Offset
  public let endOffset: Offset
  /// Offsets no longer there, as far as the segments' names tell.
  public let lostOffsets: Range<Int64>
  /// Files that are moved aside, by name.
  public let moved: [String]
  /// Files that are copied aside, and changed: the segment that is cut, and the high-watermark file.
  public let copied: [String]
  /// What somebody should know before agreeing.
  public let warnings: [String]
  let action: Action
}

/// A log that is being repaired: holds the lock, so no server has it open.
public final class LogRepair: Sendable {
  /// Originals go to `DIR/log-damaged/<name>/<partition>`.
  public static let asideDirectory = "log-damaged"

  private let log: StoredLog
  private let lock: any FileLock

  /// - Throws: `.locked` when a server has the log open.
  public init(_ log: StoredLog) throws(LogError) {
    self.log = log
    lock = try log.folder.takeLock()
  }

  deinit { lock.release() }

  /// - Returns: Nil when nothing keeps the partition from being opened and read. Changes nothing.
  /// - Throws: `.incompatible` when the partition cannot be kept on that side.
  public func plan(_ partition: PartitionID, keeping side: RepairPlan.Side = .before, onBytes: @escaping (Int) -> Void = { _ in })
    throws(LogError) -> RepairPlan?
  {
    let found = try log.verify(partition, onBytes: onBytes)
    let files = try log.files(of: partition)
    let reasons = found.findings.filter { $0.file.hasSuffix(".segment") }
    guard let first = found.breaks.first, let last = found.breaks.last else {
      guard !reasons.isEmpty else { return nil }
      throw LogError(.incompatible, partition: partition, "\(reasons[0]), and nothing is there that could be kept")
    }
    let names = try placing(partition) { () throws(IOFailure) in try files.fileSystem.list(files.paths.directory) }
    let bases = files.bases(names, suffix: ".segment")
    let beyond = max(bases.last ?? .zero, found.endOffset, try files.marker()?.highWatermark ?? .zero)
    func filesAt(_ isMoved: (Offset) -> Bool) -> [String] {
      [".segment", ".index", ".producers"].flatMap { suffix in
        files.bases(names, suffix: suffix).filter(isMoved).map { PartitionPaths.name($0) + suffix }
      }.sorted()
    }
    let snapshots = files.bases(names, suffix: ".producers")
    let marker = names.contains("high-watermark") ? ["high-watermark"] : []
    switch side {
    case .before:
      var warnings = ["views that have counted beyond offset \(first.offset) are to be computed anew, from what is kept"]
      if bases[0] > .zero, !snapshots.contains(where: { $0 <= first.segment }) {
        warnings.append(
          "who sent the events before offset \(bases[0]), which retention removed, is not known any more: sent again, they count again"
        )
      }
      let index =
        names.contains(PartitionPaths.name(first.segment) + ".index") ? [PartitionPaths.name(first.segment) + ".index"] : []
      return RepairPlan(
        partition: partition, side: side, reasons: reasons, startOffset: bases[0], endOffset: first.offset,
        lostOffsets: first.offset.rawValue..<max(first.offset, beyond).rawValue, moved: filesAt { $0 > first.segment } + index,
        copied: [PartitionPaths.name(first.segment) + ".segment"] + marker, warnings: warnings,
        action: .cut(segment: first.segment, position: first.position, offset: first.offset))
    case .after:
      guard let begin = bases.first(where: { $0 > last.segment }) else {
        throw LogError(
          .incompatible, partition: partition, segment: last.segment,
          "the damage is in the last segment, so nothing behind it can be kept: keep what lies before")
      }
      return RepairPlan(
        partition: partition, side: side, reasons: reasons, startOffset: begin, endOffset: found.endOffset,
        lostOffsets: bases[0].rawValue..<begin.rawValue, moved: filesAt { $0 < begin }, copied: [],
        warnings: ["views that have not counted up to offset \(begin) are to be computed anew, from what is kept"],
        action: .begin(at: begin))
    }
  }

  /// Carries a plan out. If it is cut off midway the partition still refuses to open, and can be planned for again.
  /// - Parameters:
  ///   - plan: Made by this repair, of the partition as it still is.
  ///   - name: Of the folder for the originals, below `log-damaged`; the same for all partitions of one repair.
  /// - Returns: The folder that the originals are in.
  public func apply(_ plan: RepairPlan, name: String) throws(LogError) -> String {
    let files = try log.files(of: plan.partition)
    let (fileSystem, directory) = (files.fileSystem, files.paths.directory)
    let top = "\(log.folder.directory)/\(LogRepair.asideDirectory)"
    let aside = "\(top)/\(name)/\(plan.partition)"
    try placing(plan.partition) { () throws(IOFailure) in
      for (path, parent) in [(top, log.folder.directory), ("\(top)/\(name)", top), (aside, "\(top)/\(name)")] {
        _ = try fileSystem.createDirectory(path)
        try fileSystem.syncDirectory(parent)
      }
      for file in plan.copied { try copy("\(directory)/\(file)", to: "\(aside)/\(file)", fileSystem) }
      // The latest first: until the marker is written anew, it names a segment that is missing, or bytes that are.
      for file in plan.moved.sorted(by: >) { try fileSystem.rename("\(directory)/\(file)", to: "\(aside)/\(file)") }
      try fileSystem.syncDirectory(aside)
      try fileSystem.syncDirectory(directory)
      guard case .cut(let segment, let position, let offset) = plan.action else { return }
      let file = try fileSystem.open(files.paths.segment(segment), .readWrite)
      try file.truncate(to: position)
      try file.syncData()
      let marker = HighWatermarkMarker(highWatermark: offset, segment: segment, position: position, isRelaxed: false)
      try fileSystem.replace(files.paths.marker, with: marker.encoded(plan.partition))
      try fileSystem.syncDirectory(directory)
    }
    return aside
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
